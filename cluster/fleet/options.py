"""Options of a fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from envs.errors import OptionError

#: Fewest configurations of a recording: fewer tell a twin nothing of the board.
FEWEST_RECORDED = 4


@dataclass(frozen=True)
class FleetOptions:
    """Who makes the rollouts of a training.

    Attributes:
        workers: processes of Ray that make them; 0 makes them in this process, without Ray, and the
            policy comes out the same.
        shards: parts of an update that are made apart; agent.envs must be a multiple. The policy
            depends on it, as it does on the seed.
        address: of a Ray cluster that runs, such as auto or ray://HOST:10001; None starts one on
            this computer.
        deaths: so many workers in a row may die without a finished shard; then the training stops,
            and the same command goes on later.
        boards: record on each of these boards, simulated ones, and train in twins of them; None
            trains on the problems that tuner.train would train on.
        recorded: configurations of each recording.
    """

    workers: int = 2
    shards: int = 8
    address: Optional[str] = None
    deaths: int = 10
    boards: Optional[list[str]] = None
    recorded: int = 60

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise OptionError(f"fleet.workers={self.workers} must not be below zero")
        for key, least in (("shards", 1), ("deaths", 1), ("recorded", FEWEST_RECORDED)):
            if getattr(self, key) < least:
                raise OptionError(f"fleet.{key}={getattr(self, key)} must be at least {least}")
        if self.boards is not None and not self.boards:
            raise OptionError("fleet.boards must name a board")
        if self.address and not self.workers:
            raise OptionError("fleet.address needs workers: give fleet.workers=1 or more")
