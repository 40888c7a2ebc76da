"""The tuners of a comparison, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from envs.belief.risk import BALANCED
from envs.problems.problem import Problem
from envs.traces.reader import Trace
from tuner.evaluation.front import RULE, front_factories
from tuner.policy.bundle import Bundle
from tuner.policy.device_twin import DeviceTwin
from tuner.policy.learned import LearnedTuner
from tuner.search.expected_gain import ExpectedGainTuner
from tuner.search.oracle import Oracle
from tuner.search.protocol import Tuner
from tuner.search.registry import make_search

#: Searches to compare with everywhere, those that need a model of the device, and the vendor's
#: order on plain computers and on boards.
SEARCHES = ("random", "hill_climb", "tpe", "gp", "gradient")
WITH_MODEL = ("model_argmax", "model_refit", RULE)
PLAIN_VENDOR, BOARD_VENDOR = ("vendor_default",), ("vendor_gpu", "vendor_gpu_dla")

Factories = dict[str, Callable[[Problem], Tuner]]


def default_searches(trace: Trace | None, has_model: bool) -> list[str]:
    """Return the names of the searches to compare with."""
    plain = trace is not None and trace.space.device.plain
    known = WITH_MODEL if has_model else ()
    return [*SEARCHES, *known, *(PLAIN_VENDOR if plain else BOARD_VENDOR)]


def factories_of(
    trace: Trace | None,
    bundles: Mapping[str, Bundle],
    searches: list[str],
    risk: float = BALANCED,
    rule_risk: float = BALANCED,
) -> Factories:
    """Return a factory for each tuner; on a trace the oracle comes last.

    Args:
        trace: that is replayed; None for simulated problems.
        bundles: the policies by name.
        searches: names of the registry.
        risk: the price of a broken limit that the policies are told.
        rule_risk: the same of the untrained rule, which knows what the first policy knows.
    """
    factories: Factories = {
        name: partial(LearnedTuner, bundle, risk=risk) for name, bundle in bundles.items()
    }
    factories |= {name: partial(make_search, name) for name in searches}
    if RULE in factories:
        factories[RULE] = partial(rule_of(bundles), risk=rule_risk)
    return factories if trace is None else factories | {"oracle": partial(_oracle, trace)}


def front_of(bundles: Mapping[str, Bundle]) -> Factories:
    """Return factories of the first policy and of the rule at every price of the front."""
    policy = {name: partial(LearnedTuner, bundles[name]) for name in list(bundles)[:1]}
    return front_factories({**policy, RULE: rule_of(bundles)})


def rule_of(bundles: Mapping[str, Bundle]) -> Callable[..., Tuner]:
    """Return a maker of the rule that knows what the first policy knows of its device."""
    first = next(iter(bundles.values()), None)
    return partial(_rule, None if first is None else first.twin)


def _rule(twin: DeviceTwin | None, problem: Problem, risk: float) -> Tuner:
    return ExpectedGainTuner(problem if twin is None else twin.informed_problem(problem), risk)


def _oracle(trace: Trace, problem: Problem) -> Tuner:
    return Oracle(problem, trace.batch)
