"""Contract tests and fakes for anyone who adds a runtime, a sensor or a tuner.

Modules:
    runtime_contract, sensor_contract, tuner_contract: subclass one in a test module of your own.
    engines: engines that are slow, broken or hang, for tests with a live runtime.
    sensors: a sensor whose readings a test chooses.
    problems: small problems with made-up boards, for tests of tuners.
    tensorrt: the TensorRT runtime on a computer without a GPU.

Nothing else in `envs` or `tuner` imports this package. It needs pytest.
"""

import pytest

pytest.register_assert_rewrite(
    "envs.testing.runtime_contract", "envs.testing.sensor_contract", "envs.testing.tuner_contract"
)
