"""The searches by name."""

from collections.abc import Callable

from envs.errors import OptionError
from envs.problems.problem import Problem
from tuner.search.expected_gain import ExpectedGainPerSecondTuner, ExpectedGainTuner
from tuner.search.gradient import GradientSearch
from tuner.search.hill_climb import HillClimb
from tuner.search.model_search import ModelArgmax, ModelRefit
from tuner.search.optuna_search import GpSearch, TpeSearch
from tuner.search.placing import GreedyUtilisation, RoundRobin, StaticPartition
from tuner.search.protocol import Tuner
from tuner.search.random_search import RandomSearch
from tuner.search.vendor import VendorDefault, VendorGpu, VendorGpuDla

#: Every search but the oracle, which needs the outcomes.
SEARCHES: dict[str, Callable[[Problem], Tuner]] = {
    "random": RandomSearch,
    "hill_climb": HillClimb,
    "tpe": TpeSearch,
    "gp": GpSearch,
    "gradient": GradientSearch,
    "model_argmax": ModelArgmax,
    "model_refit": ModelRefit,
    "expected_gain": ExpectedGainTuner,
    "expected_gain_per_second": ExpectedGainPerSecondTuner,
    "static_partition": StaticPartition,
    "greedy_utilisation": GreedyUtilisation,
    "round_robin": RoundRobin,
    "vendor_default": VendorDefault,
    "vendor_gpu": VendorGpu,
    "vendor_gpu_dla": VendorGpuDla,
}


def make_search(name: str, problem: Problem) -> Tuner:
    """Return a new search; OptionError where there is none of that name."""
    if name not in SEARCHES:
        raise OptionError(f"search={name!r} is unknown: choose from {', '.join(SEARCHES)}")
    return SEARCHES[name](problem)
