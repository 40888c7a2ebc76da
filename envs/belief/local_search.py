"""A local search of a space too large to list, by the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.arrays import BoolArray, Floats, IntArray, Placements, Rows
from envs.belief.moves import OPTION, Moves
from envs.belief.score import penalised, score_and_violation
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import Contexts
from envs.spec import ConfigurationSpace, Objective
from envs.spec.validity import VALID, judge

#: At most so many settings with one instance a tenant are tried.
SINGLES = 4096

#: Random configurations that a search starts from.
RANDOM_STARTS = 960

#: Divisions of the accelerators between critical tenants and best effort that are tried, at most,
#: and instances of a critical tenant on each of its own.
DIVISIONS, APART = 256, 2

#: The best configurations whose neighbours are looked at before a search ends, and how many of them
#: at a time.
BEAM, WIDTH = 24, 24

#: Weight of the distance to the limits beside the worth: of equals, those farthest inside them come
#: first. Under arrivals at a rate all that keep up have the same score; without an order among them
#: a search would look around all of them.
TIE = 1e-6

#: A round in which the best becomes better by less than this, or its distance to the limits (a
#: logarithm) grows by less than SAFER, has found nothing.
BETTER, SAFER = 1e-4, 0.02


def search(
    model: DeviceModel,
    context: Contexts,
    objective: Objective,
    rng: np.random.Generator,
    margin: float = 0.0,
) -> Placements:
    """Search by small moves from several starts in one batch.

    Args:
        model: of the device and its networks.
        context: one draw of what is uncertain.
        objective: the limits.
        rng: for the first starts.
        margin: by how much tighter than given the limits are taken, in logarithms.

    Returns:
        Everything that was evaluated, best first, [N, T, A, 2].
    """
    found = LocalSearch(model, context, objective, (margin,))
    found.add(starts(model.space, rng))
    found.run()
    return found.placements(found.best(0, margin))


class LocalSearch:
    """Searches in C contexts at once, each for the best at several margins.

    In each round the neighbours (`envs.belief.moves`) of the best configurations that were not
    looked around yet are evaluated, those of all contexts in one call of the model. It ends where
    the BEAM best of every context and margin have no neighbours that were not evaluated.

    Args:
        model: of the device and its networks.
        contexts: C draws of what is uncertain.
        objective: the limits.
        margins: by how much tighter than given the limits are taken, in logarithms.
    """

    def __init__(
        self,
        model: DeviceModel,
        contexts: Contexts,
        objective: Objective,
        margins: Sequence[float] = (0.0,),
    ) -> None:
        self._model, self._contexts, self._objective = model, contexts, objective
        self._margins, self.space = tuple(margins), model.space
        self._moves = Moves(model.space)
        knobs = model.space.knobs
        self._context = np.zeros(0, dtype=np.int64)
        self._options = np.zeros((0, knobs), dtype=OPTION)
        self._score, self._violation = np.zeros(0), np.zeros(0)
        self._opened = np.zeros(0, dtype=bool)
        self._known = [np.zeros(0, dtype=np.int64) for _ in range(len(contexts))]
        searches = len(contexts) * len(self._margins)
        self._leading = [np.zeros(0, dtype=np.int64) for _ in range(searches)]  # the BEAM best

    def __len__(self) -> int:
        """Return how many evaluations there were, of all contexts together."""
        return len(self._score)

    def add(self, placements: Placements) -> None:
        """Evaluate configurations [N, T, A, 2] in every context; invalid ones are left out.

        Raises:
            ValueError: the space has no such setting of a knob.
        """
        options = self.space.encode(placements)
        if (options < 0).any():
            raise ValueError("a start lies outside the space: take it from the same space")
        count, options = len(self._contexts), options.astype(OPTION)
        self._evaluate(np.repeat(np.arange(count), len(options)), np.tile(options, (count, 1)))

    def run(
        self, rounds: int = 60, beam: int = BEAM, width: int = WIDTH, patience: int | None = None
    ) -> None:
        """Search until nothing near the best is new.

        Args:
            rounds: at most.
            beam: the best whose neighbours are looked at, of every context and margin; at most
                BEAM.
            width: how many of them in a round.
            patience: rounds in a row without a better one after which the search of a context and
                margin ends, too; None for any number.
        """
        idle = np.zeros(len(self._leading), dtype=np.int64)
        best = self._leaders()
        for _ in range(rounds):
            opened = self._open(beam, width, idle < (patience or rounds))
            if not len(opened):
                break
            near, came = self._moves.near(self._options[opened])
            self._evaluate(self._context[opened][came], near)
            before, best = best, self._leaders()
            worth, safety = (best - before).T
            idle = np.where((worth > BETTER) | ((worth >= 0) & (safety > SAFER)), 0, idle + 1)

    def best(self, context: int, margin: float) -> Rows:
        """Return the evaluations of a context, best first."""
        own = np.flatnonzero(self._context == context)
        return own[np.argsort(-self._worth(own, margin), kind="stable")]

    def safest(self, context: int) -> Rows:
        """Return the evaluations of a context, those farthest inside the limits first."""
        own = np.flatnonzero(self._context == context)
        return own[np.argsort(self._violation[own], kind="stable")]

    def worth(self, context: int, margin: float) -> float:
        """Return the worth of the best of a context, see `envs.belief.score.penalised`."""
        return float(self._worth(np.flatnonzero(self._context == context), margin).max())

    def placements(self, rows: Rows) -> Placements:
        """Return the configurations of evaluations, [N, T, A, 2]."""
        return self.space.decode(self._options[rows])

    def _worth(self, rows: Rows, margin: float) -> Floats:
        violation = self._violation[rows]
        return penalised(self._score[rows], violation + margin) - TIE * violation

    def _leaders(self) -> Floats:
        """Return worth and distance to the limits of the best of each search, [S, 2]."""
        first = np.array([leading[0] for leading in self._leading])
        margins = np.tile(self._margins, len(self._contexts))
        violation = self._violation[first]
        worth = penalised(self._score[first], violation + margins)
        return np.stack([worth, -violation], axis=1)

    def _open(self, beam: int, width: int, going_on: BoolArray) -> Rows:
        """Return the evaluations to look around next, and mark them.

        Args:
            beam: see `run`.
            width: see `run`.
            going_on: [S], which searches, by context and margin, look around.
        """
        chosen = [np.zeros(0, dtype=np.int64)]
        for position in np.flatnonzero(going_on):
            top = self._leading[position][:beam]
            top = top[~self._opened[top]][:width]
            self._opened[top] = True
            chosen.append(top)
        return np.unique(np.concatenate(chosen))

    def _follow(self, since: int) -> None:
        """Let the evaluations from row `since` on be among the leading ones where they belong."""
        for context in range(len(self._contexts)):
            own = since + np.flatnonzero(self._context[since:] == context)
            for place, margin in enumerate(self._margins, context * len(self._margins)):
                rows = np.concatenate([self._leading[place], own])
                best = np.argsort(-self._worth(rows, margin), kind="stable")[:BEAM]
                self._leading[place] = rows[best]

    def _evaluate(self, context: Rows, options: IntArray) -> None:
        """Evaluate options [N, K] in contexts [N], without what is known or not valid."""
        codes = self.space.codes_of(options)
        new = np.concatenate([self._new(each, context, codes) for each in range(len(self._known))])
        first, which = np.unique(codes[new], return_index=True, return_inverse=True)[1:]
        placements = self.space.decode(options[new[first]])
        kept = (judge(self.space, placements) == VALID)[which]
        new, which = new[kept], which[kept]
        if not len(new):
            return
        logs = self._model.logarithms_of(self._contexts, context[new], placements, which)
        score, violation = score_and_violation(self._model, logs, self._objective)
        before = len(self)
        self._context = np.concatenate([self._context, context[new]])
        self._options = np.concatenate([self._options, options[new]])
        self._score = np.concatenate([self._score, score])
        self._violation = np.concatenate([self._violation, violation])
        self._opened = np.concatenate([self._opened, np.zeros(len(new), dtype=bool)])
        self._follow(before)

    def _new(self, context: int, contexts: Rows, codes: Rows) -> Rows:
        """Return the rows of a context whose codes [N] are new in it, each code once."""
        own = np.flatnonzero(contexts == context)
        found, first = np.unique(codes[own], return_index=True)
        new = ~np.isin(found, self._known[context], assume_unique=True)
        self._known[context] = np.concatenate([self._known[context], found[new]])
        return own[first[new]]


def starts(
    space: ConfigurationSpace, rng: np.random.Generator, count: int = RANDOM_STARTS
) -> Placements:
    """Return the default, one instance a tenant, critical tenants apart, and random ones."""
    drawn = random_placements(space, rng, count)
    first = space.default().array()[None]
    every = [first, single_placements(space), placements_apart(space), drawn]
    return valid(space, np.concatenate(every))


def single_placements(space: ConfigurationSpace) -> Placements:
    """Return settings of one instance a tenant at the smallest batch, at most `SINGLES`.

    Tight limits leave little else, and random settings seldom meet it.
    """
    tenants, accelerators = space.shape
    count = min(accelerators**tenants, SINGLES)
    where = np.arange(count)[:, None] // accelerators ** np.arange(tenants) % accelerators
    if (
        accelerators**tenants > SINGLES
    ):  # there are more: a sample, in which every tenant is everywhere
        where = np.random.default_rng(0).integers(accelerators, size=(count, tenants))
    single = np.zeros((count, tenants, accelerators, 2), dtype=np.int16)
    single[np.arange(count)[:, None], np.arange(tenants), where] = (1, space.batches[0])
    return single


def placements_apart(space: ConfigurationSpace) -> Placements:
    """Return settings in which critical tenants and best effort share no accelerator.

    Small moves seldom come there from a setting in which they do: on the way, each first move of
    a critical tenant to an accelerator that best effort fills breaks its limits.

    Returns:
        [N, T, A, 2]: every division of the whole accelerators in two, with every batch size of
        best effort; none without best effort. Critical tenants have APART instances on each of
        theirs, at the smallest batch.
    """
    low = np.array(space.workload.best_effort)
    every = space.device.accelerators
    whole = [at for at, each in enumerate(every) if each.segments == 1 and each.mapping is None]
    if not low.any():
        return np.zeros((0, *space.shape, 2), dtype=np.int16)
    sides = np.arange(min(2 ** len(whole), DIVISIONS))[:, None] >> np.arange(len(whole)) & 1
    own = np.zeros((len(sides), len(every)), dtype=bool)
    theirs = own.copy()
    own[:, whole], theirs[:, whole] = sides == 0, sides == 1
    found = np.zeros((len(space.batches), len(sides), *space.shape, 2), dtype=np.int16)
    critical = (min(APART, space.max_instances), space.batches[0])
    found[:] = np.where((own[:, None] & ~low[:, None])[..., None], critical, 0)
    for at, batch in enumerate(space.batches):
        found[at][theirs[:, None] & low[:, None]] = (1, batch)
    return found.reshape(-1, *space.shape, 2)


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
