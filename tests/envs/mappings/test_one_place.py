"""A mapping that is what a DLA's engine does by itself is no second place of a space."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.catalog.reference_networks import reference_groups
from envs.errors import OptionError
from envs.graph.layer_table import LayerTable, joined
from envs.mappings.places import mapping_names
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of, machine_of
from envs.spec import ConfigurationSpace, Mapping, Tenant, Workload

#: Few groups, so that every mapping of them can be listed.
GROUPS = 5

BOARD = ("orin_nx_16", "MAXN")

#: What a DLA takes of each group: all layers, none, or a part.
TAKEN = st.lists(st.sampled_from(("all", "none", "part")), min_size=GROUPS, max_size=GROUPS)


def groups_of(taken: list[str]) -> tuple[LayerTable, ...]:
    """Return layer groups of which a DLA takes this; each has two layers or more."""
    own = reference_groups("vgg11")[:GROUPS]
    found = []
    for kind, layers in zip(taken, own, strict=True):
        two = joined([layers, replace(layers, inputs=layers.outputs)])
        dla = np.full(len(two), kind == "all")
        dla[0] |= kind == "part"
        found.append(replace(two, dla=dla))
    return tuple(found)


def world(
    groups: tuple[LayerTable, ...],
    *mappings: str,
    without: frozenset[tuple[int, int]] = frozenset(),
) -> DeviceModel:
    whole = joined(groups)
    space = ConfigurationSpace(
        device_of(*BOARD), Workload((Tenant("net", described(whole)),)), 2, (1, 8),
        unavailable=without,
    ).with_mappings([mappings])  # fmt: skip
    return model_for(space, (whole,), precision="fp16", groups=(groups,))


@settings(max_examples=15)
@given(taken=TAKEN, core=st.sampled_from(("dla0", "dla1")))
def test_of_all_mappings_only_the_one_that_happens_anyway_is_refused(
    taken: list[str], core: str
) -> None:
    groups = groups_of(taken)
    anyway = tuple(core if kind == "all" else "tensor" for kind in taken)
    for places in product(("cuda", "tensor", core), repeat=GROUPS):
        fits = all(
            kind == "all" for kind, place in zip(taken, places, strict=True) if place == core
        )
        if len(set(places)) == 1 or not fits:
            continue
        name = Mapping.of_groups(places).name
        if places == anyway and "part" not in taken:
            with pytest.raises(OptionError, match=f"{name} runs what {core} runs of"):
                world(groups, name)
        else:
            divided = world(groups, name).divided
            assert [each.whole_on for each in divided.values()] == [None]


@settings(max_examples=15)
@given(taken=TAKEN)
def test_what_the_model_chooses_is_never_refused(taken: list[str]) -> None:
    groups = groups_of(taken)
    names = mapping_names(groups, device_of(*BOARD), machine_of(*BOARD))
    assert len(world(groups, *names).divided) == len(names)


def test_where_the_whole_network_is_no_choice_the_mapping_is_the_one_place() -> None:
    groups, name = groups_of(["none", "all", "all", "none", "all"]), "dla0"
    mapping = "tensor_to_1_dla0_to_3_tensor_to_4_dla0"
    column = device_of(*BOARD).accelerator_names.index(name)
    model = world(groups, mapping, without=frozenset({(0, column)}))
    assert [each.whole_on for each in model.divided.values()] == [name]


@pytest.mark.parametrize("batch", [1, 8])
def test_one_place_of_the_two_would_be_predicted_as_the_other(batch: int) -> None:
    groups = groups_of(["all", "all", "none", "none", "all"])
    whole, mapping = world(groups), "dla0_to_2_tensor_to_4_dla0"
    column = whole.space.device.accelerator_names.index("dla0")
    mapped = world(groups, mapping, without=frozenset({(0, column)}))
    rates = []
    for model, at in ((whole, column), (mapped, -1)):
        placements = np.zeros((1, *model.space.shape, 2), dtype=np.int16)
        placements[0, 0, at] = (1, batch)
        rates.append(model.batch(model.nominal(), placements).throughput_ips[0, 0])
    assert rates[0] == pytest.approx(rates[1], rel=0.1)
