"""Start the controller as a process against an API server of the tests, which learns its kinds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kubernetes.api import Api
from tests.cluster.kubernetes.parts import wait_for
from tests.cluster.kubernetes.server import ApiServer

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "cluster" / "kubernetes" / "manifests"
APPLICATIONS = "/apis/orin-tuner.dev/v1alpha1/namespaces/default/inferenceapplications"
SERVERS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"

#: Options that make a controller quick enough for tests.
QUICK = (
    *("--runtime-class", "", "--look-s", "20", "--grace-s", "1", "--progress-s", "3"),
    *("--lease-s", "12"),
)

COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
}


def manifests() -> list[dict[str, Any]]:
    """Return the objects of the manifests, as kubectl puts them together."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl here, which puts the manifests together")
    made = subprocess.run(
        [kubectl, "kustomize", str(MANIFESTS)], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(made.stdout))


def objects() -> list[dict[str, Any]]:
    """Return the objects of the manifests as they are written: their images are not named yet."""
    files = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    return [each for name in files for each in yaml.safe_load_all((MANIFESTS / name).read_text())]


def install(admin: Api) -> None:
    """Apply the manifests, except for the controller's own Deployment, which no kubelet runs."""
    for each in sorted(objects(), key=lambda each: each["kind"] != "Namespace"):
        if each["kind"] != "Deployment":
            collection = COLLECTIONS[each["kind"]].format(each["metadata"].get("namespace", ""))
            if admin.find(f"{collection}/{each['metadata']['name']}") is None:
                admin.create(collection, each)
    wait_for(lambda: admin.find(APPLICATIONS) is not None, "the new kind is served", 60)


def application(name: str, network: str = "resnet50", **spec: Any) -> dict[str, Any]:
    """Return an `InferenceApplication`."""
    return {
        "apiVersion": "orin-tuner.dev/v1alpha1",
        "kind": "InferenceApplication",
        "metadata": {"name": name},
        "spec": {"network": network, "rateIps": 20, "p99Ms": 200} | spec,
    }


def command(server: ApiServer, *options: str) -> list[str]:
    """Return the command of a controller with the rights of its account."""
    kubeconfig = ("--kubeconfig", str(server.kubeconfig))
    return [sys.executable, "-m", "cluster.controller", *kubeconfig, *QUICK, *options]


def start(server: ApiServer, *options: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a controller."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    path = log or server.folder / "controller.log"
    with path.open("ab") as out:
        return subprocess.Popen(
            command(server, *options), stdout=out, stderr=out, cwd=ROOT, env=environment
        )


def end(process: subprocess.Popen[bytes], sign: signal.Signals = signal.SIGTERM) -> int:
    """End a controller, and return its exit code."""
    if process.poll() is None:
        process.send_signal(sign)
    try:
        return process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@contextmanager
def controller(server: ApiServer, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a controller in a `with` block."""
    process = start(server, *options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def phases(admin: Api) -> dict[str, str]:
    """Return the phase of each application."""
    return {
        each["metadata"]["name"]: each.get("status", {}).get("phase", "")
        for each in admin.items(APPLICATIONS)
    }


def servers(admin: Api) -> dict[str, list[str]]:
    """Return the nodes of the servers of each application."""
    found: dict[str, list[str]] = {}
    for each in admin.items(SERVERS):
        notes = each["metadata"]["annotations"]
        found.setdefault(notes["orin-tuner.dev/application"], []).append(
            notes["orin-tuner.dev/node"]
        )
    return {name: sorted(nodes) for name, nodes in sorted(found.items())}
