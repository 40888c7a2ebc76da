"""Drawing problems to learn from, and problems to be compared on: boards, power modes, networks, spaces, limits and what is uncertain.

What is held out is held out by construction: boards, networks and bands of limits that a comparison uses are never drawn in training.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional

import numpy as np

from envs.arrays import Placements
from envs.belief.local_search import random_placements, valid
from envs.belief.shortlist import unmirrored
from envs.catalog.boards import board, board_names, power_mode
from envs.catalog.reference_networks import reference_names, reference_network
from envs.errors import ConfigurationError, OptionError
from envs.graph.layer_table import LayerTable
from envs.problems.limits import SPLITS, LimitRange, draw_objectives, uniforms_per_draw
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import Machine, device_of, machine_of, plain_machine
from envs.simulator.tables import Contexts
from envs.spec.device import ACCELERATORS, DeviceSpec
from envs.spec.measurement import MeasurementBatch
from envs.spec.network import Network
from envs.spec.objective import Objective, verdict_of
from envs.spec.space import ConfigurationSpace
from envs.spec.workload import Workload, workload_of

#: Boards and networks of comparisons; training draws from all others.
HELD_OUT_BOARDS = ("agx_orin_32", "orin_nx_16")
HELD_OUT_NETWORKS = (
    *(
        "resnet50",
        "resnet152",
        "squeezenet1_1",
        "vgg11",
        "yolov5s_672",
        "mobilenet_v3_large",
        "retinanet_resnext50",
        "ssd_resnet34",
        "resnet34_1280x768",
    ),
)

BATCHES = (1, 2, 4, 8, 16, 32, 64)
PLAIN_BATCHES = (1, 2, 4, 8)

#: A plain computer that is served live keeps this many MiB per core free for instances.
PLAIN_MIB = 24_000.0


@dataclass
class DrawOptions:
    """What to draw from.

    Attributes:
        boards, networks: names; None for all of the split. modes: power modes by name; None for all stock modes of a board.
        split: `train`, `held_out` or `all`, of boards, networks and limits.
        plain: share of plain computers. two_tenants: share of problems with two tenants.
        changed_boards: share of boards whose rates are scaled at random, so that a policy learns of boards that nobody has built.
        open_loop: share of problems with Poisson arrivals, at 0.2 to 0.9 of what the device can serve.
        small_spaces: share of problems in a small part of the space (fewer batch sizes and instances).
        width: of the parameters' uncertainty, 1 as in `envs.simulator.parameters`.
    """

    boards: Optional[list[str]] = None
    networks: Optional[list[str]] = None
    modes: Optional[list[str]] = None
    split: str = "train"
    plain: float = 0.0
    two_tenants: float = 0.0
    changed_boards: float = 0.0
    open_loop: float = 0.0
    small_spaces: float = 0.0
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise OptionError(f"draw.split={self.split!r} must be one of {', '.join(SPLITS)}")
        for key in ("plain", "two_tenants", "changed_boards", "open_loop", "small_spaces"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise OptionError(f"draw.{key}={getattr(self, key)} must lie in 0..1")
        if not self.width >= 0:
            raise OptionError(f"draw.width={self.width} must not be below zero")
        for key, names, known in (
            ("boards", self.boards, board_names()),
            ("networks", self.networks, reference_names()),
        ):
            if names is not None and not (names and set(names) <= set(known)):
                raise OptionError(
                    f"draw.{key}={list(names)} must name some of {', '.join(known)}; leave it out for all of the split"
                )
        for mode in self.modes or ():
            for name in self.board_choices():
                if mode not in board(name).power_modes:
                    raise OptionError(
                        f"draw.modes={list(self.modes or ())}: {name} has no {mode}, choose from {', '.join(board(name).power_modes)}"
                    )

    @property
    def most_tenants(self) -> int:
        """Return the most tenants that a problem may have."""
        return 2 if self.two_tenants > 0 else 1

    def board_choices(self) -> list[str]:
        return _choices(self.boards, board_names(), HELD_OUT_BOARDS, self.split)

    def network_choices(self) -> list[str]:
        return _choices(self.networks, reference_names(), HELD_OUT_NETWORKS, self.split)


def _choices(
    given: list[str] | None, every: tuple[str, ...], held_out: tuple[str, ...], split: str
) -> list[str]:
    if given is not None:
        return list(given)
    return [name for name in every if split == "all" or (name in held_out) == (split == "held_out")]


@dataclass(frozen=True)
class DrawnProblem:
    """A device, its networks, what is asked, and what is true (which nobody who tunes may look at).

    Attributes:
        name: board, power mode and networks in words.
        truth: one context.
    """

    name: str
    model: DeviceModel
    objective: Objective
    truth: Contexts = field(repr=False)


def draw_problem(options: DrawOptions, rng: np.random.Generator) -> DrawnProblem:
    """One problem; a network that does not fit into a board's memory is drawn again."""
    while True:
        try:
            return _drawn(options, rng)
        except ConfigurationError:
            continue


