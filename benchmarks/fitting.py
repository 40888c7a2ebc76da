"""Fit the device model to published rows by regularised least squares in logarithms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from benchmarks.published import RESTING_GHZ, Parameters, predict
from benchmarks.published_rows import Row
from envs.arrays import FloatArray
from envs.simulator.parameters import NAMES, PARAMETERS, ParameterSet

#: Parameters that are fitted once for all architectures, and parameters that each has of its own.
SHARED = (
    "contention_threshold",
    "contention_slope",
    "contention_plateau",
    "dla_hold",
    "slice_ms",
    "switch_ms",
    "engine_slowdown",
    "share_gain",
    "interference",
    "dram_pj_byte",
    "poll_share",
)
OWN = (
    *(
        "int8_efficiency",
        "depthwise_efficiency",
        "grouped_efficiency",
        "matmul_efficiency",
        "recurrent_efficiency",
        "kernel_floor_us",
        "host_us",
    ),
    *(
        "copy_gb_s",
        "bandwidth_efficiency",
        "cache_share",
        "dla_efficiency",
        "dla_bandwidth_gb_s",
        "dla_task_us",
        "dla_layer_us",
    ),
    *("gpu_w", "tensor_activity", "busy_activity", "floor_activity", "dla_w", "cpu_core_w"),
    *("fp16_efficiency", "cuda_activity"),
)
FREE = {"all": SHARED, "ampere": (*OWN, "dla_fabric_w", "busy_soc_w", "busy_sys_w"), "volta": OWN}

#: A parameter that departs from its nominal value by this many of its spreads costs as much as an
#: error of `ROW_ERROR` in a row.
PRIOR_WIDTH = 2.0
ROW_ERROR = 0.08

#: Shares stay below 1, or values drawn around them would pile up there.
LARGEST_SHARE = 0.97

#: Errors beyond this many ROW_ERRORs count less and less, so that a row whose clocks were not the
#: ones it states does not bend the fit.
ROBUST = 2.0

#: Resting clocks of a governor that are tried [GHz], and how often parameters and resting clock are
#: fitted in turns.
RESTING_TRIED = np.arange(0.5, 0.951, 0.01)
TURNS = 2

#: Sources, runs, groups and software that are predicted but not fitted. The reports of engines side
#: by side do not state formats, processes and batches; tkDNN is a runtime of its own whose power
#: modes are not stated; batch 1 of one engine is 2.2 times slower than a later engine of the same
#: network; PyTorch's values are constants of the software.
CHECKED = ("NVIDIA forum 219770", "HaX-CoNN", "tkDNN")
CHECKED_RUNS = ("dla0 twice", "batch 1 is 2.2 times slower than a later engine")
CHECKED_GROUPS = ("pytorch", "threads")

#: Weights by group and quantity, or the last word of the quantity, where they are not 1.
WEIGHTS = {
    ("contention", "slowdown"): 4.0,
    ("contention", "gain"): 4.0,
    ("contexts", "rate_gain"): 2.0,
    ("contexts", "gain"): 0.3,
    ("engines", "ips"): 4.0,
    ("engines", "power_w"): 1.5,
    ("engines", "w"): 0.5,
    ("builds", "ips"): 0.5,
    ("builds", "w"): 0.5,
    ("batch", "gain"): 0.5,
    ("dla_watts", "watt"): 0.4,
    ("dla_layer", "ms"): 0.5,
    ("layer_group", "ms"): 0.25,
}


@dataclass(frozen=True)
class Fit:
    """Values by group (`all`, `ampere`, `volta`) and name; the resting clock of unlocked runs."""

    values: dict[str, dict[str, float]]
    resting_ghz: float = RESTING_GHZ

    def ratios(self, rows: list[Row]) -> FloatArray:
        """Return model over published [R]."""
        return ratios(rows, self.sets(), self.resting_ghz)[:, 0]

    def sets(self) -> dict[str, ParameterSet]:
        """Return the parameters of each architecture."""
        return {
            name: _nominal().with_values(**self.values["all"], **self.values[name])
            for name in ("ampere", "volta")
        }


def _nominal() -> ParameterSet:
    return ParameterSet(np.array([[each.nominal for each in PARAMETERS.values()]]))


def ratios(rows: list[Row], parameters: Parameters, resting_ghz: float = RESTING_GHZ) -> FloatArray:
    """Return model over published [R, C] for C parameter sets.

    The number of windows in each of MLPerf's KiTS19 volumes is published nowhere. Its mean is taken
    from the rows themselves: the one that suits all of them best.
    """
    found = predict(rows, parameters, resting_ghz) / np.array([row.value for row in rows])[:, None]
    volumes = np.array(
        [row.network == "unet3d_kits19" and row.quantity == "latency_ms" for row in rows]
    )
    if volumes.any():
        found[volumes] /= np.exp(np.log(found[volumes]).mean(axis=0))
    return found


def fit(
    rows: list[Row],
    start: Fit | None = None,
    advance: Callable[[], None] = lambda: None,
    steps: int = 40,
) -> Fit:
    """Fit the most plausible parameters and resting clock to the rows."""
    found = start
    for _ in range(TURNS if any(row.unlocked for row in rows) else 1):
        found = _solved(rows, found, advance, steps)
        found = Fit(found.values, _resting(rows, found))
    assert found is not None
    return found


def _resting(rows: list[Row], given: Fit) -> float:
    """Return the resting clock that suits the unlocked rows best; unchanged without such rows."""
    part = [
        row for row in rows if row.unlocked and not row.network.startswith("unet3d")
    ]  # the ratios of volumes are relative to each other
    if not part:
        return given.resting_ghz
    weights = np.array([_weight(row) for row in part]) / ROW_ERROR / ROBUST
    sets = given.sets()
    costs = [
        np.sqrt(1 + (np.log(ratios(part, sets, ghz)[:, 0]) * weights) ** 2).sum()
        for ghz in RESTING_TRIED
    ]
    return (
        given.resting_ghz
        if np.ptp(costs) == 0
        else round(float(RESTING_TRIED[int(np.argmin(costs))]), 2)
    )


def _solved(rows: list[Row], start: Fit | None, advance: Callable[[], None], steps: int) -> Fit:
    """Fit the most plausible parameters, given the rows and the resting clock of `start`."""
    resting_ghz = RESTING_GHZ if start is None else start.resting_ghz
    keys = [(group, name) for group, names in FREE.items() for name in names]
    prior = np.array([np.log(PARAMETERS[name].nominal) for _, name in keys])
    width = np.array([PARAMETERS[name].spread * PRIOR_WIDTH for _, name in keys])
    low = np.array([np.log(max(PARAMETERS[name].low, 1e-3)) for _, name in keys])
    high = np.array(
        [
            np.log(PARAMETERS[name].high * (LARGEST_SHARE if PARAMETERS[name].high == 1.0 else 1.0))
            for _, name in keys
        ]
    )
    first = prior if start is None else np.log([start.values[group][name] for group, name in keys])
    by = {name: [row for row in rows if row.architecture == name] for name in ("ampere", "volta")}
    weights = {name: np.array([_weight(row) for row in part]) for name, part in by.items()}
    step = 1e-4

    def sets(theta: FloatArray, name: str) -> ParameterSet:
        """Return 1 + K parameter sets: unchanged, and with each of the K keys moved."""
        mine = [position for position, (group, _) in enumerate(keys) if group in ("all", name)]
        values = np.repeat(_nominal().values, 1 + len(keys), axis=0)
        for position in mine:
            values[:, NAMES.index(keys[position][1])] = np.exp(theta[position])
            values[1 + position, NAMES.index(keys[position][1])] = np.exp(theta[position] + step)
        return ParameterSet(values[[0, *(1 + position for position in mine)]])

    cache: dict[bytes, tuple[FloatArray, FloatArray]] = {}

    def both(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        if theta.tobytes() not in cache:
            cache.clear()
            errors, slopes = [(theta - prior) / width], [np.diag(1 / width)]
            for name, part in by.items():
                if not part:
                    continue
                parameters = sets(theta, name)
                found = (
                    np.log(ratios(part, {name: parameters}, resting_ghz))
                    * weights[name][:, None]
                    / ROW_ERROR
                )
                slope = np.zeros((len(part), len(keys)))
                slope[
                    :,
                    [
                        position
                        for position, (group, _) in enumerate(keys)
                        if group in ("all", name)
                    ],
                ] = (found[:, 1:] - found[:, :1]) / step
                errors.append(found[:, 0])
                slopes.append(slope)
            cache[theta.tobytes()] = np.concatenate(errors), np.concatenate(slopes)
            advance()
        return cache[theta.tobytes()]

    solved = least_squares(
        lambda t: both(t)[0],
        np.clip(first, low + 1e-6, high - 1e-6),
        lambda t: both(t)[1],
        bounds=(low, high),
        loss="soft_l1",
        f_scale=ROBUST,
        max_nfev=steps,
        ftol=1e-4,
    )
    values: dict[str, dict[str, float]] = {group: {} for group in FREE}
    for (group, name), value in zip(keys, np.exp(solved.x), strict=True):
        values[group][name] = float(f"{value:.4g}")
    return Fit(values, resting_ghz)


def _weight(row: Row) -> float:
    """Return how much a row counts.

    It is 0 where the report leaves too much open to learn from, and a third where the clocks were
    not the ones that the row names and no governor explains them. Few rows tell of engines side by
    side, so that each of them counts for several others.
    """
    checked = row.source in CHECKED and row.group in ("contention", "builds", "batch")
    if checked or row.group in CHECKED_GROUPS or row.software == "pytorch":
        return 0.0
    if row.run in CHECKED_RUNS:
        return 0.0
    for kind in ((row.group, row.quantity), (row.group, row.quantity.rsplit("_", 1)[-1])):
        if kind in WEIGHTS:
            return WEIGHTS[kind]
    if row.group == "mlperf" and row.quantity == "wall_w" and row.board == "agx_orin_64":
        return 1.5
    return 1.0 if row.steady or row.unlocked else 0.3
