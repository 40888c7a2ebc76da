"""A program of your own as a client of a device: it sends requests while configurations change.

python -m tuner.networks squeezenet1_1
python examples/serve.py networks/squeezenet1_1.onnx
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tuner

#: (instances, batch) by accelerator.
CONFIGURATIONS = (
    {"cpu_fp32": (1, 1)},
    {"cpu_int8": (1, 4)},
    {"cpu_int8": (2, 4)},
)


def main(path: Path) -> None:
    """Serve a network with one configuration after the other, and print its answers."""
    # The images below are invented, so that no answer matters. For answers that do, give
    # samples=["my.npz"] instead: INT8 is calibrated on some of them, and serves, also beside FP32,
    # if it agrees with FP32 on the others.
    options = {"max_instances": 2, "batches": [1, 4], "allow_uncalibrated": True}
    with tuner.open_device(path, **options) as device:
        network = device.space.workload.tenants[0].network
        shape, output = network.inputs[0].shape, network.outputs[0].name
        rng = np.random.default_rng(0)
        images = [rng.standard_normal(shape).astype(np.float32) for _ in range(16)]
        for placements in CONFIGURATIONS:
            configuration = device.configuration(placements)
            change = device.runtime.apply(configuration)
            futures = [device.runtime.submit(network.name, image) for image in images]
            classes = [int(future.result()[output].argmax()) for future in futures]
            print(
                f"{device.space.describe(configuration)} ({change.kept} kept, {change.created} "
                f"loaded in {change.apply_s:.2f} s): classes {classes[:6]} ..."
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
