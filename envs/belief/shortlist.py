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

#: Draws that look through the space, and how many of them look through a space that is searched
#: from all starts: the others go on from what these found.
SCOUTS, FIRST_SCOUTS = 8, 4

#: Configurations that each of them contributes: the best at the limits and at tighter ones, and
#: the safest.
BEST, SAFEST = 250, 60

#: By how much tighter the limits are taken, in logarithms.
TIGHTER = (0.0, 0.15)

#: Spaces above this many combinations are searched instead of enumerated.
ENUMERATED = 200_000

#: In a space that is searched: how many of its best a scout looks around, how many it shows to the
#: others, and how many it contributes at each of the margins.
SCOUT_BEAM, SHARED, FOUND = 12, 32, 120

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
    """Let some scouts search from all starts, and every scout from the best of those.

    Draws differ little in which parts of the space are good, so that not each of them need find
    its own way there.
    """
    count = min(SCOUTS, len(draws))
    few = min(FIRST_SCOUTS, count)
    first = LocalSearch(model, draws.take(np.arange(few)), objective, TIGHTER)
    first.add(starts(model.space, rng))
    first.run(beam=SCOUT_BEAM, width=SCOUT_BEAM, patience=PATIENCE)
    scouts = LocalSearch(model, draws.take(np.arange(count)), objective, TIGHTER)
    scouts.add(_contributed(first, few, SHARED, SHARED))
    scouts.run(beam=SCOUT_BEAM, width=SCOUT_BEAM, patience=PATIENCE)
    return _contributed(scouts, count, FOUND, SAFEST)


def _contributed(found: LocalSearch, scouts: int, best: int, safest: int) -> Placements:
    """Return the best of each scout at each margin, and its safest, each configuration once."""
    rows = [found.best(scout, margin)[:best] for scout in range(scouts) for margin in TIGHTER]
    rows += [found.safest(scout)[:safest] for scout in range(scouts)]
    every = found.placements(np.unique(np.concatenate(rows)))
    return every[np.unique(found.space.codes(every), return_index=True)[1]]
