"""Those who decide how a device serves; `optimize`, `open_device`, `map_layers` are the way in.

import tuner

answer = tuner.optimize("my.onnx", p99_ms=50)
print(answer.configuration, answer.throughput_ips, answer.p99_ms, answer.origin)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envs.errors import TunerError
    from envs.problems.problem import Problem
    from envs.spec import Configuration, Failure, Measurement
    from tuner.answer import Answer
    from tuner.api import map_layers, optimize
    from tuner.device import Device, open_device
    from tuner.map_answer import LayerMap
    from tuner.options import ServeOptions
    from tuner.search.protocol import Tuner
    from tuner.tuning_report import write_tuning_report

__all__ = [
    "Answer",
    "Configuration",
    "Device",
    "Failure",
    "LayerMap",
    "Measurement",
    "Problem",
    "ServeOptions",
    "Tuner",
    "TunerError",
    "map_layers",
    "open_device",
    "optimize",
    "write_tuning_report",
]

#: Where each name comes from: nothing is imported before it is used.
_MODULES = {
    "Answer": "tuner.answer",
    "Configuration": "envs.spec.space",
    "Device": "tuner.device",
    "Failure": "envs.spec.measurement",
    "LayerMap": "tuner.map_answer",
    "Measurement": "envs.spec.measurement",
    "Problem": "envs.problems.problem",
    "ServeOptions": "tuner.options",
    "Tuner": "tuner.search.protocol",
    "TunerError": "envs.errors",
    "map_layers": "tuner.api",
    "open_device": "tuner.device",
    "optimize": "tuner.api",
    "write_tuning_report": "tuner.tuning_report",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
