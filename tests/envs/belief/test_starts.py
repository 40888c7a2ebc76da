"""Where a search of a large space starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.mixes import setting_of
from benchmarks.mixes_world import MIXES, SLOWDOWN, model_of, single
from envs.belief.local_search import placements_apart, search, starts
from envs.spec import Configuration, ConfigurationSpace, Objective
from envs.spec.criticality import Criticality
from envs.spec.validity import VALID, judge

MIX = next(each for each in MIXES if each.name.startswith("B"))


def space_of(max_instances: int = 4) -> ConfigurationSpace:
    space = model_of("agx_xavier", MIX, 20.0, None).space
    return replace(space, max_instances=max_instances)


def test_critical_tenants_and_best_effort_share_no_accelerator() -> None:
    space = space_of()
    found = placements_apart(space)
    critical, low = (found[:, tenant, :, 0] > 0 for tenant in (0, 1))
    assert not (critical & low).any()
    whole = [each.segments == 1 for each in space.device.accelerators]
    assert ((critical | low) == whole).all(), "every whole accelerator has somebody, no segments"
    assert len({tuple(each) for each in low.tolist()}) == 2 ** sum(whole), "every division"
    assert set(found[:, 0, :, 1][critical].tolist()) == {space.batches[0]}
    assert set(found[:, 1, :, 1][low].tolist()) == set(space.batches)


@pytest.mark.parametrize("most", [1, 2, 4])
def test_starts_are_valid_and_have_the_divisions(most: int) -> None:
    space = space_of(most)
    found = starts(space, np.random.default_rng(0), 10)
    assert (judge(space, found) == VALID).all()
    known = {Configuration.of(each) for each in found}
    apart = placements_apart(space)
    apart = apart[judge(space, apart) == VALID]
    assert len(apart)
    assert {Configuration.of(each) for each in apart} <= known


def test_without_best_effort_nobody_is_apart() -> None:
    space = space_of()
    tenants = space.workload.tenants
    equal = tuple(replace(each, criticality=Criticality.CRITICAL) for each in tenants)
    space = replace(space, workload=replace(space.workload, tenants=equal))
    assert placements_apart(space).shape == (0, *space.shape, 2)


def test_the_search_does_not_depend_on_its_first_draw() -> None:
    """The best has the critical network on both DLAs; from random starts it was seldom found."""
    rate_ips = setting_of("agx_xavier", MIX, seconds=1.0).critical.rate_ips
    model = model_of("agx_xavier", MIX, rate_ips, None)
    alone = model.response(model.nominal(), single(model.space, range(1)))
    objective = Objective((SLOWDOWN * float(alone.p99_ms[0, 0]), np.inf))
    best = [
        search(model, model.nominal(), objective, np.random.default_rng(seed))[0]
        for seed in range(3)
    ]
    assert len({Configuration.of(each) for each in best}) == 1
    names = model.space.device.accelerator_names
    critical = {names[at] for at in np.flatnonzero(best[0][0, :, 0])}
    assert critical == {"dla0", "dla1"}
