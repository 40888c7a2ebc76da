"""Threads of low priority, for best effort: the operating system runs them in idle time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

#: The lowest priority that `nice` knows.
LOWEST = 19


def lower_priority() -> None:
    """Give the calling thread, and those that it starts, the lowest priority.

    A thread of a real-time class leaves it. Nobody needs a right for that; only a privileged
    process can take it back.
    """
    with contextlib.suppress(OSError, AttributeError):  # not on every operating system
        if os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)


def at_low_priority(call: Callable[[], T]) -> T:
    """Return what `call` returns in a thread of low priority; raise what it raises.

    The threads that it starts keep that priority.
    """
    result: Future[T] = Future()

    def run() -> None:
        lower_priority()
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="low-priority", daemon=True).start()
    return result.result()
