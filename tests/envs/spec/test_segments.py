"""Accelerators on which the networks of best effort run in several segments."""

import numpy as np
import pytest

from envs.errors import ConfigurationError, OptionError
from envs.spec import Configuration, ConfigurationSpace, DeviceSpec, accelerator
from tests.worlds import board_in_segments


def space() -> ConfigurationSpace:
    return board_in_segments(2, (1, 4))


def test_a_device_with_segments_names_each_accelerator_once_more_and_survives_a_file() -> None:
    device = space().device
    assert device.accelerator_names == (
        *("tensor", "dla0", "tensor_in_4", "dla0_in_4", "tensor_in_16", "dla0_in_16"),
    )
    assert DeviceSpec.from_dict(device.to_dict()) == device
    assert ConfigurationSpace.from_dict(space().to_dict()) == space()
    assert device.accelerators[2].whole == "tensor"
    for name in ("tensor_in_1", "tensor_in_x", "gpu_in_4"):
        with pytest.raises(OptionError, match="unknown accelerator"):
            accelerator(name)


def test_critical_tenants_run_in_one_piece() -> None:
    placements = np.zeros((2, 6, 2), dtype=int)
    placements[0, 2] = placements[1, 4] = (1, 1)
    with pytest.raises(ConfigurationError, match="critical tenants do not run in segments"):
        space().check(Configuration.of(placements))
    placements[0, 2], placements[0, 0] = (0, 0), (1, 1)
    space().check(Configuration.of(placements))
    assert (space().catalogue[:, 0, 2:] == 0).all()


def test_a_tenant_runs_in_one_number_of_segments_on_an_accelerator() -> None:
    placements = np.zeros((2, 6, 2), dtype=int)
    placements[0, 0] = placements[1, 2] = placements[1, 4] = (1, 1)
    with pytest.raises(ConfigurationError, match="several numbers of segments"):
        space().check(Configuration.of(placements))
    placements[1, 4], placements[1, 5] = (0, 0), (1, 1)  # another accelerator, other segments
    space().check(Configuration.of(placements))
