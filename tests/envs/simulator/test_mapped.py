"""Mappings in the model: worlds with answers known on paper."""

from dataclasses import replace

import numpy as np
import pytest

from envs.catalog.reference_networks import reference_groups, reference_network
from envs.errors import OptionError
from envs.problems.draw import described
from envs.simulator.departures import departed
from envs.simulator.device_model import DeviceModel
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.simulator.parameters import nominal
from envs.simulator.tables import COSTS, Contexts
from envs.spec import ConfigurationSpace, DeviceSpec, Tenant, Workload, accelerator
from envs.spec.criticality import Criticality

#: The first groups of this network are convolutions and pools, which a DLA takes.
NAME, CUT = "googlenet", "dla0_to_9_tensor"


def model(
    *mappings: str, tenants: int = 1, gives_way: int = 0, board: str = "agx_orin_64"
) -> DeviceModel:
    every = tuple(
        Tenant(
            f"net{n}",
            described(reference_network(NAME)),
            criticality=Criticality.BEST_EFFORT
            if n >= tenants - gives_way
            else Criticality.CRITICAL,
        )
        for n in range(tenants)
    )
    space = ConfigurationSpace(device_of(board, "MAXN"), Workload(every), 4, (1, 2, 8))
    return model_for(
        space.with_mappings([mappings] * tenants), (reference_network(NAME),) * tenants
    )


def plain(*mappings: str) -> DeviceModel:
    device = DeviceSpec("computer", (accelerator("cpu_fp32"), accelerator("cpu_int8")), 4, 16_000.0)
    tenant = Tenant("net", described(reference_network(NAME)))
    space = ConfigurationSpace(device, Workload((tenant,)), 4, (1, 2))
    return model_for(space.with_mappings([mappings]), (reference_network(NAME),))


def quiet(world: DeviceModel) -> Contexts:
    """Return a context in which neither DRAM, nor the host, nor changes between engines cost."""
    calm = world.nominal()
    zero = np.zeros(1)
    free = ("contention_slope", "launch_lock", "interference", "switch_s", "tail")
    return replace(calm, **dict.fromkeys(free, zero))


def placed(world: DeviceModel, *rows: dict[tuple[int, str], tuple[int, int]]) -> np.ndarray:
    names = world.space.device.accelerator_names
    found = np.zeros((len(rows), *world.space.shape, 2), dtype=np.int16)
    for row, slots in enumerate(rows):
        for (tenant, name), pair in slots.items():
            found[row, tenant, names.index(name)] = pair
    return found


def rates(world: DeviceModel, *rows: dict[tuple[int, str], tuple[int, int]]) -> np.ndarray:
    return world.batch(quiet(world), placed(world, *rows)).throughput_ips


def costs(world: DeviceModel, name: str, level: int = 0) -> dict[str, float]:
    column = world.space.device.accelerator_names.index(name)
    at = int(world.slots(placed(world, {(0, name): (1, 1)}))[0][0, 0].argmax())
    assert world.space.device.accelerators[column].name == name
    return dict(zip(COSTS, world.nominal().table[:, 0, 0, at, level].tolist(), strict=True))


def test_one_instance_alone_takes_the_sum_of_its_parts() -> None:
    world = model(CUT, "tensor_to_9_dla1_to_20_tensor")
    divided = world.divided[0, 4]
    assert [len(each) for each in divided.parts] == [9, len(reference_groups(NAME)) - 9]
    cost, _ = divided.cost(world.machine, np.array([1.0, 2.0, 8.0]), nominal("ampere"))
    alone_s = (cost.host_s + cost.gpu_s + cost.dla_s)[0]
    for name in world.space.device.accelerator_names[4:]:
        found = [rates(world, {(0, name): (1, batch)})[0, 0] for batch in (1, 2, 8)]
        each = world.divided[0, world.space.device.accelerator_names.index(name)]
        whole, _ = each.cost(world.machine, np.array([1.0, 2.0, 8.0]), nominal("ampere"))
        took = (whole.host_s + whole.gpu_s + whole.dla_s)[0]
        assert found == pytest.approx(np.array([1, 2, 8]) / took, rel=1e-4)
    assert alone_s[0] < alone_s[1] < alone_s[2]


