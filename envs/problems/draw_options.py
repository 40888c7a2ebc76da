"""Options of drawing problems.

Held-out boards, networks and bands of limits are held out by construction: those of a comparison
are never drawn in training.
"""

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from envs.catalog.boards import board, board_names
from envs.catalog.reference_networks import reference_names
from envs.errors import OptionError
from envs.problems.limits import SPLITS
from envs.problems.misfits import kinds_of
from envs.spec import Goal

#: Networks that problems name and none are drawn from: others stand for them (alexnet, vgg19).
VARIANTS = ("alexnet_grouped", "vgg16")

#: Boards and networks of comparisons; training draws from all others.
HELD_OUT_BOARDS = ("agx_orin_32", "orin_nx_16")
HELD_OUT_NETWORKS = (
    *(
        "resnet50",
        "resnet152",
        "squeezenet1_1",
        "vgg11",
        "yolov5s_672",
        "yolov4_320",
        "yolov4_416",
        "yolov4_512",
        "yolov4_608",
        "yolov7_640",
        "yolov8m_pose_640",
        "mobilenet_v3_large",
        "retinanet_resnext50",
        "ssd_resnet34",
        "resnet34_1280x768",
    ),
)

#: Problems have at most this many tenants.
MAX_TENANTS = 8


@dataclass
class DrawOptions:
    """Options of drawing problems.

    Attributes:
        boards, networks: names; None for all of the split.
        modes: power modes by name; None for all stock modes of a board.
        split: `train`, `held_out` or `all`, of boards, networks and limits.
        plain: share of plain computers.
        tenants: shares of problems with one, two, three ... tenants; they add up to 1.
        changed_boards: share of boards whose rates are scaled at random, so that a policy learns of
            boards that nobody has built.
        open_loop: share of problems with Poisson arrivals, at 0.2 to 0.9 of what the device can
            serve.
        small_spaces: share of problems in a small part of the space (fewer batch sizes and
            instances).
        width: of the parameters' uncertainty, 1 as in `envs.simulator.parameters`.
        misfits: kinds in which a device may depart from its belief, by the names of
            `envs.problems.misfits` or `train` or `held_out`; none of them where empty.
        misfit_share: share of problems with one of these.
        goals: shares of problems by goal; they add up to 1. A least rate comes with most problems
            of other goals than throughput.

    Raises:
        OptionError: a value is impossible; the message names its key.
    """

    boards: Optional[list[str]] = None
    networks: Optional[list[str]] = None
    modes: Optional[list[str]] = None
    split: str = "train"
    plain: float = 0.0
    tenants: list[float] = field(default_factory=lambda: [1.0])
    changed_boards: float = 0.0
    open_loop: float = 0.0
    small_spaces: float = 0.0
    width: float = 1.0
    misfits: list[str] = field(default_factory=list)
    misfit_share: float = 1.0
    goals: dict[str, float] = field(default_factory=lambda: {Goal.THROUGHPUT.value: 1.0})

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise OptionError(f"draw.split={self.split!r} must be one of {', '.join(SPLITS)}")
        for key in ("plain", "changed_boards", "open_loop", "small_spaces", "misfit_share"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise OptionError(f"draw.{key}={getattr(self, key)} must lie in 0..1")
        shares = list(self.tenants)
        wrong = not shares or min(shares) < 0 or not np.isclose(sum(shares), 1.0)
        if wrong or len(shares) > MAX_TENANTS:
            raise OptionError(
                f"draw.tenants={shares} must be the shares of problems with one, two, ... up to "
                f"{MAX_TENANTS} tenants, which add up to 1"
            )
        if not self.width >= 0:
            raise OptionError(f"draw.width={self.width} must not be below zero")
        kinds_of(self.misfits)
        unknown = set(self.goals) - set(Goal)
        if unknown or min(self.goals.values()) < 0 or not np.isclose(sum(self.goals.values()), 1.0):
            raise OptionError(
                f"draw.goals={dict(self.goals)} must be shares of problems with the goals"
                f" {', '.join(Goal)}, which add up to 1"
            )
        self._check_names()

    def _check_names(self) -> None:
        for key, names, every in (
            ("boards", self.boards, board_names()),
            ("networks", self.networks, reference_names()),
        ):
            if names is not None and not (names and set(names) <= set(every)):
                raise OptionError(
                    f"draw.{key}={list(names)} must name some of {', '.join(every)}; "
                    "leave it out for all of the split"
                )
        for mode in self.modes or ():
            for name in self.board_choices():
                if mode not in board(name).power_modes:
                    raise OptionError(
                        f"draw.modes={list(self.modes or ())}: {name} has no {mode}, "
                        f"choose from {', '.join(board(name).power_modes)}"
                    )

    @property
    def most_tenants(self) -> int:
        """Return the most tenants that a problem may have."""
        return max(count for count, share in enumerate(self.tenants, start=1) if share > 0)

    def draw_tenants(self, rng: np.random.Generator) -> int:
        """Draw the number of tenants of a problem."""
        several = np.cumsum(self.tenants[1:])
        place = int(np.searchsorted(several, rng.random(), side="right"))
        return place + 2 if place < len(several) else 1

    def draw_goal(self, rng: np.random.Generator) -> Goal:
        """Draw the goal of a problem."""
        names = [name for name, share in self.goals.items() if share > 0]
        if len(names) == 1:
            return Goal(names[0])
        return Goal(str(rng.choice(names, p=[self.goals[name] for name in names])))

    def board_choices(self) -> list[str]:
        """Return the boards to draw from."""
        return _choices(self.boards, board_names(), HELD_OUT_BOARDS, self.split)

    def network_choices(self) -> list[str]:
        """Return the networks to draw from."""
        every = tuple(name for name in reference_names() if name not in VARIANTS)
        return _choices(self.networks, every, HELD_OUT_NETWORKS, self.split)


def _choices(
    given: list[str] | None, every: tuple[str, ...], held_out: tuple[str, ...], split: str
) -> list[str]:
    if given is not None:
        return list(given)
    return [name for name in every if split == "all" or (name in held_out) == (split == "held_out")]
