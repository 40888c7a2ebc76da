"""Some of the tenants of a workload, and back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from envs.errors import OptionError
from envs.spec import Configuration, ConfigurationSpace, Failure, FailureKind, Objective, Place
from envs.spec.some_tenants import (
    configuration_of_tenants,
    objective_of_tenants,
    outcome_of_tenants,
    whole_configuration,
    whole_objective,
    whole_outcome,
    with_unserved,
)
from envs.spec.validity import UNSERVED, VALID, judge
from tests.worlds import respond, space


def placed(*rows: tuple[tuple[int, int], tuple[int, int]]) -> Configuration:
    return Configuration.of(np.array(rows))


NOTHING, ONE, TWO = ((0, 0), (0, 0)), ((1, 1), (0, 0)), ((0, 0), (2, 4))


def test_an_optional_tenant_may_be_without_an_instance_but_not_all() -> None:
    fixed = space(3)
    free = replace(fixed, optional=frozenset({0, 1, 2}))
    only_first = replace(fixed, optional=frozenset({0}))
    rows = np.stack(
        [placed(*each).array() for each in ((ONE, TWO, ONE), (NOTHING, TWO, ONE), (NOTHING,) * 3)]
    )
    assert judge(fixed, rows).tolist() == [VALID, UNSERVED, UNSERVED]
    assert judge(free, rows).tolist() == [VALID, VALID, UNSERVED]
    assert judge(only_first, rows).tolist() == [VALID, VALID, UNSERVED]
    assert judge(only_first, rows[:, ::-1]).tolist() == [VALID, UNSERVED, UNSERVED]


def test_optional_tenants_survive_a_file_and_leave_older_files_as_they_were() -> None:
    free = replace(space(2), optional=frozenset({1}))
    assert ConfigurationSpace.from_dict(free.to_dict()) == free
    assert "optional" not in space(2).to_dict()
    with pytest.raises(OptionError, match="optional"):
        replace(space(2), optional=frozenset({2}))


def test_the_space_of_some_tenants_is_that_of_a_workload_of_them() -> None:
    whole = replace(
        space(3),
        unavailable=frozenset({(0, 1), (2, 0)}),
        unavailable_batches=frozenset({(2, 1, 4)}),
        optional=frozenset({1}),
    )
    part = whole.of_tenants((0, 2))
    assert part.workload.names == ("net0", "net2")
    assert part.unavailable == {(0, 1), (1, 0)}
    assert part.unavailable_batches == {(1, 1, 4)}
    assert not part.optional
    valid = {each.placements for each in map(Configuration.of, part.catalogue)}
    of_whole = {
        configuration_of_tenants(Configuration.of(row), (0, 2)).placements
        for row in whole.catalogue
    }
    assert of_whole == valid


@pytest.mark.parametrize("tenants", [(), (1, 0), (0, 0), (3,)])
def test_other_tenants_are_refused(tenants: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="tenant"):
        space(3).of_tenants(tenants)


def test_part_and_whole_are_inverse() -> None:
    part = placed(ONE, TWO)
    whole = whole_configuration(part, (0, 2), 4)
    assert whole == placed(ONE, NOTHING, TWO, NOTHING)
    assert configuration_of_tenants(whole, (0, 2)) == part
    objective = Objective((10.0, 20.0), 15.0, min_rate_ips=(5.0, 0.0))
    everyone = whole_objective(objective, (0, 2), 3)
    assert everyone.p99_ms == (10.0, math.inf, 20.0)
    assert everyone.min_rate_ips == (5.0, 0.0, 0.0)
    assert objective_of_tenants(everyone, (0, 2)) == objective
    outcome = respond(space(2), part)
    wide = whole_outcome(outcome, (0, 2), 3)
    assert outcome_of_tenants(wide, (0, 2)) == outcome
    assert math.isnan(wide.tenants[1].p99_ms)  # type: ignore[union-attr]


def test_a_failure_keeps_its_place() -> None:
    failed = Failure(FailureKind.BUILD_FAILED, "no engine", place=Place(1, 0, 4))
    wide = whole_outcome(failed, (0, 2), 3)
    assert isinstance(wide, Failure)
    assert wide.place == Place(2, 0, 4)
    assert outcome_of_tenants(wide, (0, 2)) == failed
    elsewhere = outcome_of_tenants(wide, (0, 1))
    assert isinstance(elsewhere, Failure)
    assert elsewhere.place is None


def test_a_tenant_without_an_instance_gave_nothing() -> None:
    both = respond(space(2), placed(ONE, TWO))
    seen = with_unserved(both, placed(NOTHING, TWO))
    assert seen.tenants[0].throughput_ips == 0
    assert math.isnan(seen.tenants[0].p99_ms)
    assert seen.tenants[1] == both.tenants[1]
