"""The numbers of the model on six devices, so that a change of its code changes none unnoticed.

After a change of the model itself: `python -m tests.envs.simulator.test_golden` writes them anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.arrays import FloatArray
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of, plain_machine
from envs.spec import ConfigurationSpace, DeviceSpec, accelerator, workload_of

GOLDEN = Path(__file__).parent / "golden.json"
NETWORKS = ("resnet50", "ssd_mobilenet_v1", "bert_large", "rnnt", "yolov5s_672")

#: Device, power mode, tenants, and whether the first tenant's requests arrive at a rate.
CASES = {
    "agx_orin_64 MAXN, one tenant": ("agx_orin_64", "MAXN", 1, False),
    "agx_orin_64 30W, two tenants, one at a rate": ("agx_orin_64", "30W", 2, True),
    "orin_nx_16 15W, three tenants": ("orin_nx_16", "15W", 3, False),
    "orin_nano_8 15W, one tenant at a rate": ("orin_nano_8", "15W", 1, True),
    "agx_xavier MAXN, five tenants, one at a rate": ("agx_xavier", "MAXN", 5, True),
    "plain computer, two tenants, one at a rate": ("plain", "", 2, True),
}


def answers(board: str, mode: str, tenants: int, open_loop: bool) -> dict[str, list[float]]:
    """Throughput, p50, p99 and rails of eight configurations, half of them in a drawn context."""
    rng = np.random.default_rng(tenants)
    layers = tuple(reference_network(name) for name in NETWORKS[:tenants])
    if board == "plain":
        pair = (accelerator("cpu_fp32"), accelerator("cpu_int8"))
        device, machine = DeviceSpec("plain", pair, 4, 1e6), plain_machine(4)
    else:
        device, machine = device_of(board, mode), machine_of(board, mode)
    rates = [40.0, *[np.inf] * (tenants - 1)] if open_loop else None
    workload = workload_of([described(each) for each in layers], rates)
    space = ConfigurationSpace(replace(device, memory_mib=1e6), workload, 4, (1, 4, 16))
    model = DeviceModel(machine, space, layers)
    options = np.stack([rng.choice(each, 4) for each in space.knob_options], axis=-1)
    options[rng.random(options.shape) < 0.5] = 0
    placements = space.decode(options)
    placements[:, :, 0] = np.where(placements[:, :, 0] > 0, placements[:, :, 0], 1)
    parts = [model.response(each, placements) for each in (model.nominal(), model.drawn(rng, 1))]
    names = ("throughput_ips", "p50_ms", "p99_ms", "rails_w")
    found = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return {name: rounded(values) for name, values in found.items()}


def rounded(values: FloatArray) -> list[float]:
    return [float(f"{value:.7g}") for value in values.ravel()]


@pytest.mark.parametrize("case", CASES)
def test_the_model_gives_the_numbers_that_it_gave(case: str) -> None:
    kept = json.loads(GOLDEN.read_text())[case]
    for name, values in answers(*CASES[case]).items():
        np.testing.assert_allclose(values, kept[name], rtol=2e-6, err_msg=name)


if __name__ == "__main__":
    made = {case: answers(*given) for case, given in CASES.items()}
    lines = [
        f" {json.dumps(case)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {values}" for name, values in found.items())
        + "\n }"
        for case, found in made.items()
    ]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
