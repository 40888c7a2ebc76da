"""Properties of the model that hold for every board and power mode of the catalogue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.arrays import IntArray
from envs.catalog.boards import board, board_names
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.simulator.parameters import nominal
from envs.simulator.response import Response, respond
from envs.simulator.tables import POSITIONS, contexts_of, position_of
from envs.spec import ACCELERATORS, ConfigurationSpace, accelerator, workload_of

#: Every board in every power mode.
BOARDS = [(name, mode) for name in board_names() for mode in board(name).power_modes]


def model_of(name: str, mode: str, network: str = "resnet50") -> DeviceModel:
    table = reference_network(network)
    space = ConfigurationSpace(
        device_of(name, mode), workload_of([described(table)]), 4, (1, 8, 64)
    )
    return DeviceModel(machine_of(name, mode), space, (table,))


def some_slots(
    model: DeviceModel, rng: np.random.Generator, rows: int
) -> tuple[IntArray, IntArray]:
    """Random instances and levels [rows, 1, X] where the device has accelerators, at least one."""
    positions = [position_of(each) for each in model.space.device.accelerators]
    instances = np.zeros((rows, 1, POSITIONS), dtype=np.int64)
    levels = np.zeros_like(instances)
    instances[:, :, positions] = rng.integers(0, 5, (rows, 1, len(positions)))
    instances[:, :, positions[0]] += instances.sum(axis=2) == 0
    levels[:, :, positions] = rng.integers(0, 3, (rows, 1, len(positions)))
    return instances, levels


def test_positions_follow_kind_and_resource() -> None:
    assert {name: position_of(each) for name, each in ACCELERATORS.items()} == {
        "cuda": 0,
        "tensor": 1,
        "dla0": 2,
        "dla1": 3,
        "cpu_fp32": 0,
        "cpu_int8": 1,
        "openvino_fp32": 0,
        "openvino_int8": 1,
        **{f"edgetpu{n}": 6 + n for n in range(4)},
    }
    beside = {name: position_of(accelerator(name), plain=False) for name in ("tensor", "cpu_fp32")}
    assert beside == {"tensor": 1, "cpu_fp32": 4}


@given(st.permutations(range(5)), st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_five_tenants_in_any_order_get_the_same_answers(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    name, mode = BOARDS[rng.integers(len(BOARDS))]
    tables = [reference_network(each) for each in ("resnet50", "bert_large", "rnnt") * 2][:5]
    device, parameters = device_of(name, mode), nominal(machine_of(name, mode).architecture)
    rates = np.where(rng.random(5) < 0.4, rng.uniform(1.0, 300.0, 5), np.inf)
    positions = [position_of(each) for each in device.accelerators]
    instances, levels = np.zeros((2, 8, 5, POSITIONS), dtype=np.int64)
    instances[:, :, positions] = rng.integers(0, 4, (8, 5, len(positions)))
    instances[:, :, positions[0]] += instances.sum(axis=2) == 0
    levels[:, :, positions] = rng.integers(0, 2, (8, 5, len(positions)))

    def found(tenants: list[int]) -> Response:
        contexts = contexts_of(
            machine_of(name, mode),
            device.accelerators,
            [tables[each] for each in tenants],
            (1, 4),
            parameters,
            rates[tenants],
        )
        rows = np.zeros(8, dtype=np.int64)
        return respond(contexts, rows, instances[:, tenants], levels[:, tenants])

    first, other = found([*range(5)]), found(order)
    for field in ("throughput_ips", "p50_ms", "p99_ms"):
        np.testing.assert_allclose(
            getattr(first, field)[:, order], getattr(other, field), rtol=2e-3, err_msg=field
        )
    np.testing.assert_allclose(first.rails_w, other.rails_w, rtol=1e-4)


@given(
    st.sampled_from(BOARDS),
    st.sampled_from(["resnet50", "bert_large", "rnnt", "ssd_mobilenet_v1"]),
    st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None)
def test_every_board_answers_with_numbers(
    board_mode: tuple[str, str], network: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    model = model_of(*board_mode, network)
    contexts = model.drawn(rng, 3)
    instances, levels = some_slots(model, rng, 64)
    rows = rng.integers(0, 3, 64)
    found = respond(contexts, rows, instances, levels)
    for values in (found.throughput_ips, found.p50_ms, found.p99_ms, found.rails_w):
        assert np.isfinite(values).all()
        assert (values > 0).all()
    assert (found.power_w <= contexts.max_power_w[rows] * (1 + 1e-4)).all()
    one = respond(contexts, rows[5:6], instances[5:6], levels[5:6])
    for name in ("throughput_ips", "p50_ms", "p99_ms", "rails_w"):
        np.testing.assert_allclose(getattr(one, name)[0], getattr(found, name)[5], rtol=1e-5)


@given(st.sampled_from(BOARDS), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_more_instances_never_shorten_the_tail(board_mode: tuple[str, str], seed: int) -> None:
    """An instance added with the same batch on the same accelerator makes none faster."""
    rng = np.random.default_rng(seed)
    model = model_of(*board_mode)
    accelerators = len(model.space.device.accelerators)
    instances, levels = (
        np.zeros((4, 1, POSITIONS), dtype=np.int64),
        np.full((4, 1, POSITIONS), rng.integers(3)),
    )
    instances[:, 0, rng.integers(accelerators)] = np.arange(1, 5)
    found = respond(model.drawn(rng, 1), np.zeros(4, dtype=np.int64), instances, levels)
    assert (np.diff(found.p99_ms[:, 0]) >= -1e-4 * found.p99_ms[:-1, 0]).all()


def test_the_cores_of_a_board_change_nothing_for_its_gpu() -> None:
    """They are in a space to serve when nothing else can, and take no place of the GPU."""
    device = device_of("agx_orin_64", "MAXN")
    with_cores = replace(device, accelerators=(*device.accelerators, ACCELERATORS["cpu_fp32"]))
    layers = reference_network("resnet50")
    answers = []
    for each in (device, with_cores):
        space = ConfigurationSpace(each, workload_of([described(layers)]), 2, (1, 4))
        model = DeviceModel(machine_of("agx_orin_64", "MAXN"), space, (layers,))
        placements = np.zeros((1, *space.shape, 2), dtype=np.int16)
        placements[0, 0, :2] = ((1, 1), (2, 4))
        answers.append(model.logarithms(model.nominal(), placements))
    np.testing.assert_array_equal(*answers)
    assert np.isfinite(answers[0]).all()
