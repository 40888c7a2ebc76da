"""Play what faults of a cluster have in common: applications are served, controllers killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tests.cluster.kubernetes.controllers import SERVERS
from tests.cluster.kubernetes.judge import wrongs
from tests.cluster.kubernetes.process import free_lease, holder
from tests.cluster.kubernetes.proxy import Written
from tests.cluster.kubernetes.stage import DECLARED, Stage

#: Phases that are not `Serving`, by application.
Phases = Mapping[str, str]
#: Two of the applications, three servers.
FEW = {name: DECLARED[name] for name in ("door", "gate")}
#: Lives of a controller that is killed after every change, at most.
MOST_LIVES = 60


def serve(stage: Stage, applications: Mapping[str, Mapping[str, Any]] = DECLARED) -> None:
    """Let a controller place the applications, and wait until they serve."""
    stage.lead()
    stage.declare(applications)
    stage.settle()


def begin(stage: Stage) -> Any:
    """Declare the applications; return the controller as soon as it has changed something."""
    controller = stage.lead()
    stage.declare()
    stage.wait(lambda: bool(stage.proxy.changes), "something is made")
    return controller


def one_change_each(stage: Stage) -> None:
    """Start controllers, each of which is killed as soon as the server has made its first change.

    The last one finds everything as declared, and runs on. Leases do not count as changes.
    """

    def kill(written: Written) -> None:
        if not written.is_lease:
            stage.controllers[-1].process.kill()

    stage.proxy.on_written = kill
    for life in range(1, MOST_LIVES + 1):
        controller = stage.start()
        stage.wait(
            lambda controller=controller: not controller.running or _is_calm(stage, controller),
            "the controller changes something, or has nothing to do",
        )
        if controller.running:
            stage.lives += life - 1
            return
        free_lease(stage.admin)
    raise AssertionError(f"{MOST_LIVES} controllers were killed, and there is always more to do")


def _is_calm(stage: Stage, controller: Any) -> bool:
    """Return True if a controller leads, everything is as declared, and stays so for a second."""
    if f"_{controller.process.pid}_" not in holder(stage.admin) or wrongs(stage.admin):
        return False
    time.sleep(1.5)
    return bool(controller.running) and not wrongs(stage.admin)


def uid_of(stage: Stage, server: str) -> str:
    """Return the uid of a Deployment; empty while there is none."""
    found = stage.admin.find(f"{SERVERS}/{server}")
    return str(found["metadata"]["uid"]) if found else ""
