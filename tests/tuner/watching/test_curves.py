"""Curves whose dots are known on paper."""

from __future__ import annotations

import math

import pytest

from tuner.watching.curves import SCALE_WIDTH, Curve, drawn, short
from tuner.watching.state import Mood


def text(curve: Curve, columns: int, height: int) -> list[str]:
    rows = drawn(curve, columns + SCALE_WIDTH, height)
    return ["".join(part for part, _ in row)[SCALE_WIDTH:] for row in rows]


def test_two_values_share_a_character() -> None:
    # One row has 4 dots: 0 is the lowest, and the largest value (at 1/1.05 of the scale) the top.
    assert text(Curve((), [0.0, 0.0]), 1, 1) == ["⣀"]
    assert text(Curve((), [3.0, 3.0]), 1, 1) == ["⠉"]
    assert text(Curve((), [0.0, 3.0]), 1, 1) == [chr(0x2800 + 0x40 + 0x20 + 0x10 + 0x08)]


def test_the_last_values_are_at_the_right_and_gaps_are_seen() -> None:
    [row] = text(Curve((), [1.0, 1.0, math.nan, math.nan, 1.0, 1.0]), 5, 1)
    assert row == "  ⠉·⠉"
    assert text(Curve((), [9.0] * 10 + [1.0] * 4), 2, 1) == ["⠉⠉"]


def test_a_quantity_that_was_never_measured_has_no_scale() -> None:
    rows = text(Curve((), [math.nan] * 9, [5.0] * 9), 20, 3)
    assert [row.strip() for row in rows] == ["", "not measured", ""]


def test_the_limit_is_a_line_where_the_curve_is_not() -> None:
    curve = Curve((), [1.0, 1.0, 4.0, 4.0], [3.0] * 4)
    top, *_, low = text(curve, 2, 4)
    assert top[1] != " "
    assert any("╌" in row for row in text(curve, 2, 4))
    assert low == "  " or low[0] != "╌"
    far = Curve((), [1.0, 1.0], [100.0] * 2)
    assert "╌" not in "".join(text(far, 1, 4)), "to scale the curve would be flat"


def test_colours_tell_how_near_the_limit_is() -> None:
    def moods(values: list[float], least: bool = False) -> list[Mood]:
        curve = Curve((), values, [10.0] * len(values), least=least)
        [row] = drawn(curve, SCALE_WIDTH + len(values) // 2, 1)
        return [mood for _, mood in row[1:]]

    assert moods([5.0, 5.0, 9.0, 9.0, 11.0, 11.0]) == [Mood.GOOD, Mood.NEAR, Mood.BROKEN]
    assert moods([5.0, 11.0]) == [Mood.BROKEN]
    assert moods([9.0, 9.0, 20.0, 20.0], least=True) == [Mood.BROKEN, Mood.GOOD]


def test_a_whole_run_fits_by_averaging() -> None:
    values = [1.0, 3.0, 5.0, 7.0, 0.0, 0.0, 8.0, 8.0]
    assert text(Curve((), values, whole=True), 2, 8) == text(Curve((), [2.0, 6.0, 0.0, 8.0]), 2, 8)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "-"),
        (0.0, "0"),
        (0.0561, "0.056"),
        (0.604, "0.604"),
        (12.34, "12.3"),
        (1721.6, "1722"),
        (12_345.0, "12.3k"),
        (3.2e6, "3.2M"),
    ],
)
def test_numbers_are_short(value: float, words: str) -> None:
    assert short(value) == words


def test_no_size_and_no_value_breaks_the_picture() -> None:
    for values in ([], [math.inf, -5.0, 1e308, math.nan], [1e-300] * 3):
        for width in (0, SCALE_WIDTH, SCALE_WIDTH + 1, 40):
            for height in (0, 1, 3):
                rows = drawn(Curve((), values, [0.0] * len(values)), width, height)
                assert all(len("".join(t for t, _ in row)) == width for row in rows)
