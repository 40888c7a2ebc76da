"""Contract tests and fakes for whoever adds a runtime, a sensor or a tuner.

Modules:
    runtime_contract, sensor_contract, tuner_contract: subclass one in a test module of your own.
    engines: engines that are slow, broken or hang, for tests of what is built on a live runtime.
    sensors: a sensor that reads what a test wants.
    problems: small problems with made-up boards, for tests of tuners.
    tensorrt: the TensorRT runtime on a computer without a GPU.

Nothing else in `envs` or `tuner` imports this package. It needs pytest.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "envs.testing.runtime_contract", "envs.testing.sensor_contract", "envs.testing.tuner_contract"
)
