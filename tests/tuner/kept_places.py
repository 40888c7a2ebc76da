"""Where a deployed tuner keeps its files."""

from __future__ import annotations

from pathlib import Path


def places(folder: Path) -> tuple[str, ...]:
    return ("--folder", str(folder / "kept"), "--lock", str(folder / "lock"))
