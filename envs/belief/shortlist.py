"""The shortlist: configurations that may be the best for an objective, by the model.

A small space is evaluated as a whole, a large one by local searches.
"""

import numpy as np

from envs.arrays import Floats, Placements, Rows
from envs.belief.local_search import LocalSearch, starts
from envs.belief.score import penalised, score_and_violation
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import ConfigurationSpace, Kind, Objective

#: Draws that look through the space.
SCOUTS = 8

#: Configurations that each of them contributes: the best at the limits and at tighter ones, and
#: the safest.
BEST, SAFEST = 250, 60

#: By how much tighter the limits are taken, in logarithms.
TIGHTER = (0.0, 0.15)

#: Spaces above this many combinations are searched instead of enumerated.
ENUMERATED = 200_000

#: In a space that is searched: how many of its best a scout looks around, how many it shows to the
#: others, and how many it contributes at each of the margins.
SCOUT_BEAM, SHARED, FOUND = 12, 16, 120

#: Rounds without anything better after which a scout's search ends.
PATIENCE = 2

#: Spaces whose catalogues without mirror images are kept; they are few and large.
KEPT = 16


def candidate_pool(
    model: DeviceModel,
    draws: Contexts,
    objective: Objective,
    rng: np.random.Generator,
    candidates: Placements | None,
) -> Placements:
    """Return the configurations that some of the draws find best, [N, T, A, 2], each once.

    Args:
        model: of the device and its networks.
        draws: of what is uncertain, some of which look through the space.
        objective: the limits.
        rng: for the starts of local searches.
        candidates: [N, T, A, 2] to choose from; None for the whole space.
    """
    if candidates is None and model.space.combinations > ENUMERATED:
        return _searched(model, draws, objective, rng)
    placements = unmirrored(model.space) if candidates is None else candidates
    chosen = []
    for scout in range(min(SCOUTS, len(draws))):
        logs = model.logarithms(draws.take(np.array([scout])), placements)[0]
        score, violation = score_and_violation(model, logs, objective)
        for margin in TIGHTER:
            chosen.append(_best(penalised(score, violation + margin), BEST))
        chosen.append(_best(-violation, SAFEST))
    return placements[np.unique(np.concatenate(chosen))]


def _best(worth: Floats, count: int) -> Rows:
    if len(worth) <= count:
        return np.arange(len(worth))
    return np.argpartition(-np.nan_to_num(worth, neginf=-1e9), count)[:count]


_UNMIRRORED: dict[ConfigurationSpace, Placements] = {}


def unmirrored(space: ConfigurationSpace) -> Placements:
    """Return the catalogue with one of each pair that differs only in which DLA core is which."""
    if space not in _UNMIRRORED:
        placements = space.catalogue
        accelerators = space.device.accelerators
        cores = [index for index, each in enumerate(accelerators) if each.kind is Kind.DLA]
        # Mappings use a core as well, each in its own way: then nothing is a mirror image.
        whole = all(accelerators[index].mapping is None for index in cores)
        if len(cores) == 2 and whole and space.shape[0] == 1 and not space.unavailable:
            size = placements[:, 0, :, 0].astype(np.int64) * 10_000 + placements[:, 0, :, 1]
            placements = placements[size[:, cores[0]] >= size[:, cores[1]]]
        if len(_UNMIRRORED) > KEPT:
            _UNMIRRORED.clear()
        _UNMIRRORED[space] = placements
    return _UNMIRRORED[space]


def _searched(
    model: DeviceModel, draws: Contexts, objective: Objective, rng: np.random.Generator
) -> Placements:
    """Let every scout search, then go on from the best that any of them found."""
    count = min(SCOUTS, len(draws))
    scouts = LocalSearch(model, draws.take(np.arange(count)), objective, TIGHTER)
    searches = [(scout, margin) for scout in range(count) for margin in TIGHTER]
    scouts.add(starts(model.space, rng))
    scouts.run(beam=SCOUT_BEAM, width=SCOUT_BEAM, patience=PATIENCE)
    scouts.add(_once(scouts, [scouts.best(*each)[:SHARED] for each in searches]))
    scouts.run(beam=SCOUT_BEAM, width=SCOUT_BEAM, patience=PATIENCE)
    safest = [scouts.safest(scout)[:SAFEST] for scout in range(count)]
    return _once(scouts, [*(scouts.best(*each)[:FOUND] for each in searches), *safest])


def _once(found: LocalSearch, rows: list[Rows]) -> Placements:
    """Return the configurations of evaluations, each once."""
    every = found.placements(np.unique(np.concatenate(rows)))
    return every[np.unique(found.space.codes(every), return_index=True)[1]]
