"""Limits by what a critical network has alone: its p99 is measured before the others are there."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np

from envs.errors import OptionError, RuntimeFault
from envs.spec import Criticality, Measurement, Outcome
from tuner.device import open_device
from tuner.objectives import Limits, asked, objective_from
from tuner.options import ServeOptions

_log = logging.getLogger(__name__)

#: Windows whose median is what a network has alone.
WINDOWS = 3


def check_slowdown(slowdown: float | None, serve: ServeOptions) -> None:
    """Raise OptionError if a slowdown cannot be asked for here."""
    if slowdown is None:
        return
    if not 1 <= slowdown < math.inf:
        raise OptionError(
            f"slowdown={slowdown} must be at least 1, and finite: p99 beside other networks over"
            " p99 alone"
        )
    if len(serve.network) < 2:
        raise OptionError("slowdown compares a network beside others with itself alone: give two")
    if all(each == Criticality.BEST_EFFORT for each in serve.criticality or [""]):
        raise OptionError("slowdown limits critical networks, and here is none: leave it out")


def limits_alone(
    serve: ServeOptions, slowdown: float, p99_ms: Limits, window_s: float
) -> list[float]:
    """Measure each critical network alone, and return limits of p99 for all networks [T].

    Alone, a network has its smallest configuration: one instance at its smallest batch on the
    accelerator that a start tries first.

    Args:
        serve: options of all networks.
        slowdown: p99 beside the others over p99 alone, at least 1.
        p99_ms: limits that hold as well, one for all critical networks or one each.
        window_s: length of a window.

    Returns:
        The smaller of both limits for a critical network; for best effort the given one, or
        infinite.

    Raises:
        TunerError: a network cannot be served or measured alone.
    """
    workload = serve.unread_space().workload
    given, gives_way = list(objective_from(asked(p99_ms), workload).p99_ms), workload.best_effort
    files = [str(path) for path in serve.files()]
    for position in range(len(files)):
        if not gives_way[position]:
            alone_ms = _p99_alone_ms(_only(serve, files, position), window_s)
            limit_ms = slowdown * alone_ms
            _log.info(
                "%s alone: p99 %.3g ms, so that it is at most %.3g ms beside the others",
                serve.network[position],
                alone_ms,
                limit_ms,
            )
            given[position] = min(given[position], limit_ms)
    return given


def _only(serve: ServeOptions, files: list[str], position: int) -> ServeOptions:
    """Return the options of one network, whose free dimensions its file has already."""
    return replace(
        serve,
        network=[files[position]],
        rate_ips=[serve.rate_ips[position]] if serve.rate_ips else None,
        samples=[serve.samples[position]] if serve.samples else None,
        weight=None,
        criticality=None,
        segments=None,
        mappings=None,
        shape=None,
        fix=None,
    )


def _p99_alone_ms(serve: ServeOptions, window_s: float) -> float:
    with open_device(serve, engines="first") as device:
        smallest = device.space.default()
        outcomes = [device.measure(smallest, window_s) for _ in range(WINDOWS)]
    found = [each for each in (_p99_ms(outcome, serve) for outcome in outcomes) if each == each]
    if not found:  # a limit that is not a number would limit nothing
        raise RuntimeFault(
            f"{serve.network[0]} cannot be measured alone, which slowdown needs: no request was"
            f" answered in windows of {window_s:g} s: take longer ones"
        )
    return float(np.median(found))


def _p99_ms(outcome: Outcome, serve: ServeOptions) -> float:
    if not isinstance(outcome, Measurement):
        raise RuntimeFault(
            f"{serve.network[0]} cannot be measured alone, which slowdown needs: {outcome.reason}"
        )
    return outcome.tenants[0].p99_ms
