"""Load an engine and put the instance of its kind over it."""

from __future__ import annotations

from functools import partial

from envs.runtimes.serving.admission import Admission
from envs.runtimes.serving.converting import stream_instance
from envs.runtimes.serving.driver import StreamDriver
from envs.runtimes.serving.engine import EngineFactory, StreamEngine
from envs.runtimes.serving.gate import Gates
from envs.runtimes.serving.instance import Instance, Slot
from envs.runtimes.serving.low_priority import at_low_priority
from envs.runtimes.serving.threads import ThreadInstance
from envs.spec import Network


def load_instance(
    slot: Slot,
    network: Network,
    factory: EngineFactory,
    admission: Admission,
    driver: StreamDriver,
    gates: Gates,
) -> Instance:
    """Return a new instance, which does not serve yet.

    Args:
        slot: its place.
        network: that it serves.
        factory: loads its engine.
        admission: has the queue that it serves from.
        driver: runs it, if its engine computes on a stream.
        gates: has the one where it gives way, if it is best effort.

    Raises:
        ConfigurationFailed: the engine cannot be loaded.
    """
    gate = gates.of(slot)
    load = partial(factory.load, slot.tenant, slot.accelerator, slot.threads)
    # The threads that an engine starts have the priority of the one that loads it.
    engine = load() if gate is None else at_low_priority(load)
    queue, lost = admission.queues[slot.tenant], admission.lost
    if isinstance(engine, StreamEngine):
        return stream_instance(slot, engine, network, queue, lost, driver, gate)
    return ThreadInstance(slot, engine, network, queue, lost, gate)
