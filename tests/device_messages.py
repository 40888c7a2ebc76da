"""Pair the messages that docs/on-device.md quotes with the scenarios in which the code says them.

A scenario gets a `Here` and leaves in it everything that was printed, logged, or written into a
journal. `...` in a message stands for anything on the same line.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.device_scenarios import serving, starting
from tests.device_scenarios.here import Here
from tests.device_scenarios.serving import fault

#: What the page quotes, by the scenario in which the code says it.
SCENARIOS: dict[Callable[[Here], None], tuple[str, ...]] = {
    starting.no_dla: ("without DLAs: the builder of this TensorRT counts none",),
    starting.plain_dry_run: (
        "without dla0, dla1 for my: INT8 needs samples to calibrate on: give --samples FILE, or"
        " --allow-uncalibrated if the answers do not matter",
        "guessed the board and its power mode, which nothing names here: ...",
    ),
    starting.no_pycuda: ("pycuda.driver is not installed: ...",),
    starting.no_compiler_of_the_dla: (
        "TensorRT is installed but cannot be loaded (libnvdla_compiler.so: ...): ...",
    ),
    starting.no_gpu: (
        "no GPU can be used (...): look at `nvidia-smi`, or on a Jetson at the group `video`",
    ),
    starting.closed_sensor: ("ina3221: ... may not be read by this user: ...",),
    starting.doubled_rails: (
        "ina3221: the monitors ... have rails of the same name (VIN_SYS_5V0)",
    ),
    starting.mode_of_ones_own: ("no power mode '20W'",),
    starting.no_sensor: ("no power is measured here (a sensor is missing or unreadable)",),
    starting.two_controllers: (
        "another controller (process ...) runs on this device: stop it first, or wait for it (...)",
    ),
    starting.damaged_plans: ("...plan.damaged",),
    starting.full_disk: (
        "cannot keep an engine in ... (No space left on device): give a folder with room",
    ),
    serving.refused_builds: ("no int8 engine of my for dla0 at batch 1: ...",),
    serving.long_builds: ("the build took ... s (...), more than build_limit_s=...: ...",),
    serving.refusing_dlas: ("my on dla0 at batch 1: it cannot run one batch: ...",),
    serving.nothing_runs: ("my cannot be served here: ...: the processor's cores serve instead",),
    serving.dropped: (
        "my on dla0: no choice after ... failures, the last one ...",
        "after a long while my on dla0 may serve again",
    ),
    serving.fallen_back: (
        "my on dla0, batch 1: 2 blocks on the DLA and 1 layers on the GPU: Softmax_9",
    ),
    serving.hot: ("temperature changed from 50 to 66 C",),
    serving.other_mode: ("power mode changed from 30W to 50W",),
    serving.drifted: ("what kept the limits before does so no more: measuring anew",),
    serving.borrowed: (
        "my on cuda: its engine of power mode 30W serves until that of 15W is built",
        "my on cuda at batch 1 has an engine of the present power mode",
    ),
    serving.no_graphs_here: ("no CUDA graphs: ...",),
    serving.no_graph_of_one_engine: ("no CUDA graphs for my on cuda: ...",),
    serving.flat_output: ("y of my on dla0 is linear: it has 3 dimensions",),
    serving.strange_strides: ("my on dla0 has linear inputs and outputs: ...",),
    serving.memory_ended: (
        "memory_ended: memory ended again beside 4 instances:"
        " no more of them until it is tried again",
    ),
    fault("an instance dies"): ("instance_lost: ...",),
    fault("the sensor is gone"): (
        "the power sensor (...) gives nothing...: serving the safe default until it does",
    ),
    fault("a file of limits that cannot be read"): (
        "... cannot be read as JSON (...): the limits stay as they are",
    ),
    fault("the bundle is cut short"): ("serving without a policy: ...",),
}
