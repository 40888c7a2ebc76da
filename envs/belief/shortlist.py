"""Which configurations of a space may be the best for an objective, by the model: all of a small space, a local search in a large one.

Letters: C draws, N configurations, T tenants, A accelerators, K = T x A knobs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray, Floats, Placements
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec.objective import Objective, log_score, worst_margin
from envs.spec.space import ConfigurationSpace
from envs.spec.validity import VALID, judge

#: Draws that look through the space, and how many configurations each contributes: the best at the limits, at tighter limits, and the safest.
SCOUTS, BEST, SAFEST = 8, 250, 60

#: A penalty per unit of violation (a logarithm) that makes a broken limit cost more than any throughput could bring.
PENALTY = 6.0

#: How far inside its limits, in logarithms, a configuration counts as where nothing is limited.
UNLIMITED = 20.0

#: Spaces above this many combinations are searched instead of enumerated.
ENUMERATED = 200_000


def score_and_violation(
    model: DeviceModel, logs: FloatArray, objective: Objective
) -> tuple[Floats, Floats]:
    """Return the log score and the worst margin of configurations, [..., N] each.

    Args:
        model: of the device; where it predicts no power, a power limit is left out.
        logs: [..., Q, N] logarithms that the model predicts.
        objective: the limits.

    Returns:
        The log of the weighted throughput, and the log of the worst measured over allowed: negative
        inside the limits, -UNLIMITED where there are none.
    """
    limits = objective.log_limits
    if not model.has_power:
        limits[-1] = np.inf
    score = log_score(logs, np.array(model.space.workload.weights))
    return score, np.maximum(worst_margin(logs, limits), -UNLIMITED)


def candidate_pool(
    model: DeviceModel,
    draws: Contexts,
    objective: Objective,
    rng: np.random.Generator,
    candidates: Placements | None,
) -> Placements:
    """What some of the draws find best: [N, T, A, 2], each once.

    Args:
        candidates: to choose from; None for the whole space.
    """
    if candidates is None and model.space.combinations > ENUMERATED:
        return _searched(model, draws, objective, rng)
    placements = unmirrored(model.space) if candidates is None else candidates
    chosen = []
    for scout in range(min(SCOUTS, len(draws))):
        logs = model.logarithms(draws.take(np.array([scout])), placements)[0]
        score, violation = score_and_violation(model, logs, objective)
        for margin in (0.0, 0.15):
            chosen.append(_best(score - PENALTY * np.maximum(violation + margin, 0.0), BEST))
        chosen.append(_best(-violation, SAFEST))
    return placements[np.unique(np.concatenate(chosen))]


def _best(worth: Floats, count: int) -> npt.NDArray[np.int64]:
    if len(worth) <= count:
        return np.arange(len(worth))
    return np.argpartition(-np.nan_to_num(worth, neginf=-1e9), count)[:count]


_UNMIRRORED: dict[ConfigurationSpace, Placements] = {}


def unmirrored(space: ConfigurationSpace) -> Placements:
    """The catalogue with one of each pair that differs only in which DLA core is which."""
    if space not in _UNMIRRORED:
        names = space.device.accelerator_names
        placements = space.catalogue
        if "dla0" in names and "dla1" in names and space.shape[0] == 1:
            size = placements[:, 0, :, 0].astype(np.int64) * 10_000 + placements[:, 0, :, 1]
            placements = placements[size[:, names.index("dla0")] >= size[:, names.index("dla1")]]
        if len(_UNMIRRORED) > 16:  # spaces are few and large
            _UNMIRRORED.clear()
        _UNMIRRORED[space] = placements
    return _UNMIRRORED[space]


def _searched(
    model: DeviceModel, draws: Contexts, objective: Objective, rng: np.random.Generator
) -> Placements:
    """What local searches of some draws passed through, their best first."""
    found = [
        search(model, draws.take(np.array([scout])), objective, rng, margin)
        for scout in range(min(SCOUTS, len(draws)))
        for margin in (0.0, 0.15)
    ]
    every = np.concatenate([each[:BEST] for each in found])
    return every[np.unique(model.space.codes(every), return_index=True)[1]]


def search(
    model: DeviceModel,
    context: Contexts,
    objective: Objective,
    rng: np.random.Generator,
    margin: float = 0.0,
    starts: int = 24,
    rounds: int = 40,
) -> Placements:
    """Local search by changing one knob at a time, or exchanging two, from several starts in one batch; what was seen, best first [N, T, A, 2]."""
    space = model.space
    known: dict[int, float] = {}
    seen: list[Placements] = []
    worths: list[FloatArray] = []

    def evaluate(placements: Placements) -> FloatArray:
        logs = model.logarithms(context, placements)[0]
        score, violation = score_and_violation(model, logs, objective)
        return np.asarray(score - PENALTY * np.maximum(violation + margin, 0.0))

    beam = valid(
        space,
        np.concatenate([space.default().array()[None], random_placements(space, rng, 40 * starts)]),
    )
    worth = evaluate(beam)
    for _ in range(rounds):
        order = np.argsort(-worth)[:starts]
        beam, worth = beam[order], worth[order]
        near = _neighbours(space, beam)
        codes = space.codes(near)
        new = np.unique(codes, return_index=True)[1]
        new = new[[int(code) not in known for code in codes[new]]]
        near = valid(space, near[new])
        if not len(near):
            break
        value = evaluate(near)
        known.update(zip(space.codes(near).tolist(), value.tolist(), strict=True))
        seen.append(near)
        worths.append(value)
        if value.max() <= worth.max() and value.max() <= np.sort(worth)[0]:
            break
        beam, worth = np.concatenate([beam, near]), np.concatenate([worth, value])
    every, value = np.concatenate([beam, *seen]), np.concatenate([worth, *worths])
    return every[np.argsort(-value, kind="stable")]


def random_placements(
    space: ConfigurationSpace, rng: np.random.Generator, count: int
) -> Placements:
    """Random settings, most knobs unused."""
    choices = np.stack([rng.choice(each, count) for each in space.knob_options], axis=-1)
    choices[rng.random(choices.shape) < 0.5] = 0
    return space.decode(choices)


def valid(space: ConfigurationSpace, placements: Placements) -> Placements:
    kept: Placements = placements[judge(space, placements) == VALID]
    return kept


def _neighbours(space: ConfigurationSpace, placements: Placements) -> Placements:
    """Everything that differs in one knob, [N', T, A, 2]."""
    codes = space.encode(placements)
    found = []
    for knob, options in enumerate(space.knob_options):
        changed = np.repeat(codes[:, None], len(options), axis=1)
        changed[:, :, knob] = options
        found.append(changed.reshape(-1, codes.shape[1]))
    return space.decode(np.concatenate(found))
