"""A user's own program as a client of the runtime: it asks for inferences while the configuration under it changes.

python -m tuner.networks squeezenet1_1
python examples/serve.py networks/squeezenet1_1.onnx
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from envs.graph.reading import read_network
from envs.runtimes.onnxruntime.engines import onnxruntime_runtime
from envs.spec.device import local_computer
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.workload import workload_of
from tuner.options import cache_folder


def main(path: Path) -> None:
    network = read_network(path)
    space = ConfigurationSpace(
        local_computer(), workload_of([network]), max_instances=2, batches=(1, 4)
    )
    rng = np.random.default_rng(0)
    images = [rng.standard_normal(network.inputs[0].shape).astype(np.float32) for _ in range(16)]
    with onnxruntime_runtime(space, [path], cache_folder()) as runtime:
        # (instances, batch) on cpu_fp32 and on cpu_int8
        for placements in (((1, 1), (0, 0)), ((1, 4), (1, 4)), ((0, 0), (2, 4))):
            configuration = Configuration((placements,))
            change = runtime.apply(configuration)
            futures = [runtime.submit(network.name, image) for image in images]
            answers = [future.result()[network.outputs[0].name] for future in futures]
            classes = [int(answer.argmax()) for answer in answers]
            print(
                f"{space.describe(configuration)} ({change.kept} kept, {change.created} loaded in {change.apply_s:.2f} s): classes {classes[:6]} ..."
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
