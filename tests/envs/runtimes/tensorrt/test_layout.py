"""Layouts: where each number lies, and that nothing lies outside."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.runtimes.tensorrt.layout import Layout, LayoutError, linear_strides

SHAPES = st.lists(st.integers(1, 5), min_size=3, max_size=5).map(tuple)


def layout_of(
    shape: tuple[int, ...], dtype: str = "float32", components: int = 1, pitch: int = 1
) -> Layout:
    """Return a layout that packs the third from last dimension, and pads rows to `pitch`."""
    axis = len(shape) - 3 if components > 1 else -1
    lengths = [-(-n // components) if i == axis else n for i, n in enumerate(shape)]
    lengths[-1] = -(-lengths[-1] // pitch) * pitch
    return Layout("x", shape, dtype, linear_strides(tuple(lengths)), axis, components, "test")


@settings(deadline=None)
@given(
    SHAPES,
    st.sampled_from([("float32", 1), ("float16", 16), ("int8", 32), ("int8", 3)]),
    st.sampled_from([1, 4, 64]),
)
def test_what_is_written_is_read_and_nothing_else_is_touched(
    shape: tuple[int, ...], kind: tuple[str, int], pitch: int
) -> None:
    layout = layout_of(shape, *kind, pitch=pitch)
    guarded = np.full(layout.scalars + 20, 77, layout.dtype)
    memory = guarded[10:-10]
    assert memory.nbytes == layout.size
    values = np.random.default_rng(0).integers(1, 50, shape).astype(np.float32)
    layout.write(memory, values)
    np.testing.assert_array_equal(layout.read(memory, None, "float32"), values)
    for count in {1, shape[0]}:
        np.testing.assert_array_equal(layout.read(memory, count, "float32"), values[:count])
    assert (guarded[:10] == 77).all()
    assert (guarded[-10:] == 77).all()
    assert (memory != 77).sum() == values.size, "padding is left alone"


@settings(deadline=None)
@given(SHAPES, st.sampled_from([1, 4, 32]), st.sampled_from([1, 8]))
def test_places_are_those_of_tensorrts_own_samples(
    shape: tuple[int, ...], components: int, pitch: int
) -> None:
    """`dataOffsetFromDims` of samples/common/sampleUtils.cpp, number by number."""
    layout = layout_of(shape, "float32", components, pitch)
    memory = np.zeros(layout.scalars, np.float32)
    values = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    layout.write(memory, values)
    for index in itertools.product(*map(range, shape)):
        offset = sum(
            at // components * stride * components + at % components
            if axis == layout.vector_dim
            else at * stride * components
            for axis, (at, stride) in enumerate(zip(index, layout.strides, strict=True))
        )
        assert memory[offset] == values[index]


def test_three_dimensions_pack_the_batch() -> None:
    """[1, 84, 8400] INT8 as CHW32: ceil(1 / 32) * 84 * 8400 elements of 32 bytes."""
    layout = Layout("y", (1, 84, 8400), "int8", (84 * 8400, 8400, 1), 0, 32, "CHW32")
    assert layout.size == 1 * 84 * 8400 * 32 == 22_579_200
    memory = np.zeros(layout.scalars, np.int8)
    layout.write(memory, np.full((1, 84, 8400), 5.0, np.float32))
    assert memory[(83 * 8400 + 8399) * 32] == 5, "the last number begins the last vector"
    assert (memory != 0).sum() == 84 * 8400
    one = Layout("y", (2, 2, 2), "int8", (4, 2, 1), 0, 32, "CHW32")
    memory = np.zeros(one.scalars, np.int8)
    one.write(memory, np.array([[[1, 2], [3, 4]]], np.float32))  # one sample of two
    np.testing.assert_array_equal(one.read(memory, 1, "float32"), [[[1, 2], [3, 4]]])
    assert list(memory[::32]) == [1, 2, 3, 4]


def test_five_dimensions_pack_the_depth() -> None:
    layout = Layout("y", (1, 2, 40, 3, 4), "int8", (48, 24, 12, 4, 1), 2, 32, "CHW32")
    assert layout.size == 1 * 2 * 2 * 3 * 4 * 32


@pytest.mark.parametrize(
    ("width", "pitch", "size"),
    [(224, 224, 2 * 3 * 224 * 224 * 2), (220, 256, 2 * 3 * 224 * 256 * 2)],
)
def test_rows_lie_as_far_apart_as_they_are_said_to(width: int, pitch: int, size: int) -> None:
    strides = (3 * 224 * pitch, 224 * pitch, pitch, 1)
    layout = Layout("x", (2, 3, 224, width), "float16", strides, form="DLA_LINEAR")
    assert layout.size == size
    assert layout.plain == (width == pitch)


def test_int8_at_the_border_is_rounded_and_bounded() -> None:
    layout = Layout("x", (1, 1, 1, 4), "int8", (4, 4, 4, 1), 1, 32, "CHW32", scale=0.5)
    memory = np.zeros(layout.scalars, np.int8)
    layout.write(memory, np.array([[[[0.24, 0.26, -100, 63.4]]]], np.float32))
    np.testing.assert_array_equal(layout.read(memory, 1, "float32"), [[[[0, 0.5, -63.5, 63.5]]]])
    assert not layout.plain


def test_int8_numbers_are_taken_as_they_are() -> None:
    layout = Layout("x", (1, 3), "int8", (3, 1), scale=0.5)
    memory = np.zeros(3, np.int8)
    layout.write(memory, np.array([[-128, 1, 127]], np.int8))
    assert list(memory) == [-128, 1, 127]


def test_fewer_samples_leave_the_rest_alone() -> None:
    layout = Layout("x", (4, 2), "float32", (2, 1))
    memory = np.full(8, 9, np.float32)
    layout.write(memory, np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(memory, [0] * 4 + [9] * 4)
    assert layout.read(memory, 2, "float32").shape == (2, 2)
    assert layout.part(2) == 4


def test_reading_copies() -> None:
    memory = np.zeros(2, np.float32)
    rows = Layout("x", (1, 2), "float32", (2, 1)).read(memory, 1, "float32")
    memory += 1
    assert not rows.any()


@pytest.mark.parametrize(
    ("strides", "rest", "why"),
    [
        ((6, 1), {}, "2 strides"),
        ((6, 2, 1), {}, "share memory"),
        ((6, 0, 1), {}, "share memory"),
        ((6, -3, 1), {}, "share memory"),
        ((6, 3, 1), {"vector_dim": 3, "components": 4}, "dimension 3 is packed by 4"),
        ((6, 3, 1), {"vector_dim": 1, "components": -1}, "dimension 1 is packed by -1"),
        ((6, 3, 1), {"components": 4}, "dimension -1 is packed by 4"),
    ],
)
def test_what_contradicts_itself_is_refused(
    strides: tuple[int, ...], rest: dict[str, Any], why: str
) -> None:
    with pytest.raises(LayoutError, match=why):
        Layout("x", (2, 2, 3), "int8", strides, **rest)


def test_memory_that_is_too_small_is_not_written() -> None:
    layout = Layout("x", (2, 2), "int8", (2, 1))
    with pytest.raises(ValueError, match="x needs 4 numbers, not 3"):
        layout.write(np.zeros(3, np.int8), np.zeros((2, 2), np.float32))