def _drawn(options: DrawOptions, rng: np.random.Generator) -> DrawnProblem:
    tenants = 2 if rng.random() < options.two_tenants else 1
    plain = rng.random() < options.plain
    tables = [_network(options, rng, plain) for _ in range(tenants)]
    machine, device, name = _plain(rng) if plain else _board(options, rng)
    batches: tuple[int, ...] = PLAIN_BATCHES if plain else BATCHES
    most = 4
    if rng.random() < options.small_spaces:
        keep = np.sort(
            rng.choice(len(batches), int(rng.integers(2, len(batches) + 1)), replace=False)
        )
        batches = tuple(batches[i] for i in keep)
        most = int(rng.integers(2, 5))
    if tenants == 2 and plain:
        batches, most = batches[: 1 + 2 * (len(batches) > 2) : 2], 2
    workload = _workload(tables, rng)
    space = ConfigurationSpace(
        device, workload, most, batches, 4 if tenants == 2 and plain else None
    )
    model = DeviceModel(machine, space, tuple(tables))
    truth = model.drawn(rng, 1, options.width)
    if rng.random() < options.open_loop:
        model, truth = _arriving(model, truth, rng)
    uniforms = rng.random((1, uniforms_per_draw(tenants)))
    limits = limit_range(model, truth, rng)
    objective = draw_objectives(limits, uniforms, options.split).row(0)
    return DrawnProblem(f"{name}, {' + '.join(workload.names)}", model, objective, truth)


def _arriving(
    model: DeviceModel, truth: Contexts, rng: np.random.Generator
) -> tuple[DeviceModel, Contexts]:
    """The same problem with arrivals at a share of what a good configuration could serve of each tenant."""
    batch = model.batch(truth, sample_placements(model.space, rng, 200))
    able = batch.throughput_ips[
        int((batch.throughput_ips * np.array(model.space.workload.weights)).sum(axis=1).argmax())
    ]
    rates = np.maximum(able, 1e-3) * rng.uniform(0.2, 0.9, len(able))
    tenants = tuple(
        replace(tenant, rate_ips=float(rate))
        for tenant, rate in zip(model.space.workload.tenants, rates, strict=True)
    )
    space = replace(model.space, workload=Workload(tenants))
    return DeviceModel(model.machine, space, model.networks), replace(truth, rate_ips=rates[None])


def _workload(tables: list[LayerTable], rng: np.random.Generator) -> Workload:
    """Weights such that a tenant counts by the work it is, within a factor of two."""
    networks = [described(table) for table in tables]
    if len(tables) == 1:
        return workload_of(networks)
    macs = np.array([table.total_macs for table in tables])
    weights = macs / macs.min() * np.exp(0.35 * rng.standard_normal(len(tables)))
    return workload_of(networks, weights=[float(weight) for weight in weights])


def described(table: LayerTable) -> Network:
    """A `Network` of which only the layers are known: what validity needs of it."""
    alive = float((table.reads + table.writes).max())
    return Network(
        table.name,
        "0" * 64,
        int(table.total_macs),
        int(4 * table.weights.sum()),
        int(4 * alive),
        len(table),
        (),
        (),
        None,
    )


