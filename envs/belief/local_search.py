"""A local search of a space too large to list, by the model."""

import numpy as np

from envs.arrays import Floats, Placements
from envs.belief.score import penalised, score_and_violation
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import ConfigurationSpace, Objective
from envs.spec.validity import VALID, judge

#: At most so many settings with one instance a tenant are tried.
SINGLES = 4096


def search(
    model: DeviceModel,
    context: Contexts,
    objective: Objective,
    rng: np.random.Generator,
    margin: float = 0.0,
    starts: int = 24,
    rounds: int = 40,
) -> Placements:
    """Search by changing one knob at a time, from several starts in one batch.

    Args:
        model: of the device and its networks.
        context: one draw of what is uncertain.
        objective: the limits.
        rng: for the first starts.
        margin: by how much tighter than given the limits are taken, in logarithms.
        starts: configurations that are kept from one round to the next.
        rounds: at most.

    Returns:
        Everything that was evaluated, best first, [N, T, A, 2].
    """
    space = model.space
    known: dict[int, float] = {}
    seen: list[Placements] = []
    worths: list[Floats] = []

    def evaluate(placements: Placements) -> Floats:
        logs = model.logarithms(context, placements)[0]
        score, violation = score_and_violation(model, logs, objective)
        return penalised(score, violation + margin)

    drawn = random_placements(space, rng, 40 * starts)
    first = [space.default().array()[None], single_placements(space), drawn]
    beam = valid(space, np.concatenate(first))
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


def single_placements(space: ConfigurationSpace) -> Placements:
    """Return settings of one instance a tenant at the smallest batch, at most `SINGLES`.

    Tight limits leave little else, and random settings seldom meet it.
    """
    tenants, accelerators = space.shape
    count = min(accelerators**tenants, SINGLES)
    where = np.arange(count)[:, None] // accelerators ** np.arange(tenants) % accelerators
    single = np.zeros((count, tenants, accelerators, 2), dtype=np.int16)
    single[np.arange(count)[:, None], np.arange(tenants), where] = (1, space.batches[0])
    return single


def random_placements(
    space: ConfigurationSpace, rng: np.random.Generator, count: int
) -> Placements:
    """Return random settings [N, T, A, 2], most knobs unused."""
    choices = np.stack([rng.choice(each, count) for each in space.knob_options], axis=-1)
    choices[rng.random(choices.shape) < 0.5] = 0
    return space.decode(choices)


def valid(space: ConfigurationSpace, placements: Placements) -> Placements:
    """Return the valid ones of placements [N, T, A, 2]."""
    kept: Placements = placements[judge(space, placements) == VALID]
    return kept


def _neighbours(space: ConfigurationSpace, placements: Placements) -> Placements:
    """Return everything that differs in one knob, [N', T, A, 2]."""
    codes = space.encode(placements)
    found = []
    for knob, options in enumerate(space.knob_options):
        changed = np.repeat(codes[:, None], len(options), axis=1)
        changed[:, :, knob] = options
        found.append(changed.reshape(-1, codes.shape[1]))
    return space.decode(np.concatenate(found))
