"""Names of the environments in Gymnasium.

`gymnasium.make("envs:Tuning-v0")` imports this package itself; after `import envs` the name
`Tuning-v0` will do. `TuningEnv` has an example.
"""


def register_environments() -> None:
    """Register by name; the modules themselves are loaded when an environment is made."""
    from gymnasium.envs.registration import register

    register(
        id="Tuning-v0",
        entry_point="envs.tuning_env:TuningEnv",
        vector_entry_point="envs.tuning_env:TuningVectorEnv",
    )
