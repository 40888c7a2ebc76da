"""Find the configurations of a recording with right answers, by the agreement that it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from envs.arrays import BoolArray, Placements
from envs.errors import NetworkError, OptionError
from envs.spec import Agreement, ConfigurationSpace, Network
from envs.spec.device import check_precisions
from envs.spec.validity import VALID, judge
from envs.traces.reader import Trace
from tuner.answers import Pair, below, without
from tuner.options import ServeOptions


def recorded(trace: Trace, serve: ServeOptions) -> tuple[ConfigurationSpace, Placements]:
    """Return the space of a recording without wrong answers, and the configurations [N, T, A, 2].

    An INT8 accelerator whose agreement was not recorded is no choice unless the user allows it; a
    configuration that was recorded below the limit is none either.

    Raises:
        OptionError: nothing is left, or an option names what the recording does not have.
    """
    space = trace.space
    precisions = [_precision(trace, column) for column in range(space.shape[1])]
    refused = _not_wanted(space, precisions, serve)
    agreements = {
        (tenant, column): _agreement(trace, tenant, column)
        for tenant in range(space.shape[0])
        for column in range(space.shape[1])
    }
    judged = {pair: each for pair, each in agreements.items() if each.measured}
    unjudged = {
        pair
        for pair in agreements.keys() - judged.keys() - space.unavailable - refused.keys()
        if precisions[pair[1]] == "int8" and not _network(trace, pair).quantised
    }
    if not serve.allow_uncalibrated:
        reason = (
            "the recording does not say how far its INT8 answers are those of FP32: give"
            " --allow-uncalibrated if they do not matter"
        )
        refused |= {pair: NetworkError(reason) for pair in unjudged}
        unjudged = set()
    refused |= below(space, judged, serve.min_agreement)
    space = replace(without(space, refused), unjudged=frozenset(unjudged))
    rows = trace.placements[~trace.batch.failed & ~_below_limit(trace, serve.min_agreement)]
    rows = rows[judge(space, rows) == VALID]
    if not len(rows):
        raise OptionError(
            f"{trace.path.name} holds no configuration whose answers are right and that the options"
            " allow: lower --min-agreement, or leave --accelerators and --precisions out"
        )
    return space, rows


def _network(trace: Trace, pair: Pair) -> Network:
    return trace.space.workload.tenants[pair[0]].network


def _precision(trace: Trace, column: int) -> str:
    """Return the precision of an accelerator: what the recording says, or the usual one."""
    used = trace.space.device.accelerators[column]
    return str(trace.metadata.get("precision", {}).get(used.name, used.precision))


def _not_wanted(
    space: ConfigurationSpace, precisions: Sequence[str], serve: ServeOptions
) -> dict[Pair, NetworkError]:
    """Return the pairs that `accelerators` and `precisions` leave out."""
    names = space.device.accelerator_names
    for name in serve.accelerators or ():
        if name not in names:
            raise OptionError(
                f"the recording has no accelerator {name!r}: choose from {', '.join(names)}"
            )
    if serve.precisions is not None:
        check_precisions(serve.precisions)
    found: dict[Pair, NetworkError] = {}
    for column, (name, precision) in enumerate(zip(names, precisions, strict=True)):
        if serve.accelerators is not None and name not in serve.accelerators:
            reason = "--accelerators leaves it out"
        elif serve.precisions is not None and precision not in serve.precisions:
            reason = f"--precisions leaves {precision} out"
        else:
            continue
        found |= {(tenant, column): NetworkError(reason) for tenant in range(space.shape[0])}
    return found


def _agreement(trace: Trace, tenant: int, column: int) -> Agreement:
    """Return the least agreement of the rows in which nothing else serves the tenant."""
    name = trace.space.workload.names[tenant]
    used = trace.placements[:, tenant, :, 0]
    alone = (used[:, column] > 0) & (used.sum(axis=1) == used[:, column])
    rows = [row for row, only in zip(trace.rows, alone, strict=True) if only]
    known = [row for row in rows if not math.isnan(row[f"{name}.agreement"])]
    if not known:
        return Agreement(math.nan)
    worst = min(known, key=lambda row: float(row[f"{name}.agreement"]))
    value, samples = (float(worst[f"{name}.{key}"]) for key in ("agreement", "agreement_samples"))
    return Agreement(value, "recorded", 0 if math.isnan(samples) else int(samples))


def _below_limit(trace: Trace, limit: float) -> BoolArray:
    """Return [N] where a tenant's recorded agreement is below the limit."""
    names = trace.space.workload.names
    values = np.array([[row[f"{name}.agreement"] for name in names] for row in trace.rows])
    return np.asarray((values < limit).any(axis=1))
