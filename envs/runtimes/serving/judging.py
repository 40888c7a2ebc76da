"""Run an engine over samples, to judge its answers before it serves."""

import time
from collections.abc import Sequence

import numpy as np

from envs.accuracy.reference import Array, joined
from envs.accuracy.samples import Samples
from envs.runtimes.serving.engine import STOP_TIMEOUT_S, Arrays, Engine, StreamEngine
from envs.runtimes.serving.queue import clock
from envs.spec import Network


def outputs_of(engine: Engine | StreamEngine, network: Network, samples: Samples) -> list[Array]:
    """Return what an engine computes: one array [n, ...] for each output that depends on inputs.

    Samples run one after another, or in batches where the network has a fixed one.

    Raises:
        TimeoutError: an engine with a stream of its own does not finish.
    """
    batch = network.fixed_batch or 1
    if isinstance(engine, StreamEngine) and hasattr(engine, "buffers"):
        engine.buffers(batch)
    parts: list[Sequence[Array]] = []
    for feed in samples.feeds(batch, exact=network.fixed_batch is not None):
        inputs = [np.ascontiguousarray(feed[spec.name]) for spec in network.inputs]
        parts.append([np.array(each) for each in _run(engine, inputs)])
    return joined(network, parts, len(samples))


def _run(engine: Engine | StreamEngine, inputs: Arrays) -> Arrays:
    if not isinstance(engine, StreamEngine):
        return engine.run(inputs)
    engine.launch(inputs)
    deadline_s = clock() + STOP_TIMEOUT_S
    while not engine.done():
        if clock() > deadline_s:
            raise TimeoutError(f"no answer within {STOP_TIMEOUT_S:g} s")
        time.sleep(0.0002)
    return engine.result()
