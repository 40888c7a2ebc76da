"""What changes cost is expected by the table, and learned from those that were made."""

from __future__ import annotations

import numpy as np
import pytest

from envs.spec import Configuration, Failure, FailureKind, Measurement, Origin
from envs.spec.change import change_cost
from tests.worlds import space
from tuner.control.changes import Changes

ONE = Configuration.of(np.array([[(1, 1), (0, 0)], [(1, 1), (0, 0)]], dtype=np.int16))
OTHER = Configuration.of(np.array([[(1, 1), (0, 0)], [(0, 0), (2, 4)]], dtype=np.int16))


def test_a_device_that_changes_fast_is_expected_to() -> None:
    world, changes, rates = space(2), Changes(), [10.0, 20.0]
    table = change_cost(world, ONE.array(), OTHER.array(), rates)
    first = changes.cost(world, ONE, OTHER, rates)
    assert first is not None
    assert [float(each) for each in first] == pytest.approx([float(each) for each in table])
    fast = Measurement((), 1.0, Origin.MEASURED, apply_s=0.1 * float(table.seconds))
    for _ in range(10):
        changes.record(world, ONE, OTHER, fast)
    later = changes.cost(world, ONE, OTHER, rates)
    assert later is not None
    for now, before in zip(later, first, strict=True):
        assert 0.1 * before < now < 0.13 * before
    assert changes.seconds(world, ONE, OTHER) == pytest.approx(float(later.seconds))


def test_starts_failures_and_no_change_tell_nothing_of_changes() -> None:
    world, changes = space(2), Changes()
    before = changes.seconds(world, ONE, OTHER)
    slow = Measurement((), 1.0, Origin.MEASURED, apply_s=100.0)
    changes.record(world, None, OTHER, slow)
    changes.record(world, OTHER, OTHER, slow)
    changes.record(world, ONE, OTHER, Failure(FailureKind.TIMED_OUT, "late"))
    assert changes.seconds(world, ONE, OTHER) == before
    assert changes.cost(world, OTHER, OTHER, [1.0, 1.0]) is None
