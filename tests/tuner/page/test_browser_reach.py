"""The page in a browser by keyboard, by name, on a telephone, and without a script."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `page` is not installed")


from tests.tuner.page.serving import TOKEN, served
from tests.tuner.page.showing import OTHER, shows
from tests.tuner.watching.journals import event, named, period, write
from tuner.control.guard import Phase


def test_a_new_picture_keeps_the_focus_and_what_was_typed(page: Any, journal: Path) -> None:
    page.fill("#value", "4")
    page.focus("#planes .dot[tabindex='0']")
    name = "document.activeElement.querySelector('title').textContent.split(' (')[0]"
    before = page.evaluate(name)
    write(journal, period(9, Phase.HOLDING, OTHER, limit_ms=90.0))
    shows(page, "#state", "period 9")
    assert page.evaluate(name).split(". ")[1] == before.split(". ")[1]
    assert page.input_value("#value") == "4"


def test_a_new_event_does_not_scroll_the_others_away(page: Any, journal: Path) -> None:
    write(journal, period(9, limit_ms=90.0, events=[event(f"event {e}") for e in range(40)]))
    shows(page, "#events", "event 39")
    page.evaluate("document.querySelector('.events').scrollTop = 200")
    write(journal, period(10, limit_ms=90.0, events=[event("one more")]))
    shows(page, "#events", "one more")
    assert page.evaluate("document.querySelector('.events').scrollTop") == 200


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Any) -> None:
    page.focus("body")
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(() => { const e = document.activeElement, s = getComputedStyle(e);"
                " return [e.id || e.className.baseVal || e.className || e.tagName,"
                " s.outlineStyle + s.outlineWidth]; })()"
            )
        )
        if reached[-1][0] == "BUTTON":
            break
    names = [name for name, _ in reached]
    assert names[:2] == ["skip", "hold"]
    assert names[-4:] == ["limit", "value", "token", "BUTTON"]
    assert names.count("scroll") == 2, "what scrolls can be scrolled without a pointer"
    assert names.count("dot") == 1, "one stop for all dots"
    assert all(style == "solid3px" for _, style in reached), reached
    page.focus("#planes .dot[tabindex='0']")
    seen = {page.inner_text(".dot-words")}
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
        seen.add(page.inner_text(".dot-words"))
    for _ in range(9):
        page.keyboard.press("ArrowRight")
        seen.add(page.inner_text(".dot-words"))
    assert len(seen) == 6, "the arrows reach each dot, and its words are shown"


def test_everything_has_a_name(page: Any) -> None:
    assert page.evaluate("document.documentElement.lang") == "en"
    nameless = page.evaluate(
        "[...document.querySelectorAll('input,select')].filter((e) => !e.labels.length).length"
        " + [...document.querySelectorAll('svg.drawing')]"
        ".filter((e) => !e.querySelector('title').textContent).length"
        " + [...document.querySelectorAll('button,a,[role=group]')]"
        ".filter((e) => !(e.textContent.trim() || e.ariaLabel)).length"
    )
    assert nameless == 0
    assert page.locator("[role=status]").count() == 2
    assert page.locator("h1").count() == 1
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def test_hold_keeps_the_picture_until_it_is_let_go(page: Any, journal: Path) -> None:
    page.click("#hold")
    assert page.get_attribute("#hold", "aria-pressed") == "true"
    write(journal, period(9, limit_ms=1.0))
    page.wait_for_timeout(2500)
    assert page.inner_text("#badge") == "HOLDING"
    page.click("#hold")
    shows(page, "#badge", "LIMIT BROKEN")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_fits_a_telephone_and_a_desk_by_day_and_by_night(
    browser: Any, journal: Path, scheme: str, width: int
) -> None:
    with served(journal) as (port, _):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 740})
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        shows(page, "#measured", "serves now")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper, ink = page.evaluate(
            "(() => { const s = getComputedStyle(document.body);"
            " return [s.backgroundColor, s.color]; })()"
        )
        light = [sum(map(int, re.findall(r"\d+", each)[:3])) for each in (paper, ink)]
        assert (light[0] > light[1]) == (scheme == "light")
        assert page.locator("#limit-form").count() == 0, "without --limits there is no form"
        context.close()


def test_eight_networks_with_long_names_fit_a_telephone(browser: Any, tmp_path: Path) -> None:
    world = named(*(f"a_network_with_a_long_name_and_no_blank_{each}" for each in range(8)))
    path = tmp_path / "run.jsonl"
    write(path, period(1, world=world, configuration=world.default()), world=world)
    with served(path, tmp_path / "limits.json") as (port, _):
        context = browser.new_context(viewport={"width": 320, "height": 740})
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        shows(page, "#limits", "no_blank_7")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        context.close()


def test_without_a_script_it_is_a_page_with_a_form(
    browser: Any, journal: Path, tmp_path: Path
) -> None:
    with served(journal, tmp_path / "limits.json") as (port, _):
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        for _ in range(100):
            page.goto(f"http://127.0.0.1:{port}/")
            if "HOLDING" in page.content():
                break
            time.sleep(0.1)
        assert "Load it again" in page.inner_text("body")
        page.fill("#value", "50")
        page.fill("#token", TOKEN)
        page.click("#limit-form button")
        assert "p99 50 ms: written" in page.inner_text("body")
        page.click("text=Back to the page")
        assert "p99 50 ms: written" in page.inner_text("#answer")
        context.close()
