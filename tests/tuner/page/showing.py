"""What a page shows, and a configuration that it does not show first."""

from __future__ import annotations

from typing import Any

from envs.spec import Configuration
from tests.tuner.watching.journals import WORLD

OTHER = Configuration.of(WORLD.catalogue[3])


def shows(page: Any, selector: str, words: str) -> None:
    """Wait until an element has these words."""
    page.wait_for_function(
        "([where, words]) => (document.querySelector(where) || {textContent: ''})"
        ".textContent.includes(words)",
        arg=[selector, words],
        timeout=60_000,
    )
