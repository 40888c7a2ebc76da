"""Contract tests and fakes for whoever adds a runtime, a sensor or a tuner.

Nothing in `envs` or `tuner` imports this package. It needs pytest.
"""
