"""The argument by which an elastic kernel knows its shard: `ElasticShard` of the generated code."""

import ctypes

Size = tuple[int, int, int]


class ShardArgument(ctypes.Structure):
    """Logical blocks [first, last) of a grid, and the counter of those that were begun."""

    _fields_ = (
        ("blocks", ctypes.c_uint * 3),
        ("threads", ctypes.c_uint * 3),
        ("first", ctypes.c_uint),
        ("last", ctypes.c_uint),
        ("taken", ctypes.c_void_p),
    )


def shard_argument(
    grid: Size, block: Size, first: int, last: int, counter_address: int
) -> ShardArgument:
    """Return the argument for a shard; `counter_address` is where four zero bytes are."""
    return ShardArgument(grid, block, first, last, counter_address)
