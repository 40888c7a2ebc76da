"""The page in a real browser, over journals as a service writes them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from envs.spec import Configuration
from tests.tuner.page.serving import TOKEN, served
from tests.tuner.page.showing import OTHER, shows
from tests.tuner.watching.journals import FAILED, WORLD, event, named, period, write
from tuner.control.events import EventKind
from tuner.control.guard import Phase
from tuner.page import hub

MARKUP = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>&amp;\'"'


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
