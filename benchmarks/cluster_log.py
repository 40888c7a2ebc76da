"""Replay the log of five Jetson boards under a scheduler, measured by others.

An AGX Xavier, two Xavier NX and two Jetson Nano answer requests of one to fourteen images each
(iloudaros/LoudVA, MIT, at 2b4b15ef, results/Experiment_5: request log of `prof`, 40 images/s,
scenario 3, and the report of all runs). Batches leave the scheduler when and where the log says;
what is replayed is how long boards take. A board works on up to two batches at once, each of which
takes a part that is the same for all and a part for each image; the two numbers of each kind of
board are fitted to every other 20 seconds of the log and judged by the rest. The scheduler is not
replayed: what decides when a batch leaves is in no log.

Energy is what a kind of board takes for each second and each image; images that were late are
counted by what each kind of board was given, as the slow ones get what the others cannot take. Both
are fitted to the runs of all other rates. That is an account, not a simulation. Beside the order of
the policies stands at how many rates the log itself is sure of it, when its scenarios are drawn
anew.

Example:
    python -m benchmarks.cluster_log
    python -m benchmarks.cluster_log --log other_requests.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.figures import Figure, figure, parser, report
from cluster.simulate.requests import shared
from envs.arrays import BoolArray, FloatArray, Rows
from envs.optional import optional_import

DATA = Path(__file__).parent / "data"
REQUESTS, RUNS = DATA / "five_boards_requests.csv", DATA / "five_boards_runs.csv"

#: Batches that a board works on at once: its server has one waiting beside the one that runs.
AT_ONCE = 2

#: Seconds of the log that are fitted to, then judged, in turns.
BLOCK_S = 20.0

#: Draws of scenarios, and the share of them in which an order must hold to be sure.
RESAMPLED, SURE = 2000, 0.95


class Log(NamedTuple):
    """Parts of requests [B], each a batch's share of a request, and the requests [M] themselves.

    Attributes:
        board: [B] name of the board.
        left_s: [B] when the batch left the scheduler.
        images: [B] of the request in the batch.
        request: [B] number of the request.
        arrival_s, limit_s, completion_s: [M].
    """

    board: list[str]
    left_s: FloatArray
    images: Rows
    request: Rows
    arrival_s: FloatArray
    limit_s: FloatArray
    completion_s: FloatArray


class Batches(NamedTuple):
    """Batches of one board [N], in the order in which they left the scheduler.

    Attributes:
        parts: [B'] which parts of the log they have.
        of: [B'] the batch of each of these.
        left_s, images: [N].
        took_s: [N] until the first request was done of which all images are in it, or NaN.
    """

    parts: Rows
    of: Rows
    left_s: FloatArray
    images: FloatArray
    took_s: FloatArray


def read_log(path: Path) -> Log:
    """Read a log; parts with the same arrival, limit and completion are one request."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    keys = [
        (row["run"], float(row["arrival_s"]), float(row["latency_limit_s"]),
         float(row["completion_s"])) for row in rows
    ]  # fmt: skip
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return Log(
        [f"{row['run']} {row['device']}" for row in rows],
        np.array([float(row["queue_exit_s"]) for row in rows]),
        np.array([int(row["images"]) for row in rows]),
        np.array([numbers[key] for key in keys]),
        *(np.array([key[at] for key in numbers]) for at in (1, 2, 3)),
    )


def kind_of(board: str) -> str:
    """Return the kind of a board, such as `Xavier NX`."""
    return next(kind for kind in ("AGX Xavier", "Xavier NX", "Nano") if kind in board)


def batches_of(log: Log, board: str) -> Batches:
    """Return the batches of a board."""
    parts = np.flatnonzero(np.array([each == board for each in log.board]))
    left, of = np.unique(log.left_s[parts], return_inverse=True)
    took = np.full(len(left), np.inf)
    one_part = np.bincount(log.request)[log.request[parts]] == 1
    whole = parts[one_part]
    np.minimum.at(took, of[one_part], log.completion_s[log.request[whole]] - log.left_s[whole])
    took[np.isinf(took)] = np.nan
    return Batches(parts, of, left, np.bincount(of, log.images[parts]), took)


def is_judged(times_s: FloatArray) -> BoolArray:
    """Return True for instants in the blocks of the log that are not fitted to."""
    return np.asarray(times_s // BLOCK_S % 2 == 1)


def fitted(log: Log, whole: bool) -> dict[str, FloatArray]:
    """Return the seconds of a batch and of an image by kind of board.

    It is least squares of relative errors, over all batches (`whole`) or over those that left in
    blocks that are not judged.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    for board in dict.fromkeys(log.board):
        found = batches_of(log, board)
        good = (whole | ~is_judged(found.left_s)) & (found.took_s > 0)
        mine = zip(found.images[good], found.took_s[good], strict=True)
        rows.setdefault(kind_of(board), []).extend(mine)
    result = {}
    for kind, pairs in rows.items():
        images, took = np.array(pairs).T
        matrix = np.stack([np.ones_like(images), images], axis=1) / took[:, None]
        result[kind] = _non_negative(matrix, np.ones_like(took))
    return result


def replayed(log: Log, seconds: dict[str, FloatArray]) -> FloatArray:
    """Return when each request [M] is done: with the last batch that has one of its images."""
    done = np.full(len(log.arrival_s), -np.inf)
    for board in dict.fromkeys(log.board):
        found, (each_s, image_s) = batches_of(log, board), seconds[kind_of(board)]
        batch_done = shared(found.left_s, each_s + image_s * found.images, AT_ONCE)
        np.maximum.at(done, log.request[found.parts], batch_done[found.of])
    return done


def replay_figures(own: Log, judged: Log | None) -> list[Figure]:
    """Return how far replayed completions are off where nothing was fitted."""
    log = own if judged is None else judged
    label = "blocks of the log that were not fitted to" if judged is None else "another log"
    chosen = is_judged(log.arrival_s) | (judged is not None)
    seconds = fitted(own, whole=judged is not None)
    for kind, (each_s, image_s) in seconds.items():
        print(f"{kind}: {1e3 * each_s:.0f} ms for a batch and {1e3 * image_s:.0f} ms for an image")
    done = replayed(log, seconds)
    last = np.full(len(done), -np.inf)
    np.maximum.at(last, log.request, log.left_s)
    took, ours = log.completion_s - log.arrival_s, done - log.arrival_s
    error = np.abs(ours / took - 1)[chosen]
    after = np.abs((done - last) / np.maximum(log.completion_s - last, 0.01) - 1)[chosen]
    late, seen = (100 * float((each > log.limit_s)[chosen].mean()) for each in (ours, took))
    return [
        figure(f"completion time, {label}: median error", 100 * float(np.median(error)), "%",
               "<= 15"),
        figure("the part after the scheduler: median error", 100 * float(np.median(after)), "%"),
        figure("late requests: replayed", late, "%"),
        figure("late requests: measured", seen, "%"),
        figure("requests judged", int(chosen.sum()), ""),
    ]  # fmt: skip


def policy_figures() -> list[Figure]:
    """Return how well the account of other rates orders the two policies at each rate."""
    with RUNS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    runs = list(dict.fromkeys(_run(row) for row in rows))
    kinds = ("AGX Xavier", "Xavier NX", "Nano")
    measured = {name: np.zeros((len(runs), 3)) for name in ("images", "joules", "late")}
    length_s = np.zeros(len(runs))
    for row in rows:
        at, kind = runs.index(_run(row)), kinds.index(kind_of(row["device"]))
        for name, column in (
            ("images", "device_images"),
            ("joules", "device_energy_j"),
            ("late", "device_images_late"),
        ):  # fmt: skip
            measured[name][at, kind] += float(row[column])
        length_s[at] = max(length_s[at], float(row["run_length_s"] or 0.0))
    rates = np.array([rate for _, rate, _ in runs])
    energy, late = np.zeros(len(runs)), np.zeros(len(runs))
    for rate in np.unique(rates):
        others, mine = rates != rate, rates == rate
        for kind in range(3):
            given = np.stack([length_s, measured["images"][:, kind]], axis=1)
            scale = measured["joules"][others, kind]
            share = _non_negative(given[others] / scale[:, None], np.ones(len(scale)))
            energy[mine] += given[mine] @ share
        total = measured["late"][others].sum(axis=1)
        late[mine] = measured["images"][mine] @ _non_negative(measured["images"][others], total)
    joules, seen_late = measured["joules"].sum(axis=1), measured["late"].sum(axis=1)
    policies = np.array([policy for policy, _, _ in runs])
    found = [
        figure("energy of a run, from runs of other rates: median error",
               100 * float(np.median(np.abs(energy / joules - 1))), "%")
    ]  # fmt: skip
    for name, ours, seen in (("energy", energy, joules), ("late images", late, seen_late)):
        right = [
            _order(ours, policies, rates == rate) == _order(seen, policies, rates == rate)
            for rate in np.unique(rates)
        ]
        every = np.ones(len(runs), dtype=bool)
        overall = _order(ours, policies, every) == _order(seen, policies, every)
        found += [
            figure(f"order of the policies by {name}, all runs: right", float(overall), "", ">= 1"),
            figure(f"order of the policies by {name}: rates at which it is right", sum(right),
                   "of 5"),
            figure(f"order of the policies by {name}: rates at which the log itself is sure of it",
                   sum(_is_sure(runs, seen, rate) for rate in np.unique(rates)), "of 5"),
        ]  # fmt: skip
    return found


def _run(row: dict[str, str]) -> tuple[str, int, str]:
    return row["policy"], int(row["max_images_per_s"]), row["scenario"]


def _order(values: FloatArray, policies: np.ndarray, chosen: BoolArray) -> bool:
    """Return True if `pred` has less than `prof`, over the chosen runs."""
    pred, prof = (values[chosen & (policies == name)].sum() for name in ("pred", "prof"))
    return bool(pred < prof)


def _is_sure(runs: list[tuple[str, int, str]], seen: FloatArray, rate: int) -> bool:
    """Return True if what was measured at a rate tells the policies apart.

    Each policy ran the same scenarios. These are drawn anew, and the order must stay in `SURE` of
    the draws.
    """
    value = dict(zip(runs, seen, strict=True))
    scenarios = sorted({scenario for _, each, scenario in runs if each == rate})
    less = np.array([value["pred", rate, e] - value["prof", rate, e] for e in scenarios])
    drawn = np.random.default_rng(0).choice(less, (RESAMPLED, len(less))).sum(axis=1)
    share = float((drawn < 0).mean())
    return max(share, 1.0 - share) >= SURE


def _non_negative(matrix: FloatArray, target: FloatArray) -> FloatArray:
    """Return the least squares solution without negative numbers."""
    found: FloatArray = optional_import("scipy.optimize", "train").nnls(matrix, target)[0]
    return found


def main() -> int:
    """Print the figures."""
    options = parser(__doc__)
    options.add_argument("--log", type=Path, help="judge by this log of the same form instead")
    arguments = options.parse_args()
    judged = read_log(arguments.log) if arguments.log else None
    figures = [*replay_figures(read_log(REQUESTS), judged), *policy_figures()]
    return report(figures, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
