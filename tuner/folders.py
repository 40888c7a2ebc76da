"""Folders of the project and of the user."""

import os
from pathlib import Path


def shipped(folder: str) -> Path:
    """Return a folder of the project, which an installed package carries inside."""
    inside = Path(__file__).resolve().parent / folder
    return inside if inside.is_dir() else inside.parent.parent / folder


def reference_bundle() -> Path:
    """Return the policy that comes with the project."""
    return shipped("checkpoints") / "reference.bundle"


def cache_folder() -> Path:
    """Return `orin-tuner` in the user's cache folder: XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "orin-tuner"
