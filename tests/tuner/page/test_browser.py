"""The page in a real browser, over journals as a service writes them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from envs.spec import Configuration
from tests.tuner.page.serving import TOKEN, served
from tests.tuner.watching.journals import FAILED, WORLD, event, named, period, write
from tuner.control.events import EventKind
from tuner.control.guard import Phase
from tuner.page import hub

MARKUP = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>&amp;\'"'
OTHER = Configuration.of(WORLD.catalogue[3])


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    for number, row in enumerate((1, 3, 5, 8, 12, 17), 1):
        world = Configuration.of(WORLD.catalogue[row])
        write(path, period(number, Phase.SEARCHING, world, limit_ms=90.0))
    return write(path, period(7, limit_ms=90.0), period(8, limit_ms=90.0))


@pytest.fixture
def page(browser: Any, journal: Path, tmp_path: Path) -> Iterator[Any]:
    with served(journal, tmp_path / "limits.json") as (port, _):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.problems, page.asked = [], []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda said: page.problems.append(said.text))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(f"http://127.0.0.1:{port}/")
        shows(page, "#state", "HOLDING")
        yield page
        assert {re.sub(r"(:\d+)/.*", r"\1", each) for each in page.asked} == {
            f"http://127.0.0.1:{port}"
        }
        context.close()


def shows(page: Any, selector: str, words: str) -> None:
    """Wait until an element has these words."""
    page.wait_for_function(
        "([where, words]) => (document.querySelector(where) || {textContent: ''})"
        ".textContent.includes(words)",
        arg=[selector, words],
        timeout=60_000,
    )


def test_what_a_service_does_is_shown_as_it_comes(page: Any, journal: Path) -> None:
    shows(page, "#grid", "net0")
    shows(page, "#measured", "serves now")
    before = page.inner_text("#why .name")
    write(journal, period(9, Phase.SEARCHING, OTHER, limit_ms=90.0))
    shows(page, "#badge", "SEARCHING")
    assert page.inner_text("#why .name") != before
    assert page.title().startswith("SEARCHING")
    write(journal, period(10, limit_ms=1.0, events=[event("a thing happened")]))
    shows(page, "#state", "p99 of net0 is")
    shows(page, "#events", "a thing happened")
    assert page.inner_text("#badge") == "LIMIT BROKEN"
    assert "Limit broken" in page.text_content("#announce")
    write(journal, period(11, outcome=FAILED))
    shows(page, "#state", "no request was answered")
    old_s = time.time() - 1e6
    os.utime(journal, (old_s, old_s))
    shows(page, "#badge", "GONE")
    assert page.problems == []


def test_every_measured_configuration_is_in_the_plane_and_in_the_table(page: Any) -> None:
    assert page.locator("#planes .dot").count() == 6
    assert page.locator("#measured tbody tr").count() == 6
    assert page.locator("#planes .dot .present").count() == 1
    assert page.locator("#planes line.limit").count() == 1
    titles = page.locator("#planes .dot title").all_text_contents()
    assert all("measured" in each and "inferences/s" in each for each in titles)


def test_the_form_changes_a_limit_and_shows_what_the_service_says(
    page: Any, journal: Path, tmp_path: Path
) -> None:
    def fill(value: str, token: str) -> None:
        page.fill("#value", value)
        page.fill("#token", token)
        page.click("#limit-form button")

    fill("50", "wrong")
    shows(page, "#reply", "this is not the token")
    assert not (tmp_path / "limits.json").exists()
    fill("fast", TOKEN)
    shows(page, "#reply", "is no number")
    fill("50", TOKEN)
    shows(page, "#answer", "p99 50 ms: written")
    assert page.inner_text("#reply") == ""
    write(journal, period(9, limit_ms=50.0, events=[event("limits", EventKind.LIMITS_CHANGED)]))
    shows(page, "#answer", "the service has taken it")
    shows(page, "#limits", "50 ms")
    fill("2", TOKEN)
    shows(page, "#answer", "p99 2 ms: written")
    refused = event("no way", EventKind.LIMITS_REFUSED)
    write(journal, period(10, limit_ms=50.0, events=[refused]))
    shows(page, "#answer", "the service refused it, and the file is as before: no way")
    assert "50" in (tmp_path / "limits.json").read_text()


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


def test_the_title_says_that_the_service_is_away_until_it_is_back(
    browser: Any, journal: Path
) -> None:
    page = browser.new_page()
    with served(journal) as (port, _):
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_function("() => document.title.startsWith('HOLDING')", timeout=60_000)
    page.wait_for_function("() => document.title.startsWith('NO CONNECTION')", timeout=60_000)
    assert page.is_visible("#lost")
    with served(journal, port=port):
        page.wait_for_function("() => document.title.startsWith('HOLDING')", timeout=60_000)
    page.close()


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


def test_markup_in_names_and_sentences_is_text(browser: Any, tmp_path: Path) -> None:
    world = named(MARKUP, "</section><h1 id=stray>")
    path = tmp_path / "<b>run.jsonl"
    happened = [event(MARKUP)]
    write(path, period(1, world=world, configuration=_both(world), events=happened), world=world)
    with path.open("ab") as file:
        file.write(b'{"period": 2, "phase": "<script>window.hurt=1</script>", "why": "<b>")\n')
        file.write(b"\xff\xfe\n{\n[[[[\n" + b"[" * 100_000 + b"\n")
    last = period(3, world=world, configuration=_both(world), limit_ms=1.0)
    write(path, last, world=world)
    with served(path, tmp_path / "limits.json") as (port, _):
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda said: problems.append(said.text))
        page.goto(f"http://127.0.0.1:{port}/")
        shows(page, "#facts", "lines could not be read")
        assert MARKUP[:20] in page.inner_text("#grid")
        assert MARKUP[:20] in page.inner_text("#events")
        assert page.evaluate("window.hurt") is None
        assert page.locator("main img, main script, #stray").count() == 0
        assert problems == []
        page.close()


def test_of_a_journal_of_one_gibibyte_the_end_is_shown(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "huge.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, 2)
        file.write(b"\n")
    write(path, period(1), period(2))
    with path.open("ab") as file:
        file.write(b'{"period": 3, "phase": "hold')
    with served(path) as (port, _):
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        shows(page, "#state", "period 2")
        shows(page, "#facts", "older periods are in the file")
        page.close()


def test_ten_thousand_periods_stay_small_in_the_browser(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "POLL_S", 0.02)
    path = write(tmp_path / "run.jsonl", period(0))
    rows = [Configuration.of(each) for each in WORLD.catalogue[1:60]]
    with served(path) as (port, _):
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        inside = page.context.new_cdp_session(page)
        inside.send("Performance.enable")
        for first in range(1, 10_001, 100):
            batch = range(first, first + 100)
            write(path, *(period(each, configuration=rows[each % 59]) for each in batch))
            shows(page, "#state", f"period {batch[-1]} ")
        inside.send("HeapProfiler.collectGarbage")
        metrics = inside.send("Performance.getMetrics")["metrics"]
        found = {each["name"]: each["value"] for each in metrics}
        assert found["JSHeapUsedSize"] < 100e6
        assert found["Nodes"] < 20_000, "pictures that were replaced are gone"
        page.close()


def _both(world: Any) -> Configuration:
    return world.default()
