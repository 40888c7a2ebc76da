"""Run etcd and a kube-apiserver on free ports of the loopback interface, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.cluster.kubernetes.api import Api
from tests.cluster.kubernetes.programs import Binaries

#: The account of the controller, as the manifests name it.
NAMESPACE, ACCOUNT = "orin-tuner", "orin-tuner-controller"
ADMIN = "admin"
READY_S = 240.0
_ALLOWED = "system:serviceaccounts"


class ApiServer:
    """An API server with its own etcd. It is ready after `start`, and stops with the `with` block.

    Requests are authorized by RBAC. Two tokens are known: an administrator's, and that of the
    controller's account. Nothing but the API server runs: no controller of Kubernetes, no scheduler
    and no kubelet, see `tests.cluster.kubernetes.nodes`.

    Args:
        binaries: the two programs.
        folder: an empty one for data, certificates, kubeconfigs and logs.
    """

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        self.binaries, self.folder = binaries, folder
        self.port, self._etcd_port, self._peer_port = _free_ports(3)
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self.certificate, self._key = folder / "server.crt", folder / "server.key"

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        _end(self._etcd, signal.SIGKILL)

    @property
    def address(self) -> str:
        """Return the server's URL."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """Return the kubeconfig of the controller's account."""
        return self.folder / f"{ACCOUNT}.kubeconfig"

    @property
    def admin_kubeconfig(self) -> Path:
        """Return the kubeconfig of an administrator."""
        return self.folder / f"{ADMIN}.kubeconfig"

    @property
    def running(self) -> bool:
        """Return True while the server's process is there."""
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        """Start what does not run, with the data of before, and wait until it is ready."""
        if not self.certificate.exists():
            self._prepare()
        if self._etcd is None:
            self._etcd = self._open("etcd", self._etcd_command())
        if not self.running:
            self._server = self._open("kube-apiserver", self._server_command())
        self._wait()

    def stop(self) -> None:
        """End the server as an update would: it finishes its requests. Data stay."""
        _end(self._server, signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once, in the middle of what it does. Data stay."""
        _end(self._server, signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server and start it again."""
        self.stop()
        self.start()

    def api(self, user: str = ADMIN) -> Api:
        """Return requests by an administrator, or by the controller's account (`ACCOUNT`)."""
        return Api(self.address, self.certificate, f"{user}-token")

    def _prepare(self) -> None:
        """Write a certificate, whose key signs the tokens of accounts too, and the users' files."""
        made = subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(self._key), "-out", str(self.certificate)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise RuntimeError(
                f"openssl makes no certificate: {made.stderr.strip().splitlines()[-1]}"
            )
        account = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
        groups = f"{_ALLOWED},{_ALLOWED}:{NAMESPACE}"
        (self.folder / "tokens.csv").write_text(
            f'{ADMIN}-token,{ADMIN},1,"system:masters"\n{ACCOUNT}-token,{account},2,"{groups}"\n'
        )
        for name in (ADMIN, ACCOUNT):
            path = self.folder / f"{name}.kubeconfig"
            path.write_text(json.dumps(self._kubeconfig(name), indent=2) + "\n")

    def _kubeconfig(self, name: str) -> dict[str, Any]:
        cluster = {"server": self.address, "certificate-authority": str(self.certificate)}
        context = {"cluster": "tests", "user": name, "namespace": NAMESPACE}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": f"{name}-token"}}],
            "contexts": [{"name": "tests", "context": context}],
            "current-context": "tests",
        }

    def _etcd_command(self) -> list[str]:
        clients = f"http://127.0.0.1:{self._etcd_port}"
        peers = f"http://127.0.0.1:{self._peer_port}"
        return [
            *(str(self.binaries.etcd), "--data-dir", str(self.folder / "etcd")),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--initial-cluster", f"default={peers}"),
        ]

    def _server_command(self) -> list[str]:
        return [
            str(self.binaries.server),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"),
            *(f"--secure-port={self.port}", f"--tls-cert-file={self.certificate}"),
            f"--tls-private-key-file={self._key}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--enable-priority-and-fairness=false",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self._key}",
            f"--service-account-key-file={self._key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            # It would put the loopback address into the endpoints of a service, which is refused.
            "--endpoint-reconciler-type=none",
            # Makes tokens for pods, which needs a controller that does not run.
            "--disable-admission-plugins=ServiceAccount",
        ]

    def _open(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        # What is killed takes its servers along where Linux's own tool for that is there.
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        # etcd refuses processors that it was not tested on, unless it is told.
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "ETCD_UNSUPPORTED_ARCH": machine},
            )

    def _wait(self) -> None:
        """Wait until the server is ready and its own roles are there."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        asked = urllib.request.Request(
            f"{self.address}/readyz", headers={"Authorization": f"Bearer {ADMIN}-token"}
        )
        end, error = time.monotonic() + READY_S, "nothing"
        while time.monotonic() < end:
            for name, process in (("etcd", self._etcd), ("kube-apiserver", self._server)):
                if process is not None and process.poll() is not None:
                    raise RuntimeError(f"{name} ended: {self._last_words(name)}")
            try:
                with urllib.request.urlopen(asked, timeout=5, context=context):
                    return
            except (urllib.error.URLError, OSError) as reason:
                error = str(reason)
            time.sleep(0.1)
        raise RuntimeError(f"the API server is not ready after {READY_S:.0f} s: {error}")

    def _last_words(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"


def _free_ports(count: int) -> list[int]:
    """Return ports that no other connection gets by itself, also while a server is restarted."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    free: list[int] = []
    for port in range(int(given[0]) - 1 - os.getpid() % 10_000, 1024, -1):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            free.append(port)
        if len(free) == count:
            break
    return free


def _end(process: subprocess.Popen[bytes] | None, sign: signal.Signals) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(sign)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
