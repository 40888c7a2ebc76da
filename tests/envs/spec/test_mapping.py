import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import OptionError
from envs.spec.mapping import Mapping

NAMES = st.sampled_from(["tensor", "cuda", "dla0", "dla1", "cpu_fp32", "cpu_int8"])


@given(st.lists(NAMES, min_size=1, max_size=30))
def test_groups_name_and_mapping_tell_the_same(by_group: list[str]) -> None:
    mapping = Mapping.of_groups(tuple(by_group))
    assert Mapping.parse(mapping.name) == mapping
    assert mapping.by_group(len(by_group)) == tuple(by_group)


def test_a_name_reads_as_what_runs_where() -> None:
    assert Mapping(("tensor", "dla0", "tensor"), (3, 9)).name == "tensor_to_3_dla0_to_9_tensor"
    assert Mapping(("tensor",)).name == "tensor"


@pytest.mark.parametrize(
    "name",
    ["dla0_to_tensor", "dla0_to_7_", "dla0_to_7_dla0", "dla0_to_0_tensor", "a_to_9_b_to_9_c"],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="is no mapping of layer groups"):
        Mapping.parse(name)


def test_a_network_with_too_few_groups_is_named() -> None:
    with pytest.raises(OptionError, match="needs more than 7 layer groups; the network has 7"):
        Mapping.parse("dla0_to_7_tensor").by_group(7)
