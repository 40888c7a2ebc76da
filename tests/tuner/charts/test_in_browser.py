"""Charts in a real browser: they fit a telephone, and need nothing that a strict page forbids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tuner.page.conftest import browser as browser  # the fixture
from tuner.charts.axis import Axis
from tuner.charts.bars import Bar, Segment, bars
from tuner.charts.curve import curve
from tuner.charts.document import REPORT_STYLE, big_numbers, origin_line, table
from tuner.charts.grid import GridRow, grid
from tuner.charts.lines import Line, lines
from tuner.charts.plane import Dot, Mark, plane
from tuner.charts.rows import Row, rows
from tuner.charts.spread import spread
from tuner.charts.style import CHART_STYLE

NAME = "a_network_with_a_name_that_is_rather_long_for_a_telephone"
POLICY = "default-src 'none'; style-src 'nonce-n'"


def page_of_charts() -> str:
    rng = np.random.default_rng(0)
    values = rng.normal(40, 3, 10_000)
    dots = [Dot(*rng.uniform(10, 90, 2), f"c{at}", list(Mark)[at % 4], str(at)) for at in range(20)]
    body = [
        origin_line(NAME * 3),
        big_numbers([("12,345.6/s", NAME), ("1.2 ms", NAME), ("9 W", "power")]),
        curve(NAME, "ms", values, limits=45.0),
        plane(NAME, dots, limit_ms=50.0, in_order=True),
        grid([GridRow(NAME, {"tensor": "2x4"}, 0.9, ["1"])], ["tensor"] * 9, ["p99, ms"]),
        bars(NAME, "GiB", [Bar(NAME, [Segment(NAME, 1.0), Segment("b", 2.0)], 4.0)]),
        spread(NAME, "times", 1.4, 1.3, 1.5, reference=1.0, reference_name="the default"),
        lines(
            NAME,
            [Line(NAME, [(1.0, 1.0), (9.0, 5.0)])],
            x=Axis(0.0, 10.0),
            y=Axis(0.0, 6.0),
            x_name="measurements",
            y_name="%",
        ),
        rows(NAME, "s", [Row(NAME, 3.0, "3 s", (2.0, 4.0), [1.0, 5.0])]),
        table([NAME, "b [ms]"] * 5, [[NAME, "1"] * 5]),
    ]
    style = CHART_STYLE + REPORT_STYLE
    head = f'<meta name="viewport" content="width=device-width"><style nonce="n">{style}'
    return (
        f'<!DOCTYPE html><html><head><meta charset="utf-8"><meta http-equiv='
        f'"Content-Security-Policy" content="{POLICY}">{head}</style></head><body>'
        f"{''.join(body)}</body></html>"
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "charts.html"
    path.write_text(page_of_charts(), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_charts_fit_and_their_text_can_be_read(browser, file, width, scheme):
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(file.as_uri())
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        "[...document.querySelectorAll('text')].filter(e => e.getBoundingClientRect().height)"
        ".map(e => e.getBoundingClientRect().height)"
    )
    assert sizes
    assert min(sizes) >= 10
    tall = page.evaluate("document.querySelector('.drawing').getBoundingClientRect().height")
    assert tall == 180  # a chart keeps its height whatever its width
    page.close()


def test_the_keyboard_reaches_each_configuration_and_reads_what_it_is(browser, file):
    page = browser.new_page(viewport={"width": 360, "height": 700})
    page.goto(file.as_uri())
    page.keyboard.press("Tab")
    said = page.evaluate("document.activeElement.querySelector('title').textContent")
    assert "inferences/s" in said
    assert "ms (" in said
    reached = page.get_by_role("img", name=said)
    assert reached.count() == 1
    page.close()
