"""Hold a controller as a process that is killed, stopped and frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cluster.kubernetes.api import Api
from tests.cluster.kubernetes.controllers import ROOT
from tests.cluster.kubernetes.server import NAMESPACE

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/orin-tuner-controller"
IMAGE = "orin-tuner:test"
GRACE_S, PROGRESS_S = 1.0, 8.0
#: Quick ones: a node is lost after a second, and a server has failed after a few.
OPTIONS = (
    *("--image", IMAGE, "--lease-s", "12", "--look-s", "1"),
    *("--grace-s", f"{GRACE_S:g}", "--progress-s", f"{PROGRESS_S:g}"),
)


class Controller:
    """A controller's process.

    Args:
        kubeconfig: of the account it has.
        log: file of its words.
        options: more flags.
    """

    def __init__(self, kubeconfig: Path, log: Path, *options: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "cluster.controller", "--kubeconfig", str(kubeconfig)]
        with log.open("wb") as file:
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
