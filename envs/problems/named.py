"""Worlds by name: a board of the catalogue, or a trace."""

from __future__ import annotations

import logging

from envs.catalog.boards import board_names
from envs.errors import OptionError, TraceError
from envs.problems.draw_options import DrawOptions
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.problems.world import World
from envs.traces.reader import find_trace, read_trace
from envs.traces.remark import remark

logger = logging.getLogger(__name__)


def world_named(name: str, split: str = "train", problems: int = 64, seed: int = 0) -> World:
    """Return a board of the catalogue or a trace as a world.

    Args:
        name: a board, whose problems are drawn in its model; or the name or path of a trace.
        split: which networks and limits are drawn: `train`, `held_out` or `all`.
        problems: how many are drawn.
        seed: of the draws.

    Raises:
        OptionError: the name is neither.
    """
    if name in board_names():
        return SimulatedWorld(DrawOptions(boards=[name], split=split), problems, seed, whole=True)
    try:
        path = find_trace(name)
    except TraceError as error:
        raise OptionError(
            f"world={name!r} is neither a board ({', '.join(board_names())}) nor a trace: {error}"
        ) from None
    trace = read_trace(path)
    if about := remark(trace):
        logger.warning("%s", about)
    return TraceWorld(trace, split, problems, seed)
