"""Marks of builds that run: a build that killed its process is known at the next start.

A builder may take more memory than there is, and then the kernel ends the whole process. Without a
mark on the disk the service would start, build the same engine, and end again, for ever. What
ended two processes would end the next one with the batch size that comes next, so that engines of
one network, kind of accelerator and precision count together. As long as no engine of the network
was ever built for the GPU, all of its engines for the GPU count together, or a GPU that can build
nothing would end two processes for each of its kinds; the same holds for the DLAs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.runtimes.tensorrt.cache import EngineCache
from envs.spec import Kind

#: How often builds that are alike may end their process before none is tried.
TRIES = 2


@contextlib.contextmanager
def marked(cache: EngineCache, identity: dict[str, Any]) -> Iterator[None]:
    """Mark an engine as being built until the block ends, or the process ends by itself."""
    tries = _dead_tries(cache.mark(identity) or {})
    process = {"process": _process(os.getpid()), "pid": os.getpid(), "tries": tries + 1}
    mark = process | {"like": _like(identity)}
    cache.keep_mark(identity, mark)

    def remove() -> None:
        cache.remove_mark(identity)

    # A user who stops the process during a build says nothing about the build.
    atexit.register(remove)
    try:
        yield
    finally:
        atexit.unregister(remove)
        remove()


def remove_own_marks(cache: EngineCache) -> None:
    """Remove the marks of this process, which ends by itself while a thread of it still builds.

    A process that ends by `os._exit`, since a builder cannot be interrupted, calls no exit handler.
    """
    own = _process(os.getpid())
    for path, mark in cache.marks().items():
        if mark.get("pid") == os.getpid() and mark.get("process") == own:
            with contextlib.suppress(OSError):
                path.unlink()


def why_dangerous(cache: EngineCache, identity: dict[str, Any]) -> str:
    """Return why an engine must not be built any more; empty if it may be."""
    own, others, like = cache.mark_path(identity), cache.marks(), _like(identity)
    built = any(_group(_like(kept)) == _group(like) for kept in cache.identities())
    alike = {
        path: _dead_tries(mark)
        for path, mark in others.items()
        if path == own or _counts(mark.get("like"), like, built)
    }
    ended = sum(alike.values())
    if ended < TRIES:
        return ""
    files = ", ".join(str(path) for path, tries in sorted(alike.items()) if tries)
    what = "it was" if alike.get(own) == ended else "engines like it were"
    return (
        f"the process ended {ended} times while {what} built, probably because memory was short:"
        f" remove {files} to try again"
    )


def _like(identity: dict[str, Any]) -> dict[str, Any]:
    """Return what engines have in common whose builds count together; ready for JSON."""
    engine = identity.get("engine") or {}
    return {
        "network": identity.get("network"),
        "kind": engine.get("kind"),
        "precision": engine.get("precision"),
        "host": identity.get("host"),
    }


def _group(like: dict[str, Any]) -> tuple[Any, ...]:
    """Return the network, whether it runs on a DLA or the GPU, and the computer."""
    return like.get("network"), like.get("kind") == Kind.DLA.value, like.get("host")


def _counts(other: Any, like: dict[str, Any], built: bool) -> bool:
    """Return True if a build counts together with another one.

    Args:
        other: what the other one is like, from its mark.
        like: what this one is like.
        built: whether an engine of the network was ever built for the GPU, or for a DLA.
    """
    if not isinstance(other, dict):
        return False
    return other == like if built else _group(other) == _group(like)


def _dead_tries(mark: dict[str, Any]) -> int:
    """Return how often a process ended while it built the engine of a mark."""
    pid, tries = mark.get("pid"), mark.get("tries")
    if not isinstance(pid, int) or not isinstance(tries, int) or pid <= 0 or tries <= 0:
        return 0
    alive = mark.get("process") == _process(pid)
    return tries - 1 if alive else tries


def _process(pid: int) -> str:
    """Return what tells a process from a later one with its number: its start time and the boot.

    The start time is the 22nd field of /proc/PID/stat (proc(5)); the second one, the name, may
    contain blanks and brackets. Empty if there is no such process.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{fields.rpartition(')')[2].split()[19]} {boot}"
    except (OSError, IndexError):
        return ""
