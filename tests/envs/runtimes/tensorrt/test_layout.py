from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.runtimes.tensorrt.layout import Layout

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 5), st.integers(1, 70))


@settings(deadline=None)
@given(
    SHAPES,
    st.sampled_from(
        [
            ("LINEAR", "float32"),
            ("LINEAR", "float16"),
            ("DLA_LINEAR", "float16"),
            ("CHW16", "float16"),
            ("CHW32", "int8"),
        ]
    ),
)
def test_what_is_written_is_read(shape: tuple[int, ...], kind: tuple[str, str]) -> None:
    form, dtype = kind
    layout = Layout("x", shape, dtype, form)
    buffer = np.zeros(layout.buffer_shape, dtype)
    assert buffer.nbytes == layout.size
    values = np.random.default_rng(0).integers(-100, 100, shape).astype(np.float32)
    layout.write(buffer, values)
    np.testing.assert_array_equal(layout.read(buffer, shape[0], "float32"), values)


@settings(deadline=None)
@given(SHAPES)
def test_places_are_those_of_the_documentation(shape: tuple[int, ...]) -> None:
    batch, channels, height, width = shape
    values = np.random.default_rng(0).integers(-100, 100, shape).astype(np.int8)
    n, c, h, w = batch - 1, channels - 1, height - 1, width - 1
    wide, rows = Layout("x", shape, "int8", "CHW32"), Layout("x", shape, "int8", "DLA_LINEAR")
    buffer: Any = np.zeros(wide.buffer_shape, np.int8)
    wide.write(buffer, values)
    assert buffer[n, c // 32, h, w, c % 32] == values[n, c, h, w]
    buffer = np.zeros(rows.buffer_shape, np.int8)
    rows.write(buffer, values)
    assert rows.buffer_shape[-1] % 64 == 0
    assert buffer[n, c, h, w] == values[n, c, h, w]


def test_rows_of_dla_linear_begin_at_multiples_of_64_bytes() -> None:
    assert Layout("x", (1, 3, 224, 224), "float16", "DLA_LINEAR").buffer_shape == (1, 3, 224, 224)
    assert Layout("x", (1, 3, 224, 224), "int8", "DLA_LINEAR").buffer_shape == (1, 3, 224, 256)


def test_int8_at_the_border_is_rounded_and_bounded() -> None:
    layout = Layout("x", (1, 1, 1, 4), "int8", "CHW32", scale=0.5)
    buffer = np.zeros(layout.buffer_shape, np.int8)
    layout.write(buffer, np.array([[[[0.24, 0.26, -100, 63.4]]]], np.float32))
    np.testing.assert_array_equal(layout.read(buffer, 1, "float32"), [[[[0, 0.5, -63.5, 63.5]]]])
    assert not layout.plain


def test_fewer_samples_leave_the_rest_alone() -> None:
    layout = Layout("x", (4, 2), "float32")
    buffer = np.full((4, 2), 9, np.float32)
    layout.write(buffer, np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(buffer[2:], 9)
    assert layout.read(buffer, 2, "float32").shape == (2, 2)


def test_reading_copies() -> None:
    buffer = np.zeros((1, 2), np.float32)
    rows = Layout("x", (1, 2), "float32").read(buffer, 1, "float32")
    buffer += 1
    assert not rows.any()


@pytest.mark.parametrize(("shape", "form"), [((1, 2), "CHW32"), ((1, 2, 3, 4), "HWC8")])
def test_what_cannot_be_filled_is_refused(shape: tuple[int, ...], form: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be filled|too few"):
        Layout("x", shape, "int8", form)
