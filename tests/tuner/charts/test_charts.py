"""Charts: bounded, valid XML without style attributes, and nothing that was measured is hidden."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuner.charts.axis import MOST_TICKS, Axis, round_numbers
from tuner.charts.bars import MOST_BARS, MOST_NAMES, Bar, Segment, bars
from tuner.charts.curve import MOST_POINTS, curve, extremes
from tuner.charts.grid import MOST_COLUMNS, MOST_ROWS, GridRow, grid
from tuner.charts.lines import MOST_LINES, Line, lines
from tuner.charts.plane import MOST_DOTS, MOST_FOCUSABLE, Dot, Mark, plane
from tuner.charts.rows import Row, rows
from tuner.charts.spread import spread
from tuner.charts.text import escape, short

HOSTILE = "</title><script>alert(1)</script>\"'&\x00\x1b[2J\ud800\u202e]]>"

#: Any number that a journal may hold, those that are none included.
NUMBERS = st.floats(width=64)


def parsed(html: str) -> ElementTree.Element:
    """Return the chart as XML, with nothing that a strict policy forbids."""
    root = ElementTree.fromstring(html)
    assert not any("style" in each.attrib for each in root.iter())
    assert "script" not in {each.tag for each in root.iter()}
    assert not any(key.startswith("on") for each in root.iter() for key in each.attrib)
    return root


def words(root: ElementTree.Element) -> str:
    return " ".join(root.itertext())


def path(root: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    found = root.find(f".//path[@class='{kind}']")
    if found is None:
        return []
    return [
        (float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", found.attrib["d"])
    ]


@given(st.lists(NUMBERS, max_size=40), NUMBERS, st.booleans(), st.booleans())
def test_a_curve_of_any_numbers_is_valid(values, limit, least, steps):
    root = parsed(curve("p99", "ms", values, limits=limit, least=least, steps=steps))
    for text in root.iter("text"):
        assert "nan" not in "".join(text.itertext())
    assert root.find(".//svg[@role='img']/title") is not None
    assert root.find(".//svg[@role='img']/desc") is not None


@pytest.mark.parametrize("count", [0, 1, 299, 300, 301, 10_000])
def test_a_curve_is_bounded_and_keeps_its_peaks(count):
    values = np.random.default_rng(0).normal(50, 5, count)
    if count > 20:
        values[count // 3], values[count // 2] = 300.0, 1.0
    kept = extremes(values)
    assert len(kept) <= MOST_POINTS
    assert (np.diff(kept) > 0).all()
    html = curve("p99", "ms", values, limits=60)
    assert len(html) < 20_000
    assert len(path(parsed(html), "line")) <= MOST_POINTS
    if count:
        assert {0, count - 1, int(values.argmax()), int(values.argmin())} <= set(kept.tolist())


@given(st.lists(st.one_of(st.just(math.nan), st.floats(-1e6, 1e6)), min_size=1, max_size=900))
def test_extremes_of_every_group_are_kept(values):
    known = np.array(values)
    kept = extremes(known, 60)
    assert len(kept) <= 60
    if np.isfinite(known).any():
        assert np.nanmax(known[kept]) == np.nanmax(known)
        assert np.nanmin(known[kept]) == np.nanmin(known)


def test_what_was_not_measured_is_a_gap_and_a_value_between_gaps_a_dot():
    nan = math.nan
    root = parsed(curve("power", "W", [1, 2, nan, 3, nan, 4, 5]))
    line = root.find(".//path[@class='line']")
    assert line is not None
    assert line.attrib["d"].count("M") == 2
    assert len(path(root, "line")) == 4
    assert len(path(root, "lone")) == 1
    assert "2 were not measured" in words(root)
    nothing = parsed(curve("power", "W", [nan, math.inf]))
    assert not path(nothing, "line")
    assert "Nothing was measured" in words(nothing)
    assert "not measured" in words(nothing)


def test_a_limit_is_drawn_where_it_is_near_and_said_where_it_is_not():
    near = parsed(curve("p99", "ms", [10.0, 20.0], limits=60.0))
    assert path(near, "limit")
    assert "limit 60 ms" in words(near)
    far = parsed(curve("p99", "ms", [10.0, 20.0], limits=60.1))
    assert not path(far, "limit")
    assert "limit 60.1 ms, beyond the picture" in words(far)
    least = parsed(curve("rate", "inferences/s", [10.0, 20.0], limits=15.0, least=True))
    assert "at least 15 inferences/s" in words(least)
    assert "1 break the limit" in words(least)
    changed = parsed(curve("p99", "ms", [1, 1, 1, 1], limits=[2, 2, math.nan, 3]))
    limit = changed.find(".//path[@class='limit']")
    assert limit is not None
    assert limit.attrib["d"].count("M") == 2
    assert changed.find(".//rect[@class='beyond']") is None


def test_steps_hold_a_value_until_the_next():
    root = parsed(curve("best", "/s", [1.0, 1.0, 3.0], steps=True))
    heights = [y for _, y in path(root, "line")]
    assert heights[0] == heights[1]
    assert heights[2] == heights[3] < heights[1]
    assert path(root, "line")[0][0] == 0
    assert path(root, "line")[-1][0] == 1000


@example([1e-05], False, False)
@given(
    st.lists(NUMBERS, max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_ticks_are_few_and_lie_on_the_axis(values, is_log, from_zero):
    axis = Axis.over(values, is_log=is_log, from_zero=from_zero)
    assert axis.low < axis.high
    assert 1 <= len(axis.ticks) <= MOST_TICKS
    assert all(0 <= axis.share(each) <= 1 for each in axis.ticks)
    texts = [text for _, text in axis.labels]
    assert len(set(texts)) == len(texts) or axis.high - axis.low < 1e-6 * abs(axis.high)


def test_round_numbers_and_texts_of_ticks():
    assert round_numbers(0.9, 60) == [1, 2, 5, 10, 20, 50]
    assert [text for _, text in Axis(0, 1.0).labels] == ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [text for _, text in Axis(0, 5e6).labels][-1] == "5 M"
    assert [text for _, text in Axis(0.5, 3.5, is_whole=True).labels] == ["1", "2", "3"]
    assert short(math.nan) == "\N{EN DASH}"
    assert (short(1234.5), short(12.345)) == ("1,234", "12.3")


def test_marks_of_a_plane_differ_in_shape_and_each_dot_says_what_it_is():
    dots = [Dot(10.0 * (at + 1), 100.0, f"c{at}", mark, str(at)) for at, mark in enumerate(Mark)]
    root = parsed(plane("Measured", [*dots, Dot(math.nan, math.nan, "failed")], limit_ms=25))
    shown = root.findall(".//g[@class='dot']")
    assert len(shown) == 4
    assert all(each.attrib["tabindex"] == "0" for each in shown)
    assert "c1: 100 inferences/s, 20 ms (breaks a limit)" in words(root)
    assert len({ElementTree.tostring(each[1]) for each in shown}) == 4
    assert "1 failed and has no place in it" in words(root)
    assert "limit 25 ms" in words(root)
    assert "lies beyond the picture" in words(parsed(plane("Measured", dots, limit_ms=1e4)))


def test_a_plane_is_bounded_and_keeps_the_chosen_and_the_extremes():
    rng = np.random.default_rng(1)
    dots = [Dot(*row, "any") for row in rng.uniform(1, 9, (10_000, 2)).tolist()]
    dots[7] = Dot(5.0, 5.0, "the chosen", Mark.CHOSEN)
    dots[8] = Dot(500.0, 5.0, "the slowest")
    dots[9] = Dot(5.0, 500.0, "the fastest")
    html = plane("Many", dots, limit_ms=5, in_order=True)
    root = parsed(html)
    assert len(root.findall(".//g[@class='dot']")) == MOST_DOTS
    assert len(root.findall(".//g[@tabindex]")) == MOST_FOCUSABLE
    for name in ("the chosen", "the slowest", "the fastest"):
        assert name in html
    assert len(html) < 150_000
    assert "9600 more are not drawn" in words(root)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30), NUMBERS)
def test_a_plane_of_any_numbers_is_valid(pairs, limit):
    parsed(plane("Measured", [Dot(*pair, "any") for pair in pairs], limit_ms=limit, in_order=True))


def test_a_grid_says_in_words_what_its_colours_say_and_is_bounded():
    rows = [GridRow("a", {"tensor": "2x4"}, 0.5), GridRow("b", {"dla0": "1x1"}, 0.9, ["3"])]
    root = parsed(grid([*rows, GridRow("c", {}, 1.2)], ["tensor", "dla0"], ["p99, ms"]))
    assert "50 %" in words(root)
    assert "90 %, near" in words(root)
    assert "120 %, over" in words(root)
    many = [GridRow(f"t{at}", {f"a{at}": "1x1"}) for at in range(1000)]
    html = grid(many, [f"a{at}" for at in range(1000)], title="Places")
    root = parsed(html)
    assert len(root.findall(".//tbody/tr")) == MOST_ROWS
    assert len(root.findall(".//thead/tr/th")) == MOST_COLUMNS + 3
    assert "and 936 more" in words(root)
    assert "and 976 more" in words(root)


def test_bars_share_a_scale_and_their_parts_have_numbers():
    rows = [Bar("n1", [Segment("web", 3), Segment("asr", 1)], 4.0), Bar("n2", [Segment("asr", 8)])]
    root = parsed(bars("Memory", "GiB", rows))
    widths = [
        float(each.attrib["width"].rstrip("%"))
        for each in root.findall(".//svg[@class='drawing']/g/rect")
    ]
    assert widths[0] == pytest.approx(3 * widths[1], rel=1e-3)
    assert widths[2] == pytest.approx(8 * widths[1], rel=1e-3)
    assert "4 GiB of 4" in words(root)
    assert "2 asr" in words(root)
    assert "asr: 8 GiB" in words(root)
    many = [Bar(f"n{at}", [Segment(f"s{at}", 1.0)] * 200) for at in range(500)]
    html = bars("Memory", "GiB", many)
    assert html.count('class="row"') == MOST_BARS
    assert f"{500 - MOST_BARS} more bars" in html
    assert f"{500 - MOST_NAMES} more names" in html


@given(st.lists(NUMBERS, min_size=5, max_size=5))
def test_bars_and_spreads_of_any_numbers_are_valid(values):
    first, second, third, *_ = values
    parsed(bars("Any", "W", [Bar("a", [Segment(str(each), each) for each in values], first)]))
    parsed(spread("Any", "times", first, second, third, reference=values[3]))


def test_an_interval_is_drawn_and_said():
    root = parsed(spread("ratio", "times", 1.42, 1.3, 1.55, reference=1, reference_name="default"))
    assert "95 % interval 1.3 to 1.55 times" in words(root)
    assert root.find(".//line[@class='reach']") is not None
    single = parsed(spread("ratio", "times", 1.42, math.nan, math.nan))
    assert "no interval" in words(single)
    assert single.find(".//line[@class='reach']") is None


def test_hostile_names_are_text_everywhere():
    shown = escape(HOSTILE)
    assert "<" not in shown
    dot = Dot(1.0, 1.0, HOSTILE, number=HOSTILE)
    charts = [
        curve(HOSTILE, HOSTILE, [1.0], counted=HOSTILE),
        plane(HOSTILE, [dot], across_name=HOSTILE, up_name=HOSTILE, up_unit=HOSTILE),
        grid([GridRow(HOSTILE, {HOSTILE: HOSTILE}, 1.0, [HOSTILE])], [HOSTILE], [HOSTILE]),
        bars(HOSTILE, HOSTILE, [Bar(HOSTILE, [Segment(HOSTILE, 1.0, HOSTILE)], 2.0, HOSTILE)]),
        spread(HOSTILE, HOSTILE, 1.0, 0.5, 2.0, reference=1.0, reference_name=HOSTILE),
    ]
    for chart in charts:
        root = parsed(chart)
        assert "<script>alert(1)</script>" in words(root)
        assert not set("\x00\x1b\ud800\u202e") & set(chart)


def test_marks_that_would_cover_other_lines_are_left_out():
    assert escape("Z" + 99 * "\u0301" + "e\u0301") == "Z" + 3 * "\u0301" + "e\u0301"


def test_a_long_name_is_cut():
    assert len(curve("x" * 10_000_000, "y" * 10_000_000, [1.0])) < 5_000


def test_lines_are_numbered_bounded_and_have_bands():
    points = [(float(at + 1), float(at % 7)) for at in range(5000)]
    band = [(low - 1, low + 1) for _, low in points]
    x, y = Axis(0.9, 5000.0, is_log=True), Axis(-1.0, 8.0)
    series = [Line("policy", points, band, "6 %", [(0, "first")], main=True), Line("other", [])]
    root = parsed(lines("Progress", series, x=x, y=y, x_name="measurements", y_name="%", level=5.0))
    assert len(path(root, "series main")) <= MOST_POINTS
    assert root.find(".//path[@class='band main']") is not None
    assert root.find(".//line[@class='level']") is not None
    assert "other has no values" in words(root)
    many = [Line(f"t{at}", points) for at in range(50)]
    html = lines(HOSTILE, many, x=x, y=y, x_name=HOSTILE, y_name=HOSTILE)
    assert f"{50 - MOST_LINES} more lines" in html
    assert len(html) < 200_000
    parsed(html)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20))
def test_lines_and_rows_of_any_numbers_are_valid(pairs):
    x = Axis.over([each for each, _ in pairs], is_log=True)
    y = Axis.over([each for _, each in pairs])
    series = [Line("any", pairs, pairs, dots=[(at, "x") for at in range(len(pairs))])]
    parsed(lines("Any", series, x=x, y=y, x_name="a", y_name="b", rings=[(1, 2, "r")]))
    found = [Row(HOSTILE, value, HOSTILE, (value, other), [other]) for value, other in pairs]
    parsed(rows("Any", "s", found))
    parsed(rows("Any", "s", found, bars=False))


def test_rows_say_their_numbers_and_are_bounded():
    found = [Row("policy", 2.0, "2 s", main=True), Row("random", 8.0, "8 s", (6.0, 9.0))]
    root = parsed(rows("Cost", "s", found))
    widths = [float(each.attrib["width"].rstrip("%")) for each in root.iter("rect")]
    assert widths[1] == pytest.approx(4 * widths[0], rel=1e-3)
    assert "policy 2 s" in words(root)
    html = rows("Cost", "s", [Row("any", 1.0, "1 s", dots=[1.0] * 10_000)] * 100)
    assert "60 more are not drawn" in html
    assert html.count("<circle") <= 40 * 200
