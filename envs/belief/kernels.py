"""What training spends its time on, as plain loops over rows for a compiler: several times as fast where numba is installed.

The meaning is that of `envs.belief.gaussian.Belief.update` and of `envs.belief.features.observe`, which work everywhere; a test compares both.

Letters: B rows, M candidates, P of them proposed, F features, T tenants, Q = 2 T + 1 quantities, R directions, K rows of W, S problems.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray as Double
from envs.arrays import Single
from envs.belief.features import AWAY, LOGISTIC, PEAK, RISK, WAITING, Situation
from envs.optional import optional_import


def condition(
    mean: Single,
    variance: Single,
    least: Single,
    basis: Single,
    problem: npt.NDArray[np.int64],
    learned: Double,
    used: int,
    candidate: npt.NDArray[np.int64],
    seen: Double,
    noise: Double,
    unseen: float,
) -> None:
    """Condition each row on one measurement, in place; W [B, K, R] has `used` rows and gets Q more.

    Args:
        mean, variance, least: [B, Q, M]. basis: [S, R, Q x M]. problem, candidate: [B]. seen, noise: [B, Q]. unseen: variance where there is nothing to see.
    """
    quantities, count = mean.shape[1:]
    directions, width = basis.shape[1:]
    known, steps = np.empty(quantities, dtype=np.bool_), np.empty(quantities)
    before, doubt, loadings = np.empty(quantities), np.empty(quantities), np.empty(directions)
    moves, along = np.empty((quantities + 1, width), dtype=np.float32), np.empty(directions)
    for row in range(len(mean)):
        of, at, w = basis[problem[row]], candidate[row], learned[row]
        along[:] = 0.0
        for q in range(
            quantities
        ):  # what was seen, one quantity after the other; each knows what those before it told
            known[q] = np.isfinite(seen[row, q])
            before[q], doubt[q] = mean[row, q, at], variance[row, q, at]
            step = seen[row, q] - before[q] if known[q] else 0.0
            power = noise[row, q] + least[row, q, at] if known[q] else unseen
            new = w[used + q]
            for r in range(directions):
                loadings[r] = of[r, q * count + at]
                new[r] = loadings[r]
            for k in range(used + q):
                share = 0.0
                for r in range(directions):
                    share += w[k, r] * loadings[r]
                for r in range(directions):
                    new[r] -= share * w[k, r]
                if k >= used:
                    step -= share * steps[k - used]
            for r in range(directions):
                power += loadings[r] * new[r]
            root = np.sqrt(power)
            steps[q] = step / root
            for r in range(directions):
                new[r] /= root
                along[r] += steps[q] * new[r]
        moves[:] = np.float32(0.0)
        for r in range(directions):
            line = of[r]
            for q in range(quantities + 1):
                weight = np.float32(w[used + q, r]) if q < quantities else np.float32(along[r])
                move = moves[q]
                for j in range(width):
                    move[j] += weight * line[j]
        spread, floor, middle = (
            variance[row].reshape(-1),
            least[row].reshape(-1),
            mean[row].reshape(-1),
        )
        for q in range(quantities):
            move = moves[q]
            for j in range(width):
                spread[j] -= move[j] * move[j]
        move = moves[quantities]
        for j in range(width):
            middle[j] += move[j]
            spread[j] = max(spread[j], floor[j])
        for q in range(
            quantities
        ):  # what was measured itself is known better than its directions say
            if known[q]:
                weight_of_seen = doubt[q] / max(doubt[q] + noise[row, q], 1e-12)
                mean[row, q, at] = before[q] + weight_of_seen * (seen[row, q] - before[q])
                variance[row, q, at] = weight_of_seen * noise[row, q]
                least[row, q, at] = min(least[row, q, at], variance[row, q, at])


def exponentials(values: Single, power: Single, bits: npt.NDArray[np.int32]) -> None:
    """E to the values [N], in place; without a branch or a call, so that several are computed at a time (Cephes' expf, by S. Moshier).

    Args:
        values: within -80..80. power, bits: [N], the same memory as numbers and as whole numbers.
    """
    for j in range(len(values)):
        x = values[j]
        whole = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
        x = (x - whole * np.float32(0.693359375)) + whole * np.float32(2.12194440e-4)
        y = np.float32(1.9875691500e-4) * x + np.float32(1.3981999507e-3)
        y = (y * x + np.float32(8.3334519073e-3)) * x + np.float32(4.1665795894e-2)
        y = (y * x + np.float32(1.6666665459e-1)) * x + np.float32(5.0000001201e-1)
        values[j] = y * x * x + x + np.float32(1.0)
        bits[j] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    for j in range(len(values)):
        values[j] *= power[j]


def logarithms(values: Single, parts: Single, bits: npt.NDArray[np.int32]) -> None:
    """Natural logarithms of positive values [N], in place (Cephes' logf).

    Args:
        parts, bits: [N], the same memory as numbers and as whole numbers.
    """
    parts[:] = values
    for j in range(len(values)):
        whole = bits[j]
        values[j] = np.float32((whole >> np.int32(23)) - np.int32(126))
        bits[j] = (whole & np.int32(0x7FFFFF)) | np.int32(0x3F000000)
    for j in range(len(values)):
        x, exponent = parts[j], values[j]
        small = x < np.float32(0.70710678)
        exponent = exponent - (np.float32(1.0) if small else np.float32(0.0))
        x = (x + x if small else x) - np.float32(1.0)
        z = x * x
        y = np.float32(7.0376836292e-2) * x - np.float32(1.1514610310e-1)
        y = (y * x + np.float32(1.1676998740e-1)) * x - np.float32(1.2420140846e-1)
        y = (y * x + np.float32(1.4249322787e-1)) * x - np.float32(1.6668057665e-1)
        y = (y * x + np.float32(2.0000714765e-1)) * x - np.float32(2.4999993993e-1)
        y = (
            (y * x + np.float32(3.3333331174e-1)) * x * z
            - np.float32(2.12194440e-4) * exponent
            - np.float32(0.5) * z
        )
        values[j] = x + y + np.float32(0.693359375) * exponent


def ranks(keys: Single, packed: npt.NDArray[np.int32], before: npt.NDArray[np.int32]) -> None:
    """How many come before each [N], the largest being first: more comparisons than a sort makes, but many at a time.

    Args:
        packed: [N], the memory of `keys` as whole numbers; comes to hold what `envs.belief.features` sorts by.
    """
    low = np.int32(1)
    while low <= len(keys):
        low *= np.int32(2)
    low -= np.int32(1)
    for j in range(len(keys)):
        keys[j] = -keys[j]
    for j in range(len(keys)):
        whole = packed[j] ^ ((packed[j] >> np.int32(31)) & np.int32(0x7FFFFFFF))
        packed[j] = (whole & ~low) | np.int32(j)
        before[j] = np.int32(0)
    for i in range(len(keys)):
        value = packed[i]
        for j in range(len(keys)):
            before[j] += np.int32(value < packed[j])


def describe(out: Single, shown: npt.NDArray[np.int64], situation: Situation) -> None:
    """As `envs.belief.features.observe`, into its results [B, P, F] and [B, P]."""
    (
        mean,
        variance,
        noise,
        limits,
        weights,
        present,
        measured,
        held,
        best,
        best_score,
        used,
        broke,
        known,
        budget,
    ) = situation
    zero, one, steep, away = (
        np.float32(0.0),
        np.float32(1.0),
        np.float32(LOGISTIC),
        np.float32(AWAY),
    )
    proposals = shown.shape[1]
    quantities, count = mean.shape[1:]
    tenants = weights.shape[1]
    score, spread, chance = (
        np.empty(count, dtype=np.float32),
        np.empty(count, dtype=np.float32),
        np.empty(count, dtype=np.float32),
    )
    kept, key, unit = (
        np.empty(count, dtype=np.float32),
        np.empty(count, dtype=np.float32),
        np.empty(count, dtype=np.float32),
    )
    gain, acquisition, net = (
        np.empty(count, dtype=np.float32),
        np.empty(count, dtype=np.float32),
        np.empty(count, dtype=np.float32),
    )
    better, safe, parts = (
        np.empty(count, dtype=np.float32),
        np.empty(count, dtype=np.float32),
        np.empty(count, dtype=np.float32),
    )
    bits, packed = parts.view(np.int32), key.view(np.int32)
    excess = np.empty((quantities - tenants, count), dtype=np.float32)
    allowed, served = np.empty(count, dtype=np.bool_), np.empty(tenants, dtype=np.float32)
    for row in range(len(mean)):
        means, variances = mean[row], variance[row]
        if tenants == 1:
            shift = np.log(weights[row, 0])
            for j in range(count):
                score[j], spread[j] = means[0, j] + shift, np.sqrt(variances[0, j])
        else:
            for j in range(count):
                total, doubt = zero, zero
                for t in range(tenants):
                    served[t] = np.exp(means[t, j]) * weights[row, t]
                    total += served[t]
                total = max(total, np.float32(1e-12))
                for t in range(tenants):
                    doubt += (served[t] / total) ** 2 * variances[t, j]
                score[j], spread[j] = np.log(total), np.sqrt(max(doubt, np.float32(1e-6)))
        kept[:] = one
        for limit in range(quantities - tenants):
            q = tenants + limit
            most, scatter = limits[row, q], noise[row, q]
            for j in range(count):
                beyond = max(means[q, j] - most, np.float32(-6.0)) / np.sqrt(
                    variances[q, j] + scatter
                )
                beyond = min(max(beyond, np.float32(-8.0)), np.float32(8.0))
                excess[limit, j], gain[j] = beyond, steep * beyond
            exponentials(gain, parts, bits)
            for j in range(count):
                kept[j] *= one + gain[j]
        for j in range(count):
            kept[j] = one / kept[j]
            chance[j] = kept[j]
        logarithms(chance, parts, bits)
        promise = np.float32(-1e3)
        for j in range(count):
            reach = score[j] + max(chance[j], np.float32(-8.0))
            promise = max(promise, reach if present[row, j] else np.float32(-1e3))
        at = best[row]
        over = best_score[row] if at >= 0 else promise - one
        for j in range(count):
            unit[j] = (score[j] - over) / spread[j]
            better[j] = -steep * min(max(unit[j], np.float32(-8.0)), np.float32(8.0))
            gain[j] = np.float32(-0.5) * min(unit[j] * unit[j], np.float32(60.0))
        exponentials(better, parts, bits)
        exponentials(gain, parts, bits)
        for j in range(count):
            better[j] = one / (one + better[j])
            gain[j] = spread[j] * max(
                unit[j] * better[j] + np.float32(PEAK) * gain[j], np.float32(1e-6)
            )
        for j in range(count):
            acquisition[j], net[j] = gain[j], min(gain[j], np.float32(1.5))
        logarithms(acquisition, parts, bits)
        exponentials(net, parts, bits)
        for j in range(count):
            acquisition[j] = max(acquisition[j] + chance[j], np.float32(-14.0))
            net[j] = kept[j] * (net[j] - one) - np.float32(RISK) * (one - kept[j])
            key[j] = net[j] + np.float32(1e-3) * acquisition[j]
        waiting, safety = -1, -away
        for j in range(count):
            worth = score[j] + np.float32(WAITING) * kept[j]
            if held[row, j] and worth > safety:
                waiting, safety = j, worth
        safe[:] = chance
        for j in range(count):
            allowed[j] = present[row, j] and (not measured[row, j] or j == waiting)
            if not allowed[j]:
                key[j] -= away
                safe[j] -= away
        if waiting >= 0:
            safe[waiting] -= away
        for rank in (2, 1):
            safest = np.argmax(safe)
            key[safest] += np.float32(100.0) * np.float32(rank)
            safe[safest] = np.float32(-1e4)
        if waiting >= 0:
            key[waiting] += np.float32(1e3)
        ranks(key, packed, bits)
        for j in range(count):
            if bits[j] < proposals:
                shown[row, bits[j]] = j
        latency = False
        for q in range(tenants, quantities - 1):
            latency |= np.isfinite(limits[row, q])
        for place in range(proposals):
            j = shown[row, place]
            worst = 0
            for limit in range(1, quantities - tenants):
                if excess[limit, j] > excess[worst, j]:
                    worst = limit
            q = tenants + worst
            line = out[row, place]
            line[0], line[1], line[2] = allowed[j], measured[row, j], j == at
            line[3] = min(max(score[j] - over, np.float32(-3.0)), np.float32(3.0))
            line[4], line[5], line[6] = (
                min(spread[j], np.float32(30.0)),
                max(chance[j], np.float32(-8.0)) / np.float32(4.0),
                -excess[worst, j] / np.float32(4.0),
            )
            line[7] = min(max(means[q, j] - limits[row, q], np.float32(-2.0)), np.float32(2.0))
            line[8] = min(np.sqrt(variances[q, j] + noise[row, q]), np.float32(30.0))
            line[9], line[10], line[11], line[12] = (
                min(gain[j], np.float32(2.0)),
                acquisition[j] / np.float32(4.0),
                net[j],
                better[j],
            )
            line[13] = min(max(score[j] - promise, np.float32(-3.0)), one)
            line[14], line[15], line[16] = used[row] / budget, (budget - used[row]) / 8, at >= 0
            line[17] = (
                min(max(best_score[row] - promise, np.float32(-3.0)), one) if at >= 0 else zero
            )
            line[18], line[19], line[20] = (
                np.isfinite(limits[row, quantities - 1]),
                latency,
                broke[row],
            )
            line[21:] = known[row]


class Kernels(NamedTuple):
    """Compiled functions, with the arguments of `condition` and `describe`."""

    condition: Callable[..., None]
    describe: Callable[..., None]


@functools.cache
def compiled() -> Kernels | None:
    """In machine code, kept between runs; None where numba is not installed."""
    if importlib.util.find_spec("numba") is None:
        return None
    for function in (exponentials, logarithms, ranks):
        optional_import("numba.extending", "train").register_jitable(function)
    make = optional_import("numba", "train").njit
    # Sums over directions may be taken in another order (several at a time), but in the same order for every row.
    sums, rest = (
        make(cache=True, error_model="numpy", fastmath=allowed)
        for allowed in ({"reassoc", "contract"}, {"contract"})
    )
    return Kernels(sums(condition), rest(describe))
