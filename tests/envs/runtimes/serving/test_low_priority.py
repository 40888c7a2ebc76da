from __future__ import annotations

import os
import threading

import pytest

from envs.runtimes.serving.low_priority import LOWEST, at_low_priority


def nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="there are no priorities here")
def test_a_call_and_the_threads_that_it_starts_have_the_lowest_priority() -> None:
    found: list[int] = []

    def call() -> int:
        thread = threading.Thread(target=lambda: found.append(nice()))
        thread.start()
        thread.join()
        return nice()

    before = nice()
    assert [at_low_priority(call), *found] == [LOWEST, LOWEST]
    assert nice() == before


def test_an_error_of_the_call_is_raised() -> None:
    def call() -> None:
        raise ValueError("no engine")

    with pytest.raises(ValueError, match="no engine"):
        at_low_priority(call)
