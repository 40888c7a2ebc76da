"""Find the instances that stay in a change of the configuration, and create the missing ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from envs.runtimes.serving.admission import Admission
from envs.runtimes.serving.driver import StreamDriver
from envs.runtimes.serving.engine import EngineFactory
from envs.runtimes.serving.gate import Gates
from envs.runtimes.serving.instance import Answering, Instance, Slot, failure_of
from envs.runtimes.serving.loading import load_instance
from envs.runtimes.serving.placement import match
from envs.runtimes.serving.places import placed
from envs.runtimes.serving.readiness import Readiness
from envs.spec import ConfigurationFailed, ConfigurationSpace, Failure, FailureKind

logger = logging.getLogger(__name__)


class Changing:
    """Keeps instances and creates others, in the thread that applies a configuration.

    Args:
        space: has the tenants, and the names of places.
        factory: loads the engines.
        admission: has the instances that serve, and their queues.
        driver: runs the instances whose engines compute on streams.
        gates: have those where best effort gives way.
        readiness: knows which engines were replaced; None where none ever is.

    Attributes:
        answering: what new instances call before requests get their answers; None for nothing.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        factory: EngineFactory,
        admission: Admission,
        driver: StreamDriver,
        gates: Gates,
        readiness: Readiness | None,
    ) -> None:
        self._space, self._factory, self._admission = space, factory, admission
        self._driver, self._gates, self._readiness = driver, gates, readiness
        self.answering: Answering | None = None

    def to(self, wanted: Sequence[Slot]) -> tuple[dict[Instance, Slot], list[Instance]]:
        """Return the instances that stay, with their slots, and new ones for all other slots."""
        places = frozenset() if self._readiness is None else self._readiness.outdated()
        instances = self._admission.instances
        for instance in instances:
            instance.outdated |= instance.slot.place in places
        kept, missing = match(instances, wanted)
        if not any(instance.outdated for instance in kept):
            return kept, self._create(missing, kept)
        try:
            fewer, more = match([each for each in instances if not each.outdated], wanted)
            return fewer, self._create(more, fewer)
        except ConfigurationFailed as error:
            logger.info("instances keep their older engines: %s", error)
        created = self._create(missing, kept)
        for instance in kept:
            instance.outdated = False  # it is not tried again each time
        return kept, created

    def _create(self, slots: Sequence[Slot], kept: dict[Instance, Slot]) -> list[Instance]:
        """Load the missing instances and prove the batches of the kept ones: all, or none."""
        created: list[Instance] = []
        try:
            for slot in slots:
                instance = self._load(slot)
                created.append(instance)
                instance.start()
            for instance, slot in kept.items():
                instance.prove(slot.batch)
        except BaseException as error:
            held = len(self._admission.instances) + sum(each.error is None for each in created)
            for instance in created:
                instance.stop()
            if not isinstance(error, Exception):
                raise
            # Whatever failed (disk, driver, threads), the instances that serve go on.
            raise ConfigurationFailed(self._failure(error, slot, held)) from error
        return created

    def _failure(self, error: Exception, slot: Slot, held: int) -> Failure:
        """Return the failure of an instance that was to be created beside `held` others."""
        name = self._space.workload.tenants[slot.tenant].network.name
        found = (
            error.failure
            if isinstance(error, ConfigurationFailed)
            else failure_of(error, f"{name} cannot be loaded")
        )
        if found.kind is FailureKind.OUT_OF_MEMORY:
            found = replace(found, fitted=held)
        return placed(self._space, found, slot.place)

    def _load(self, slot: Slot) -> Instance:
        network = self._space.workload.tenants[slot.tenant].network
        instance = load_instance(
            slot, network, self._factory, self._admission, self._driver, self._gates
        )
        instance.answering, instance.log = self.answering, []
        return instance
