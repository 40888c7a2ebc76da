from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_names, reference_network
from envs.graph.layer_table import LAYER_KINDS, LayerTable
from envs.simulator.machine import Machine, machine_of
from envs.simulator.parameters import NAMES, PARAMETERS, SOFTWARE, ParameterSet, drawn, nominal
from envs.simulator.roofline import BatchCost, batch_cost
from envs.spec import accelerator

BATCHES = np.array([1.0, 2, 4, 8, 16, 32, 64, 256])
ACCELERATORS = ("cuda", "tensor", "dla0")
BOARDS = ("agx_orin_64", "agx_xavier")


def cost(
    on: str = "tensor",
    network: str = "resnet50",
    machine: Machine | None = None,
    parameters: ParameterSet | None = None,
    **changed: float,
) -> BatchCost:
    made = machine or machine_of("agx_orin_64", "MAXN")
    values = nominal(made.architecture) if parameters is None else parameters
    return batch_cost(
        accelerator(on), made, reference_network(network), BATCHES, values.with_values(**changed)
    )


def alone_s(found: BatchCost) -> FloatArray:
    return found.host_s + found.gpu_s + found.dla_s


@pytest.mark.parametrize("network", reference_names())
@pytest.mark.parametrize("on", ACCELERATORS)
@pytest.mark.parametrize("board", BOARDS)
def test_every_cost_is_a_number_and_grows_with_the_batch(network: str, on: str, board: str) -> None:
    for native in (True, False):
        made = machine_of(board, "MAXN", "fp16", "fp16", native)
        values = drawn(made.architecture, np.random.default_rng(1).standard_normal((5, len(NAMES))))
        found = cost(on, network, made, values)
        for field in fields(BatchCost):
            value = getattr(found, field.name)
            assert value.shape == (5, len(BATCHES))
            assert np.isfinite(value).all()
            assert (value >= 0).all()
        assert (np.diff(alone_s(found), axis=1) > 0).all()
        assert (found.work_s <= found.gpu_s).all()


@pytest.mark.parametrize("on", ACCELERATORS)
@pytest.mark.parametrize("network", ["resnet50", "bert_large", "rnnt", "ssd_mobilenet_v1"])
@pytest.mark.parametrize("rate", ["gpu_ghz", "dla_ghz", "dram_byte_s", "cpu_ghz"])
def test_a_faster_clock_never_makes_anything_slower(on: str, network: str, rate: str) -> None:
    base = machine_of("agx_orin_64", "15W", dla_native=False)
    faster = replace(base, **{rate: getattr(base, rate) * 1.5})
    assert (alone_s(cost(on, network, faster)) <= alone_s(cost(on, network, base)) + 1e-15).all()


@pytest.mark.parametrize("on", ["cuda", "tensor"])
def test_a_batch_costs_less_per_sample_than_single_samples(on: str) -> None:
    assert (np.diff(alone_s(cost(on)) / BATCHES, axis=1) <= 0).all()


def test_a_dla_takes_one_sample_after_the_other() -> None:
    found = cost("dla0").dla_s[0]
    np.testing.assert_allclose(np.diff(found) / np.diff(BATCHES), (found[1] - found[0]))


@pytest.mark.parametrize(
    ("name", "names"),
    [
        *(
            ("int8_efficiency", ("tensor",)),
            ("cuda_efficiency", ("cuda",)),
            ("dla_efficiency", ("dla0",)),
            ("dla_bandwidth_gb_s", ("dla0",)),
        ),
        *(
            ("bandwidth_efficiency", ("tensor", "cuda")),
            ("copy_gb_s", ACCELERATORS),
            ("cache_share", ("tensor",)),
        ),
    ],
)
def test_better_values_never_cost_time(name: str, names: tuple[str, ...]) -> None:
    known = PARAMETERS[name]
    low, high = (
        known.low + 0.2 * (known.nominal - known.low),
        known.nominal + 0.5 * (known.high - known.nominal),
    )
    for on in names:
        assert (alone_s(cost(on, **{name: high})) <= alone_s(cost(on, **{name: low}))).all()
    assert (alone_s(cost(names[0], **{name: high})) < alone_s(cost(names[0], **{name: low}))).any()


