"""A factory of engines that a test scripts."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

from envs.runtimes.serving.readiness import Readiness
from envs.spec import Agreement, ConfigurationSpace, Place
from envs.testing.engines import ScriptedEngine
from tests.worlds import space

RIGHT, LOW = Agreement(1.0, "equal classes", 100), Agreement(0.5, "equal classes", 100)


class Workshop:
    """Builds engines that a test lets fail; it notes every call."""

    def __init__(self, world: ConfigurationSpace) -> None:
        self.built_places: list[Place] = []
        self.proven: list[tuple[int, int]] = []
        self.refuses: dict[Place, Exception] = {}
        self.dead: set[tuple[int, int]] = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def build(self, tenant: int, accelerator: int, batch: int, step: Any = None) -> None:
        assert self.go_on.wait(60)
        place = Place(tenant, accelerator, batch)
        self.built_places.append(place)
        if place in self.refuses:
            raise self.refuses[place]

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        return Place(tenant, accelerator, batch) in self.built_places

    def blocks(self, tenant: int, accelerator: int) -> int:
        return 1

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        return "", 0

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        raise AssertionError("nothing is unloaded here")

    def load(self, tenant: int, accelerator: int, threads: int) -> ScriptedEngine:
        self.proven.append((tenant, accelerator))
        engine = ScriptedEngine()
        engine.broken = (tenant, accelerator) in self.dead
        return engine

    def close(self) -> None:
        raise AssertionError("the runtime closes it")


WORLD = space(tenants=1, max_instances=2, batches=(1, 2))
FIRST, LARGER, OTHER = Place(0, 0, 1), Place(0, 0, 2), Place(0, 1, 1)


def made(workshop: Workshop, agreement: Agreement = RIGHT, **more: Any) -> Readiness:
    return Readiness(WORLD, workshop, lambda place: agreement, 0.99, **more)
