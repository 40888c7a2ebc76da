"""Run the controller as processes of its own: `python -m cluster.controller`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kubernetes.api import Api, Refused
from tests.cluster.kubernetes.parts import wait_for
from tests.cluster.kubernetes.server import NAMESPACE

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "cluster" / "kubernetes" / "manifests"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/orin-tuner-controller"
IMAGE = "orin-tuner:test"
GRACE_S, PROGRESS_S = 1.0, 4.0
#: Quick ones: a node is lost after a second, and a server has failed after a few.
OPTIONS = (
    *("--image", IMAGE, "--lease-s", "12", "--look-s", "1"),
    *("--grace-s", f"{GRACE_S:g}", "--progress-s", f"{PROGRESS_S:g}"),
)


class Controller:
    """A controller's process.

    Args:
        kubeconfig: of the account it has.
        log: file that its words are added to.
        options: more flags.
    """

    def __init__(self, kubeconfig: Path, log: Path, *options: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "cluster.controller", "--kubeconfig", str(kubeconfig)]
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*command, *OPTIONS, *options],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            )

    @property
    def running(self) -> bool:
        """Return True while the process is there."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def words(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


def holder(admin: Api) -> str:
    """Return who holds the lease; empty if nobody does."""
    lease = admin.find(LEASE)
    return str(lease["spec"].get("holderIdentity") or "") if lease else ""


def free_lease(admin: Api) -> None:
    """Let the lease of a controller that was killed be free, as it would be after its duration."""
    if admin.find(LEASE):
        admin.merge(LEASE, {"spec": {"holderIdentity": ""}})


def apply_manifests(admin: Api) -> None:
    """Create what the manifests tell, but the controller itself, which the tests run."""
    order = ["Namespace", "CustomResourceDefinition"]
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    found = [each for name in listed for each in yaml.safe_load_all((MANIFESTS / name).read_text())]
    found.sort(key=lambda each: order.index(each["kind"]) if each["kind"] in order else len(order))
    for each in found:
        if each["kind"] not in ("Deployment", "PodDisruptionBudget"):
            _apply(admin, each)
    wait_for(lambda: admin.find(APPLICATIONS) is not None, "applications are served", 60)


APPLICATIONS = "/apis/orin-tuner.dev/v1alpha1/inferenceapplications"


def _apply(admin: Api, body: dict[str, Any]) -> None:
    version, space = body["apiVersion"], body["metadata"].get("namespace")
    path = f"/{'apis' if '/' in version else 'api'}/{version}"
    path += f"/namespaces/{space}" if space else ""
    plural = body["kind"].lower() + ("es" if body["kind"].endswith("s") else "s")
    try:
        admin.create(f"{path}/{plural}", body)
    except Refused as error:
        if error.status != 409:
            raise