def test_units() -> None:
    """Microseconds, gigabytes and joules arrive as what they say."""
    layers = reference_network("resnet50")
    slow, fast = (cost(kernel_floor_us=each, engine_slowdown=1.0) for each in (10.0, 5.0))
    machine = machine_of("agx_orin_64", "MAXN")
    np.testing.assert_allclose(slow.gpu_s - fast.gpu_s, len(layers) * 5e-6 * 1.3 / machine.gpu_ghz)
    np.testing.assert_allclose(
        cost(host_us=1_000.0).host_s - cost(host_us=0.0).host_s, 1e-3 * 2.2 / machine.cpu_ghz
    )
    copied = cost(copy_gb_s=1.0).host_s - cost(copy_gb_s=2.0).host_s
    np.testing.assert_allclose(copied[0], 0.5e-9 * (layers.inputs + layers.outputs) * BATCHES)
    at_most = machine.dram_byte_s * nominal("ampere").bandwidth_efficiency[0]
    assert (cost().gpu_bytes / cost().gpu_s <= at_most).all()


def test_every_step_of_a_recurrent_layer_reads_its_weights() -> None:
    layers = reference_network("rnnt")
    machine = replace(machine_of("agx_orin_64", "MAXN"), l2_bytes=0.0, tensor_bytes=2)
    assert cost("tensor", "rnnt", machine).gpu_bytes[0, 0] > 20 * layers.weights.sum() * 2
    assert (
        cost("tensor", "resnet50", machine).gpu_bytes[0, 0]
        < 3 * reference_network("resnet50").weights.sum() * 2
    )


def test_power_follows_the_work() -> None:
    faster = cost(int8_efficiency=0.9)
    slower = cost(int8_efficiency=0.3)
    assert (faster.full_power_s <= slower.full_power_s).all()
    assert (faster.full_power_s / faster.gpu_s >= slower.full_power_s / slower.gpu_s)[0, -1]
    assert (faster.full_power_s <= 1.6 * faster.gpu_s).all()


def test_a_native_engine_leaves_the_gpu_alone_and_another_keeps_it() -> None:
    native, linear = (
        cost("dla0", machine=machine_of("agx_orin_64", "MAXN", dla_native=each))
        for each in (True, False)
    )
    assert (native.gpu_s == 0).all()
    assert (linear.gpu_s > nominal("ampere").dla_hold[0] * linear.dla_s).all()
    np.testing.assert_allclose(native.dla_s, linear.dla_s)


def test_published_latency_of_resnet50() -> None:
    """AGX Orin at full clocks.

    MLPerf Inference v3.0: 0.630 ms at batch 1, 2.168 ms at batch 8. An engine as `trtexec` builds
    it: 1.016 ms at batch 1 (yyshin-katech/embedded-ai-quantization-guide).
    """
    submitted, built = (
        alone_s(cost(parameters=nominal("ampere").with_values(**SOFTWARE[name])))[0] * 1e3
        for name in ("mlperf", "trtexec")
    )
    assert submitted[0] == pytest.approx(0.630, rel=0.2)
    assert submitted[3] == pytest.approx(2.168, rel=0.2)
    assert built[0] == pytest.approx(1.016, rel=0.05)


def test_launches_cost_only_what_the_gpu_does_not_hide() -> None:
    layers = reference_network("resnet50")
    hidden, shown = cost(launch_us=1.0, host_us=0.0), cost(launch_us=1e3, host_us=0.0)
    none = cost(launch_us=0.0, host_us=0.0)
    np.testing.assert_allclose(hidden.host_s, none.host_s)
    launching = len(layers) * 1e-3 * 2.2 / machine_of("agx_orin_64", "MAXN").cpu_ghz
    exposed = np.maximum(launching - shown.gpu_s, 0.0)
    assert (exposed[:, 0] > 0).all()
    np.testing.assert_allclose(shown.host_s - none.host_s, exposed)


