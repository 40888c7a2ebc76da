"""A cluster on which faults are played: an API server, its other parts, boards and controllers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.cluster.kubernetes.api import Api, path_of
from tests.cluster.kubernetes.controllers import APPLICATIONS as SPACE
from tests.cluster.kubernetes.controllers import SERVERS, application, install
from tests.cluster.kubernetes.deployments import DEPLOYMENTS, NODES
from tests.cluster.kubernetes.judge import APPLICATIONS, SERVICES, phases, wrongs
from tests.cluster.kubernetes.nodes import BoardNode, make_nodes, make_runtime_class
from tests.cluster.kubernetes.parts import ClusterParts, wait_for
from tests.cluster.kubernetes.process import Controller, free_lease, holder
from tests.cluster.kubernetes.programs import Binaries
from tests.cluster.kubernetes.proxy import Proxy
from tests.cluster.kubernetes.server import ApiServer

BOARDS = (
    BoardNode("agx-0", "agx_orin_64", "MAXN"),
    BoardNode("nx-0", "orin_nx_16", "25W"),
    BoardNode("nano-0", "orin_nano_8", "15W"),
    BoardNode("nano-1", "orin_nano_8", "15W"),
)
DECLARED = {
    "door": {"network": "mobilenet_v2", "rateIps": 30, "p99Ms": 100, "replicas": 2},
    "gate": {"network": "resnet50", "rateIps": 40, "p99Ms": 100, "priority": 5},
    "yard": {"network": "resnet18", "rateIps": 20, "p99Ms": 120, "goal": "energy"},
    "lane": {"network": "googlenet", "rateIps": 20, "p99Ms": 150},
}
#: Longest time in which everything must be as declared, on a computer that does much beside [s].
SETTLE_S = 300.0
_NO_PHASES: Mapping[str, str] = {}
#: For how long it must stay so.
CALM_S = 2.0


class Stage:
    """Runs everything from `with` on; controllers are started by the faults.

    Args:
        binaries: of the API server.
        folder: an empty one.
        boards: nodes of the cluster.

    Attributes:
        server: the API server.
        admin: requests by an administrator.
        proxy: between the API server and controllers.
        parts: of the cluster that do not run.
        controllers: that were started, also those that ended.
        lives: of controllers that were killed after their first change, all together.
        right_at: since when everything was as declared, when `settle` last returned.
    """

    def __init__(
        self, binaries: Binaries, folder: Path, boards: tuple[BoardNode, ...] = BOARDS
    ) -> None:
        self.folder, self.boards = folder, boards
        self.server = ApiServer(binaries, folder)
        self.controllers: list[Controller] = []
        self.lives, self.right_at = 0, 0.0

    def __enter__(self) -> Stage:
        self.server.__enter__()
        self.admin: Api = self.server.api()
        self.proxy = Proxy(self.server).__enter__()
        self.parts = ClusterParts(self.admin, ready_s=0.3, deadline_s=3.0).__enter__()
        make_runtime_class(self.admin)
        make_nodes(self.admin, self.boards)
        install(self.admin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill_controllers()
        self.parts.__exit__(kind, error, trace)
        self.proxy.__exit__(kind, error, trace)
        self.server.__exit__(kind, error, trace)

    def declare(self, applications: Mapping[str, Mapping[str, Any]] = DECLARED) -> None:
        """Declare applications by name."""
        for name, spec in applications.items():
            self.admin.create(SPACE, application(name, **spec))

    def edit(self, name: str, **spec: Any) -> None:
        """Change fields of an application's spec."""
        self.admin.merge(f"{SPACE}/{name}", {"spec": spec})

    def withdraw(self, name: str) -> None:
        """Delete an application."""
        self.admin.delete(f"{SPACE}/{name}")

    def servers(self, application: str = "") -> list[dict[str, Any]]:
        """Return the Deployments of an application, or of all."""
        return [
            each
            for each in self.admin.items(SERVERS)
            if not application or each["metadata"]["ownerReferences"][0].get("name") == application
        ]

    def nodes_of(self, application: str) -> set[str]:
        """Return where an application has servers."""
        return {
            each["spec"]["template"]["spec"]["nodeSelector"]["kubernetes.io/hostname"]
            for each in self.servers(application)
        }

    def start(self, *options: str) -> Controller:
        """Start a controller behind the proxy."""
        log = self.folder / f"controller-{len(self.controllers)}.log"
        self.controllers.append(Controller(self.proxy.kubeconfig(), log, *options))
        return self.controllers[-1]

    def kill_controllers(self) -> None:
        """Kill what runs, and free its lease."""
        for each in self.controllers:
            if each.running:
                each.thaw()
                each.kill()

    def lead(self) -> Controller:
        """Return the controller that runs and holds the lease; start one if none runs."""
        running = [each for each in self.controllers if each.running]
        controller = running[0] if running else self.start()
        self.wait(lambda: bool(holder(self.admin)), "a controller holds the lease")
        return controller

    def wait(self, true: Callable[[], bool], what: str) -> float:
        """Wait until something is true; see `wait_for`."""
        return wait_for(true, what, SETTLE_S)

    def settle(self, expected: Mapping[str, str] | None = _NO_PHASES) -> float:
        """Wait until everything is as declared and stays so; return how long that took in s.

        Args:
            expected: phases of applications; the others serve. With None each may serve or be
                Unplaceable.

        Raises:
            AssertionError: with what is wrong.
        """
        start = time.monotonic()
        since, changes = start, len(self.proxy.changes)
        while True:
            now, wrong = time.monotonic(), self._wrongs(expected)
            if wrong or len(self.proxy.changes) != changes:
                since, changes = now, len(self.proxy.changes)
            elif now - since >= CALM_S:
                self.right_at = since
                return since - start
            if now - start > SETTLE_S:
                words = self.controllers[-1].words() if self.controllers else ""
                said = wrong or ["it never stops changing things"]
                raise AssertionError(f"after {SETTLE_S:.0f} s: {'; '.join(said)}\n{words}")
            time.sleep(0.2)

    def _wrongs(self, expected: Mapping[str, str] | None) -> list[str]:
        found = wrongs(self.admin)
        for name, phase in phases(self.admin).items():
            right = ("Serving", "Unplaceable")
            if expected is not None:
                right = (expected.get(name, "Serving"),)
            if phase not in right:
                found.append(f"{name} is {phase}, not {' or '.join(right)}")
        return found

    def reset(self) -> None:
        """Take everything away that a fault left, and bring the boards back."""
        self.kill_controllers()
        self.proxy.on_written, self.proxy.refuse, self.proxy.lose_answers = _nothing, None, 0
        self.server.start()
        free_lease(self.admin)
        self.parts.workloads.missing_images.clear()
        self.parts.workloads.made.clear()
        self.parts.errors.clear()
        for each in self.admin.items(APPLICATIONS):
            self.admin.delete(path_of(each, APPLICATIONS))
        for each in self.admin.items(NODES):
            self.admin.delete(path_of(each, NODES))
        self.wait(self._is_empty, "nothing is left")
        make_nodes(self.admin, self.boards)
        self.proxy.written.clear()

    def _is_empty(self) -> bool:
        kept = [each["metadata"]["name"] for each in self.admin.items(SERVICES)]
        return not self.admin.items(DEPLOYMENTS) and kept == ["kubernetes"]


def _nothing(_: object) -> None:
    """Do nothing when something is written."""
