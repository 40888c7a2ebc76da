"""Misfits: ways, by name, in which a device departs from what is believed of it.

The belief of every tuner comes from the device model with its uncertain parameters. A misfit makes
the truth one that the model thinks all but impossible, or windows that tell of the truth in a way
that the belief does not know. Some kinds are for training, the others only for comparisons, so that
a comparison shows what a policy does about a misfit of a kind that it never saw.

| kind | departs | from what was trained it differs in |
| --- | --- | --- |
| `departing_engines` | each engine's time by itself, spread 0.3 to 0.6 (the belief: 0.05) | |
| `heavy_tails` | p99 of a window has outliers: tail weight 0.2 to 0.5 | |
| `drift` | with each measurement 3 to 12 % of the way to a hot or shared device | |
| `wider` | all parameters are twice as uncertain as believed | |
| `far_worse` | one accelerator is 3 to 10 times slower | all engines of one accelerator at once |
| `neighbour_bursts` | in 10 to 40 % of the windows the device is hot or shared | comes and goes |
| `lagging_sensor` | 30 to 80 % of the power is that of the window before | power, of two windows |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from envs.arrays import FloatArray, Floats, IntArray
from envs.errors import OptionError
from envs.simulator.departures import departed
from envs.simulator.device_model import DeviceModel
from envs.simulator.positions import EDGE_TPUS
from envs.simulator.tables import DLA, Contexts, is_modelled, position_of
from envs.simulator.tails import TAIL_WEIGHT

if TYPE_CHECKING:
    from envs.problems.draw_options import DrawOptions

#: Numbers of a misfit of windows: tail weight h of p99 (`envs.simulator.tails` has the usual one),
#: drift a measurement as a share of the way from the first truth of a problem to the next, chance
#: that the next truth answers a window, share of the power of the window before in what the sensor
#: says.
NUMBERS = ("tail", "drift", "burst", "lag")


@dataclass(frozen=True)
class Misfit:
    """Describe how a device departs from its belief; the default is one that does not.

    Attributes:
        kind: its name; empty for none.
        numbers: [4], see `NUMBERS`.
        width: factor on the uncertainty of all parameters of the truth.
        log_times: [2, T, X, Z], what is added to the logarithm of the time that an engine takes on
            the GPU (or the cores) and on a DLA; None for nothing.
    """

    kind: str = ""
    numbers: FloatArray = field(default_factory=lambda: _numbers(), repr=False)
    width: float = 1.0
    log_times: FloatArray | None = field(default=None, repr=False)

    def apply(self, truths: Contexts) -> Contexts:
        """Return the truths [C] of a device with its engines as they really are."""
        return truths if self.log_times is None else departed(truths, self.log_times[:, None], 1.0)


def truth_of_windows(
    misfit: Floats, step: IntArray, true: Floats, other: Floats, before: Floats, chance: Floats
) -> Floats:
    """Return what is true while windows of B devices are open, [B, Q] logarithms.

    Args:
        misfit: [B, 4], see `NUMBERS`; the tail is no part of the truth.
        step: [B], measurements before.
        true: [B, Q], of the device as it was drawn.
        other: [B, Q], of the same when it is hot or shared.
        before: [B], true power of what was measured before.
        chance: [B], uniform in [0, 1): whether a neighbour is busy.
    """
    _, drift, burst, lag = misfit.T
    moved = np.minimum(drift * step, 1.0)[:, None]
    true = true + moved * (other - true)
    true = np.where((chance < burst)[:, None], other, true)
    lagged = np.log((1 - lag) * np.exp(true[:, -1]) + lag * np.exp(before))
    true[:, -1] = np.where(lag > 0, lagged, true[:, -1])
    return true


def _numbers(**given: float) -> FloatArray:
    """Return [4], those that are given and otherwise those of a device that is as believed."""
    usual = {"tail": TAIL_WEIGHT}
    return np.array([given.get(name, usual.get(name, 0.0)) for name in NUMBERS])


#: Draws a misfit of one kind for a device.
Drawing = Callable[[DeviceModel, np.random.Generator], Misfit]


def _far_worse(model: DeviceModel, rng: np.random.Generator) -> Misfit:
    """Draw one accelerator that is slow with every network; both DLA cores run the same engines.

    So do all Edge TPUs.
    """
    machine = model.machine
    alike = {DLA.start: DLA, EDGE_TPUS.start: EDGE_TPUS}
    positions = {
        position_of(each, plain=machine.plain)
        for each in model.space.device.accelerators
        if is_modelled(each, machine) and each.mapping is None
    }
    kinds = {min(each, EDGE_TPUS.start) for each in positions - {DLA.stop - 1}}
    kinds |= {DLA.start} if DLA.stop - 1 in positions else set()
    slow = int(rng.choice(sorted(kinds)))
    log_times = np.zeros((2, model.space.shape[0], model.positions, len(model.space.batches)))
    log_times[:, :, alike.get(slow, slow)] = rng.uniform(np.log(3.0), np.log(10.0))
    return Misfit("far_worse", log_times=log_times)


def _departing_engines(model: DeviceModel, rng: np.random.Generator) -> Misfit:
    shape = (2, model.space.shape[0], model.positions, len(model.space.batches))
    spread = rng.uniform(0.3, 0.6)
    return Misfit("departing_engines", log_times=spread * rng.standard_normal(shape))


def _wider(model: DeviceModel, rng: np.random.Generator) -> Misfit:
    del model, rng
    return Misfit("wider", width=2.0)


#: Misfits of windows alone: the number of each, and the bounds that it is drawn between.
OF_WINDOWS = {
    "heavy_tails": ("tail", 0.2, 0.5),
    "drift": ("drift", 0.03, 0.12),
    "neighbour_bursts": ("burst", 0.1, 0.4),
    "lagging_sensor": ("lag", 0.3, 0.8),
}


def window_misfit(kind: str, rng: np.random.Generator) -> Misfit:
    """Draw a misfit of a kind of `OF_WINDOWS`, which no device needs to be known for."""
    name, lowest, highest = OF_WINDOWS[kind]
    return Misfit(kind, _numbers(**{name: rng.uniform(lowest, highest)}))


def _of_windows(kind: str) -> Drawing:
    return lambda model, rng: window_misfit(kind, rng)


#: Kinds that training may draw, and kinds that only comparisons draw.
TRAIN: dict[str, Drawing] = {
    "departing_engines": _departing_engines,
    "heavy_tails": _of_windows("heavy_tails"),
    "drift": _of_windows("drift"),
    "wider": _wider,
}
HELD_OUT: dict[str, Drawing] = {
    "far_worse": _far_worse,
    "neighbour_bursts": _of_windows("neighbour_bursts"),
    "lagging_sensor": _of_windows("lagging_sensor"),
}
KINDS: dict[str, Drawing] = TRAIN | HELD_OUT

#: Names of several kinds.
GROUPS = {"train": tuple(TRAIN), "held_out": tuple(HELD_OUT)}


def kinds_of(names: Sequence[str]) -> list[str]:
    """Return the kinds that names of kinds or groups stand for, each once.

    Raises:
        OptionError: a name is neither.
    """
    wrong = [name for name in names if name not in KINDS and name not in GROUPS]
    if wrong:
        raise OptionError(
            f"draw.misfits={list(names)}: {wrong[0]!r} must be one of "
            f"{', '.join((*KINDS, *GROUPS))}"
        )
    return list(dict.fromkeys(kind for name in names for kind in GROUPS.get(name, (name,))))


def draw_misfit(options: DrawOptions, model: DeviceModel, rng: np.random.Generator) -> Misfit:
    """Draw the misfit of a device; most options have none, and then draw no random number."""
    kinds = kinds_of(options.misfits)
    if not kinds or rng.random() >= options.misfit_share:
        return Misfit()
    return KINDS[kinds[int(rng.integers(len(kinds)))]](model, rng)
