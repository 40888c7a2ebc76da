"""Plans that TensorRT does not load: which of them have to be built anew."""

from dataclasses import replace
from typing import Any

from envs.runtimes.serving.instance import failure_of
from envs.runtimes.tensorrt.build import failed
from envs.runtimes.tensorrt.spec import EngineSpec
from envs.spec import ConfigurationFailed, FailureKind, Network

#: What TensorRT logs where the plan is not to blame: the GPU is broken, or a DLA has no room (the
#: categories of its errors; NVIDIA/TensorRT issue 2252 has that of a DLA).
_OF_THE_DEVICE = ("cuda runtime", "cuda driver", "cuda error", "dla (")


class PlanRefused(Exception):
    """TensorRT does not take a plan, for instance because another release wrote it.

    Attributes:
        identity: of the plan.
        reason: what TensorRT logged.
    """

    def __init__(self, identity: dict[str, Any], reason: str) -> None:
        super().__init__(reason)
        self.identity, self.reason = identity, reason


def not_loaded(
    network: Network, spec: EngineSpec, reason: str, identity: dict[str, Any]
) -> PlanRefused | ConfigurationFailed:
    """Return the error of a plan that was not loaded.

    It is ConfigurationFailed where memory is short or the device is broken: another build would not
    help then.
    """
    kind = failure_of(RuntimeError(reason), "").kind
    of_device = any(words in reason.lower() for words in _OF_THE_DEVICE)
    if kind is not FailureKind.OUT_OF_MEMORY and not of_device:
        return PlanRefused(identity, reason)
    failure = failed(network, spec, f"the engine cannot be loaded: {reason}").failure
    return ConfigurationFailed(replace(failure, kind=kind))