def test_eager_fp32_is_as_fast_as_published() -> None:
    """ResNet-50 at batch 64 in eager PyTorch on AGX Orin.

    Published: 375 images/s (Juanx65/ArtTRT) to 415 (arXiv 2503.09546).
    """
    found = cost("cuda", parameters=nominal("ampere").with_values(**SOFTWARE["pytorch"]))
    assert 340 < 64 / alone_s(found)[0, 6] < 457


def layer(kind: str, macs: float, weights: float, reads: float, writes: float) -> LayerTable:
    channels, reduction = (writes, macs / writes) if macs else (0.0, 0.0)
    columns = {"macs": macs, "weights": weights, "reads": reads, "writes": writes}
    return LayerTable(
        name=kind,
        kind=np.array([LAYER_KINDS.index(kind)]),
        **{name: np.array([value]) for name, value in columns.items()},
        reduction=np.array([reduction]),
        channels=np.array([channels]),
        dla=np.array([True]),
        inputs=reads,
        outputs=writes,
    )


def test_a_product_of_one_row_takes_as_long_as_reading_its_weights() -> None:
    made = machine_of("agx_xavier", "MAXN", "fp16", "fp16")
    values = nominal("volta")
    fc6 = layer("matmul", 9216 * 4096, 9216 * 4096, 9216, 4096)
    found = batch_cost(accelerator("tensor"), made, fc6, BATCHES, values)
    bandwidth = made.dram_byte_s * float(values.bandwidth_efficiency[0])
    assert found.work_s[0, 0] == pytest.approx(2 * 9216 * 4096 / bandwidth, rel=0.01)
    # Many rows fill the Tensor Cores, which are faster than the CUDA cores.
    assert found.work_s[0, -1] < 256 * 9216 * 4096 / made.mac_s(4)


def test_two_wide_groups_run_as_two_convolutions_do() -> None:
    made = machine_of("agx_xavier", "MAXN", "fp16", "fp16")
    plain = layer("conv", 1e8, 1e5, 1e5, 192 * 169)
    parts = {"channels": np.array([192.0]), "reduction": np.array([1728.0])}
    cost = {
        kind: batch_cost(
            accelerator("tensor"),
            made,
            replace(plain, kind=np.array([LAYER_KINDS.index(kind)]), **parts),
            BATCHES,
            nominal("volta"),
        ).work_s[0, 0]
        for kind in ("conv", "grouped")
    }
    assert cost["grouped"] == cost["conv"]
    narrow = replace(plain, **parts | {"channels": np.array([4.0])})
    narrow_grouped = replace(narrow, kind=np.array([LAYER_KINDS.index("grouped")]))
    work = [
        batch_cost(accelerator("tensor"), made, each, BATCHES, nominal("volta")).work_s[0, 0]
        for each in (narrow, narrow_grouped)
    ]
    assert work[1] > work[0]


def test_local_response_normalisation_takes_a_dla_a_fixed_time() -> None:
    made = machine_of("agx_xavier", "MAXN", "fp16", "fp16")
    other, lrn = (layer(kind, 0, 0, 290400, 290400) for kind in ("elementwise", "lrn"))
    spent = [
        batch_cost(accelerator("dla0"), made, each, BATCHES, nominal("volta"))
        for each in (other, lrn)
    ]
    extra_s = (spent[1].dla_s - spent[0].dla_s)[0]
    assert extra_s == pytest.approx(130e-6 * BATCHES)  # at 1.4 GHz
    on_gpu = [
        batch_cost(accelerator("tensor"), made, each, BATCHES, nominal("volta")).gpu_s[0, 0]
        for each in (other, lrn)
    ]
    assert on_gpu[1] == pytest.approx(3 * on_gpu[0], rel=0.01)
