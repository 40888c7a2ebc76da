"""Run an engine over samples, to judge its answers before it serves."""

import contextlib
import time
from collections.abc import Sequence

import numpy as np

from envs.accuracy.reference import Array, joined
from envs.accuracy.samples import Samples
from envs.runtimes.serving.engine import STOP_TIMEOUT_S, Arrays, Engine, StreamEngine
from envs.runtimes.serving.queue import clock
from envs.spec import ConfigurationFailed, Network


def outputs_of(
    engine: Engine | StreamEngine, network: Network, samples: Samples, batches: Sequence[int] = (1,)
) -> list[Array]:
    """Return what an engine computes: one array [n, ...] for each output that depends on inputs.

    Args:
        engine: just loaded.
        network: what it computes.
        samples: to run.
        batches: the sizes that may serve, ascending; the first that the engine has is run, full
            each time, since some engines take no less.

    Raises:
        ConfigurationFailed: the engine has none of these sizes.
        TimeoutError: an engine with a stream of its own does not finish.
    """
    batch = _first(engine, batches)
    parts: list[Sequence[Array]] = []
    for feed in samples.feeds(batch, exact=True):
        inputs = [np.ascontiguousarray(feed[spec.name]) for spec in network.inputs]
        parts.append([np.array(each) for each in _run(engine, inputs)])
    return joined(network, parts, len(samples))


def prove(engine: Engine | StreamEngine, network: Network, batch: int) -> None:
    """Run one batch of zeros, so that nothing serves that cannot run.

    Raises:
        ConfigurationFailed, TimeoutError: there is no such engine, or it does not finish.
    """
    if isinstance(engine, StreamEngine) and hasattr(engine, "buffers"):
        engine.buffers(batch)
    shapes = [((batch, *spec.shape), spec.dtype) for spec in network.inputs]
    _run(engine, [np.zeros(shape, dtype) for shape, dtype in shapes])


def _first(engine: Engine | StreamEngine, batches: Sequence[int]) -> int:
    """Return the first size that an engine has; each is an engine of its own in TensorRT."""
    if not batches:
        raise ValueError("it may serve no batch size")
    if not hasattr(engine, "buffers"):
        return batches[0]
    for batch in batches[:-1]:
        with contextlib.suppress(ConfigurationFailed):
            engine.buffers(batch)
            return batch
    engine.buffers(batches[-1])
    return batches[-1]


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