def _network(options: DrawOptions, rng: np.random.Generator, plain: bool) -> LayerTable:
    """A network of the catalogue; half of those for training are made wider or narrower, at a larger or smaller resolution."""
    names = options.network_choices()
    if plain:  # what a computer serves at a rate that can be waited for
        names = [name for name in names if reference_network(name).total_macs < 2e10] or names
    table = reference_network(names[rng.integers(len(names))])
    if options.split != "train" or rng.random() < 0.5:
        return table
    width, area = np.exp(0.25 * rng.standard_normal()), np.exp(0.5 * rng.standard_normal())
    return replace(
        table,
        name=f"{table.name}_like",
        macs=table.macs * width**2 * area,
        weights=table.weights * width**2,
        reads=table.reads * width * area,
        writes=table.writes * width * area,
        inputs=table.inputs * area,
    )


def _board(options: DrawOptions, rng: np.random.Generator) -> tuple[Machine, DeviceSpec, str]:
    names = options.board_choices()
    name = names[rng.integers(len(names))]
    stock = [mode for mode in board(name).power_modes if not mode.startswith("mlperf")]
    modes = options.modes or stock
    mode = modes[rng.integers(len(modes))]
    power_mode(board(name), mode)
    precision = "int8" if rng.random() < 0.7 else "fp16"
    native = bool(rng.random() < 0.7)
    machine = machine_of(name, mode, precision, "int8" if rng.random() < 0.8 else "fp16", native)
    device = device_of(name, mode)
    label = f"{name} {mode} {precision}"
    if rng.random() < options.changed_boards:
        gpu, memory, dla, idle = np.exp(0.3 * rng.standard_normal(4))
        machine = replace(
            machine,
            gpu_ghz=machine.gpu_ghz * gpu,
            gpu_max_ghz=machine.gpu_max_ghz * gpu,
            dram_byte_s=machine.dram_byte_s * memory,
            dla_ghz=machine.dla_ghz * dla,
            idle_w=tuple(watts * idle for watts in machine.idle_w),
        )
        label = f"like {label}"
        if rng.random() < 0.25:  # one without DLA
            device = replace(device, accelerators=device.accelerators[:2])
    return machine, device, label


def _plain(rng: np.random.Generator) -> tuple[Machine, DeviceSpec, str]:
    cores = int(rng.choice([1, 2, 4, 6, 8, 12, 16]))
    device = DeviceSpec(
        "a plain computer", (ACCELERATORS["cpu_fp32"], ACCELERATORS["cpu_int8"]), cores, PLAIN_MIB
    )
    return plain_machine(cores), device, f"plain computer with {cores} cores"


def limit_range(
    model: DeviceModel, truth: Contexts, rng: np.random.Generator, samples: int = 400
) -> LimitRange:
    """Between which limits to draw: from a little below the least there is to a little above what the most throughput needs."""
    placements = sample_placements(model.space, rng, samples)
    return useful_limits(model, model.batch(truth, placements))


def useful_limits(model: DeviceModel, batch: MeasurementBatch) -> LimitRange:
    every = LimitRange.of(batch)
    free = Objective((np.inf,) * model.space.shape[0])
    best = int(verdict_of(batch, np.array(model.space.workload.weights), free).score_ips.argmax())
    p99 = tuple(
        (low, max(1.1 * float(most), low * 1.2))
        for (low, _), most in zip(every.p99_ms, batch.p99_ms[best], strict=True)
    )
    return LimitRange(p99, every.power_w)


def sample_placements(
    space: ConfigurationSpace, rng: np.random.Generator, count: int
) -> Placements:
    """Random valid configurations, and of every tenant each accelerator alone at the smallest batch, where extremes lie: [N, T, A, 2]."""
    if space.combinations <= 50_000:
        every = unmirrored(space)
        chosen = every[rng.choice(len(every), min(count, len(every)), replace=False)]
    else:
        chosen = valid(space, random_placements(space, rng, 3 * count))[:count]
    tenants, accelerators = space.shape
    alone = np.zeros((accelerators, tenants, accelerators, 2), dtype=np.int16)
    for position in range(accelerators):
        alone[position, :, position] = (1, space.batches[0])
    return np.concatenate([space.default().array()[None], valid(space, alone), chosen])
