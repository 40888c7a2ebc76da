"""A browser, where there is one, and a page that is patient with a busy computer."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.spec import Configuration
from tests.tuner.page.showing import shows
from tests.tuner.watching.journals import WORLD, period, write
from tuner.control.guard import Phase
from tuner.watching import state

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--enable-precise-memory-info",
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of a test is gone only if the test makes it old, however long the test takes."""
    monkeypatch.setattr(state, "GONE_S", 1e5)


@pytest.fixture(scope="module")  # while it runs, asyncio has a loop in this thread
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no chromium here: apt-get install -y chromium")
    with api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        except api.Error as error:
            pytest.skip(f"chromium does not start here: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    for number, row in enumerate((1, 3, 5, 8, 12, 17), 1):
        world = Configuration.of(WORLD.catalogue[row])
        write(path, period(number, Phase.SEARCHING, world, limit_ms=90.0))
    return write(path, period(7, limit_ms=90.0), period(8, limit_ms=90.0))


@pytest.fixture
def page(browser: Any, journal: Path, tmp_path: Path) -> Iterator[Any]:
    from tests.tuner.page.serving import served  # needs the extra `page`

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
