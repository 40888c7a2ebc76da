"""Play those parts of a cluster that do not run beside a bare API server.

The API server alone changes no object by itself. `ClusterParts` plays, all through its API:

- the deployment controller, the scheduler and the kubelets, see `deployments`;
- the garbage collector: what belongs to an object that is gone is deleted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import urllib3

from tests.cluster.kubernetes.api import Api, Refused, path_of
from tests.cluster.kubernetes.deployments import DEPLOYMENTS, PODS, Workloads

#: Collections in which the garbage collector looks for objects whose owner is gone.
OWNED = (DEPLOYMENTS, PODS, "/api/v1/services", "/api/v1/configmaps")
PERIOD_S = 0.1


class ClusterParts:
    """A thread that plays the parts, from `with` on.

    Args:
        api: an administrator's.
        ready_s: how long a pod takes to be ready.
        deadline_s: after which a Deployment without a ready pod tells that it makes no progress.

    Attributes:
        workloads: the part for Deployments; `missing_images` can be changed there.
        errors: what went wrong in the thread; a server that is away is no error.
    """

    def __init__(self, api: Api, ready_s: float = 0.2, deadline_s: float = 3.0) -> None:
        self.api, self.workloads = api, Workloads(api, ready_s, deadline_s)
        self.errors: list[Exception] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster-parts", daemon=True)

    def __enter__(self) -> ClusterParts:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopped.wait(PERIOD_S):
            try:
                self.workloads.step()
                self._collect()
            except urllib3.exceptions.HTTPError:
                continue  # the server is away
            except Refused as error:
                if error.status not in (403, 404, 409) and error.status < 500:
                    self.errors.append(error)
            except Exception as error:
                self.errors.append(error)

    def _collect(self) -> None:
        """Delete the objects whose owners are all gone."""
        found = [(path_of(item, each), item) for each in OWNED for item in self.api.items(each)]
        # Owners are listed after their dependents: a new one is never taken for a lost one.
        known: dict[str, set[str] | None] = {}
        for path, item in found:
            owners = item["metadata"].get("ownerReferences") or []
            if owners and not any(self._is_there(each, known) for each in owners):
                self.api.delete(path, now=True)

    def _is_there(self, owner: dict[str, Any], known: dict[str, set[str] | None]) -> bool:
        """Return True if an owner is there, or of a kind that the server does not serve (yet)."""
        root = "/apis" if "/" in owner["apiVersion"] else "/api"
        collection = f"{root}/{owner['apiVersion']}/{owner['kind'].lower()}s"
        if collection not in known:
            listed = self.api.find(collection)
            known[collection] = listed and {each["metadata"]["uid"] for each in listed["items"]}
        uids = known[collection]
        return uids is None or owner["uid"] in uids


def wait_for(true: Callable[[], bool], what: str, seconds: float = 240.0) -> float:
    """Wait until something is true, and return how long that took in s.

    Raises:
        AssertionError: if it is not within `seconds`; `what` tells what should have been.
    """
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - start