def test_instances_that_the_dla_limits_give_its_rate_wherever_they_stand_on_it() -> None:
    world = model("dla0_to_9_tensor", "dla0_to_26_tensor", "dla1_to_26_tensor")
    own = costs(world, "dla0_to_26_tensor")
    assert own["dla_s"] > own["host_s"] + own["gpu_s"]
    found = rates(
        world,
        {(0, "dla0_to_26_tensor"): (2, 1)},
        {(0, "dla0_to_26_tensor"): (3, 1)},
        {(0, "dla0_to_26_tensor"): (3, 1), (0, "dla1_to_26_tensor"): (3, 1)},
    )[:, 0]
    assert found == pytest.approx(np.array([1, 1, 2]) / own["dla_s"], rel=1e-4)
    # A round of the core has one batch of each instance there, of a whole network or of a part.
    other = costs(world, "dla0")
    both = rates(world, {(0, "dla0_to_26_tensor"): (2, 1), (0, "dla0"): (2, 1)})[0, 0]
    assert both == pytest.approx(4 / (2 * own["dla_s"] + 2 * other["dla_s"]), rel=1e-4)


def test_mappings_and_whole_networks_use_the_gpu_together() -> None:
    world = model(CUT)
    names = world.space.device.accelerator_names
    rows = [{(0, CUT): (3, 8), (0, "tensor"): (4, 8)}, {(0, "tensor"): (4, 8)}]
    both, alone = rates(world, *rows)[:, 0]
    contexts = quiet(world)
    exclusive = COSTS.index("exclusive_s")
    instances = world.slots(placed(world, *rows))[0]
    assert instances.shape[2] == 4 + (len(names) - 4)
    tensor_s, mapped_s = contexts.table[exclusive, 0, 0, [1, 4], 2]
    assert alone == pytest.approx(8 / tensor_s, rel=0.02)  # the GPU is full
    # The mapping takes the GPU for a shorter time, and serves more with what it takes.
    assert mapped_s < tensor_s
    assert alone < both < 8 / mapped_s


def test_a_part_of_a_mapping_departs_as_the_accelerator_it_runs_on() -> None:
    world = model(CUT)
    contexts = world.nominal()
    logs = np.zeros((2, 1, 1, 4, 3))
    logs[0, :, :, 1] = np.log(2.0)  # the engine on Tensor Cores takes twice as long
    changed = departed(contexts, logs, 1.0).table[..., 4, :] / contexts.table[..., 4, :]
    assert changed[COSTS.index("gpu_s"), 0, 0] == pytest.approx(2.0)
    assert changed[COSTS.index("dla_s"), 0, 0] == pytest.approx(1.0)
    logs[1, :, :, 2] = np.log(3.0)
    changed = departed(contexts, logs, 1.0).table[..., 4, :] / contexts.table[..., 4, :]
    assert changed[COSTS.index("dla_s"), 0, 0] == pytest.approx(3.0)


def test_mappings_change_nothing_of_the_whole_networks_beside_them() -> None:
    bare, world = model(), model(CUT, "dla1_to_9_tensor")
    assert bare.unknown_count == world.unknown_count
    drawn = [each.drawn(np.random.default_rng(3), 2) for each in (bare, world)]
    slots = {(0, "tensor"): (2, 8), (0, "dla0"): (1, 1), (0, "dla1"): (2, 2)}
    found = [
        each.response(contexts, placed(each, slots))
        for each, contexts in zip((bare, world), drawn, strict=True)
    ]
    assert (found[0].throughput_ips == found[1].throughput_ips).all()
    assert (found[0].p99_ms == found[1].p99_ms).all()
    assert (found[0].rails_w == found[1].rails_w).all()


