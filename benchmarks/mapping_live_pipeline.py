"""Is a pipeline of parts faster than whole instances on a mapping, on two cores?

A pipeline has a thread for each part and a queue between them. It is compared with as many
instances on the same mapping, which have a thread each and run all parts one after the other. The
mapping has two parts that take as equally long as possible, which is the best case of a pipeline.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from envs.accuracy.samples import Array
from envs.graph.partition import Partition
from envs.runtimes.onnxruntime.engines import SegmentedOnnxEngine

#: Seconds of a window, windows of each, cuts that are tried, and batches that wait between parts.
WINDOW_S, WINDOWS, CUTS, WAITING = 0.5, 6, 4, 2

#: Computes batches until it is told to stop, and returns their number in a second.
Serve = Callable[[], float]


def pipeline_gain(
    make: Callable[[str], Any], partition: Partition, inputs: Sequence[Array]
) -> float:
    """Return how much more a pipeline of two threads serves than two instances: a share.

    Args:
        make: loads an engine of one thread on a mapping.
        partition: of the network.
        inputs: of one sample.
    """
    groups = len(partition.groups)
    stops = sorted({max(1, round(groups * share)) for share in np.linspace(0.2, 0.8, CUTS)})
    engines = [make(f"cpu_fp32_to_{stop}_cpu_int8") for stop in stops]
    balanced = min(range(len(stops)), key=lambda at: _apart(engines[at], inputs))
    first = engines[balanced]
    second = make(f"cpu_fp32_to_{stops[balanced]}_cpu_int8")
    ratios = [
        _pipeline(first, inputs) / _instances((first, second), inputs) for _ in range(WINDOWS)
    ]
    return float(np.median(ratios)) - 1


def _apart(engine: SegmentedOnnxEngine, inputs: Sequence[Array]) -> float:
    """Return the share of the time by which one part takes longer than the other."""
    shares = []
    for _ in range(10):
        middle: list[float] = []
        start = time.perf_counter()
        engine.run_segments(inputs, lambda at=middle: at.append(time.perf_counter()))
        stop = time.perf_counter()
        shares.append(abs((middle[0] - start) - (stop - middle[0])) / (stop - start))
    return float(np.median(shares))


def _rate(workers: Sequence[Callable[[threading.Event], None]], served: list[int]) -> float:
    """Return how many batches workers serve in a second; `served` counts them."""
    stop = threading.Event()
    threads = [threading.Thread(target=each, args=(stop,)) for each in workers]
    for each in threads:
        each.start()
    time.sleep(WINDOW_S / 5)
    before, start = sum(served), time.perf_counter()
    time.sleep(WINDOW_S)
    rate = (sum(served) - before) / (time.perf_counter() - start)
    stop.set()
    for each in threads:
        each.join()
    return rate


def _instances(engines: Sequence[SegmentedOnnxEngine], inputs: Sequence[Array]) -> float:
    served = [0] * len(engines)

    def work(at: int, stop: threading.Event) -> None:
        while not stop.is_set():
            engines[at].run(inputs)
            served[at] += 1

    return _rate([lambda stop, at=at: work(at, stop) for at in range(len(engines))], served)


def _pipeline(engine: SegmentedOnnxEngine, inputs: Sequence[Array]) -> float:
    waiting: queue.Queue[Any] = queue.Queue(WAITING)
    served, chain = [0], engine.chain

    def first(stop: threading.Event) -> None:
        while not stop.is_set():
            waiting.put(chain.advance(0, chain.begin(engine.named(inputs))))
        waiting.put(None)

    def second(stop: threading.Event) -> None:
        while (alive := waiting.get()) is not None:
            chain.end(chain.advance(1, alive))
            served[0] += 1

    return _rate([first, second], served)
