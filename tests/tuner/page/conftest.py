"""A browser, where there is one, and a page that is patient with a busy computer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

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