def test_best_effort_has_what_critical_mappings_leave_of_their_core() -> None:
    mapped = "dla0_to_26_tensor"
    world = model(mapped, tenants=2, gives_way=1)
    critical = {(0, mapped): (3, 1)}  # they keep the core busy
    found = rates(world, critical | {(1, mapped): (1, 1)}, critical | {(1, "dla1"): (1, 1)})
    assert found[0, 1] < 0.02 * found[1, 1]
    # They wait for a segment in progress as whole networks on that core do.
    whole = rates(
        world,
        {(0, "dla0"): (3, 1), (1, "dla0"): (1, 1)},
        {(0, "dla0"): (3, 1), (1, "dla1"): (1, 1)},
    )
    assert found[0, 0] / found[1, 0] == pytest.approx(whole[0, 0] / whole[1, 0], rel=0.1)


def test_on_a_plain_computer_the_parts_share_the_cores() -> None:
    world = plain("cpu_fp32_to_20_cpu_int8")
    cost, share = world.divided[0, 2].cost(world.machine, np.array([1.0]), nominal("cpu"))
    contexts = quiet(world)
    gain = 4.0 ** float(contexts.threads_exponent[0])
    alone = rates(world, {(0, "cpu_fp32_to_20_cpu_int8"): (1, 1)})[0, 0]
    assert alone == pytest.approx(1 / (cost.host_s + cost.gpu_s / gain).item(), rel=1e-4)
    assert 0 < share["cpu_fp32"].item() < 1
    assert share.keys() == {"cpu_fp32", "cpu_int8"}
    slow = np.zeros((2, 1, 1, 4, 2))
    slow[0, :, :, 0] = np.log(3.0)  # FP32 takes three times as long
    changed = departed(contexts, slow, 1.0).table[1, 0, 0, 4, 0] / contexts.table[1, 0, 0, 4, 0]
    assert changed == pytest.approx(1 + 2 * share["cpu_fp32"].item())


def test_two_engines_for_one_precision_have_places_and_departures_of_their_own() -> None:
    device = DeviceSpec(
        "computer",
        tuple(accelerator(name) for name in ("cpu_fp32", "openvino_fp32", "cpu_int8")),
        4,
        16_000.0,
    )
    tenant = Tenant("net", described(reference_network(NAME)))
    space = ConfigurationSpace(device, Workload((tenant,)), 4, (1, 2)).with_mappings(
        [["openvino_fp32_to_20_cpu_int8"]]
    )
    world = model_for(space, (reference_network(NAME),))
    assert world.positions == 5
    contexts = quiet(world)
    alone = rates(world, {(0, "cpu_fp32"): (1, 1)}, {(0, "openvino_fp32"): (1, 1)})[:, 0]
    assert alone[0] == pytest.approx(alone[1])
    # Two instances on four cores have two each, whichever engine runs them.
    both = rates(
        world,
        {(0, "cpu_fp32"): (1, 1), (0, "openvino_fp32"): (1, 1)},
        {(0, "cpu_fp32"): (2, 1)},
    )[:, 0]
    assert both[0] == pytest.approx(both[1])
    slow = np.zeros((2, 1, 1, 5, 2))
    slow[0, :, :, 4] = np.log(2.0)
    changed = departed(contexts, slow, 1.0).table[1, 0, 0, :, 0] / contexts.table[1, 0, 0, :, 0]
    _, share = world.divided[0, 3].cost(world.machine, np.array([1.0]), nominal("cpu"))
    expected = [1, 1, 2, 1 + share["openvino_fp32"].item()]
    assert changed[[0, 1, 4, 5]] == pytest.approx(expected)


def test_a_mapping_that_does_not_fit_its_network_is_refused() -> None:
    with pytest.raises(OptionError, match="needs more than 500 layer groups"):
        model("dla0_to_500_tensor")
    world, table = model(), reference_network("vit_b16")
    space = replace(world.space, workload=Workload((Tenant("vit", described(table)),)))
    with pytest.raises(OptionError, match="does not take all of its layers"):
        model_for(space.with_mappings([["dla0_to_9_tensor"]]), (table,))
    with pytest.raises(OptionError, match="are not known without its file"):
        model_for(world.space.with_mappings([[CUT]]), (replace(table, name="my_own"),))
