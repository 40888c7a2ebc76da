"""Find limits for several live networks from what configurations of them gave.

The limits of a place lie between the latencies of two configurations: the calmest one, with the
least p99 of all networks together, and the one with the most throughput. Each is the best of a few
by windows other than those that made it one of the few, since the best of single windows is the
luckiest, too. No limit is below what the calmest one has by less than its windows scatter: so some
configuration keeps all limits, whatever the networks, and the one with the most throughput breaks
some of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.live_tuning import Measured, Windows
from envs.errors import ObjectiveError
from envs.files import replacing
from envs.spec import Measurement, Objective, Outcome, verdict_of

#: Configurations that may be the calmest, and as many that may have the most throughput.
CANDIDATES = 3

#: Standard deviations of a window by which limits lie above what the calmest one has.
CLEAR = 2.0

#: Limits are drawn between these shares of the way from the calmest to the fastest, in logarithms.
PLACES = (0.2, 0.8)


@dataclass(frozen=True)
class Ends:
    """The latencies between which limits lie.

    Attributes:
        calm_ms, fast_ms: [T], p99 of the calmest configuration and of that with the most
            throughput, mean of windows.
        scatter: [T], standard deviation of the logarithm of p99 of a window.
    """

    calm_ms: tuple[float, ...]
    fast_ms: tuple[float, ...]
    scatter: tuple[float, ...]

    def limits_ms(self, place: float) -> tuple[float, ...]:
        """Return limits [T] at a share of the way from the calmest to the fastest."""
        calm, fast = np.log(self.calm_ms), np.log(self.fast_ms)
        lowest = calm + CLEAR * np.array(self.scatter)
        between = np.exp(np.maximum(calm + place * (fast - calm), lowest))
        return tuple(between.tolist())

    def objectives(self, count: int) -> list[Objective]:
        """Return so many limits, spread evenly over PLACES."""
        low, high = PLACES
        places = low + (np.arange(count) + 0.5) / count * (high - low)
        return [Objective(self.limits_ms(place)) for place in places]


def kept_ends(path: Path, measured: Measured, count: int, again: int) -> Ends:
    """Return the ends that a file keeps; where there is none, measure them, and keep them.

    Args:
        path: of the file.
        measured: the configurations so far.
        count: how many of these, from the first, may be an end.
        again: windows of each candidate.
    """
    if path.exists():
        kept = json.loads(path.read_text())
        return Ends(**{name: tuple(values) for name, values in kept.items()})
    ends = measured_ends(measured, count, again)
    with replacing(path) as file:
        file.write(json.dumps(asdict(ends)).encode())
    return ends


def measured_ends(measured: Measured, count: int, again: int) -> Ends:
    """Return the ends among the first so many configurations, which are measured again.

    Raises:
        ObjectiveError: a window of each candidate failed.
    """
    kinds = [
        [measured.configurations[row] for row in rows] for rows in _candidates(measured, count)
    ]
    windows: Windows = {each: [] for own in kinds for each in own}
    measured.in_turns(windows, again)
    good = {each: own for each, own in windows.items() if _measured(own)}
    late = {each: np.log([window.p99_ms for window in _measured(good[each])]) for each in good}
    calm, fast = ([each for each in own if each in good] for own in kinds)
    if not calm or not fast:
        raise ObjectiveError(
            "each of the configurations that limits are drawn from failed when it was measured"
            " again: run it on a calmer computer"
        )
    calmest = min(calm, key=lambda each: float(late[each].sum()))
    fastest = max(fast, key=lambda each: _images(good[each]))
    scatter = np.sqrt(np.mean([each.var(axis=0, ddof=1) for each in late.values()], axis=0))
    calm_ms, fast_ms = (np.exp(late[each].mean(axis=0)) for each in (calmest, fastest))
    return Ends(*(tuple(each.tolist()) for each in (calm_ms, fast_ms, scatter)))


def _candidates(measured: Measured, count: int) -> tuple[list[int], list[int]]:
    """Return the calmest and the fastest of the first so many configurations."""
    batch = measured.batch
    tenants = batch.p99_ms.shape[1]
    free = Objective((np.inf,) * tenants)
    score = verdict_of(batch, np.ones(tenants), free).score[:count]
    with np.errstate(divide="ignore"):
        late = np.log(batch.p99_ms[:count]).sum(axis=1)
    late = np.where(batch.failed[:count] | ~np.isfinite(late), np.inf, late)
    score = np.where(np.isfinite(late), score, -np.inf)
    return np.argsort(late)[:CANDIDATES].tolist(), np.argsort(-score)[:CANDIDATES].tolist()


def _measured(windows: Sequence[Outcome]) -> list[Measurement]:
    """Return windows of which none failed, else nothing."""
    good = [each for each in windows if isinstance(each, Measurement)]
    return good if len(good) == len(windows) else []


def _images(windows: Sequence[Outcome]) -> float:
    return float(np.mean([each.throughput_ips.sum() for each in _measured(windows)]))
