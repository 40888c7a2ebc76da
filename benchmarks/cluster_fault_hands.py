"""Change by hand what the controller made."""

from __future__ import annotations

from benchmarks.cluster_fault_steps import Phases, serve, uid_of
from tests.cluster.kubernetes.controllers import SERVERS
from tests.cluster.kubernetes.stage import Stage


def server_deleted_by_hand(stage: Stage) -> Phases:
    """Delete a Deployment by hand."""
    serve(stage)
    name = stage.servers("gate")[0]["metadata"]["name"]
    uid = stage.servers("gate")[0]["metadata"]["uid"]
    stage.admin.delete(f"{SERVERS}/{name}")
    stage.wait(lambda: uid_of(stage, name) not in ("", uid), "it is made again")
    return {}


def server_edited_by_hand(stage: Stage) -> Phases:
    """Change the arguments of a Deployment by hand."""
    serve(stage)
    server = stage.servers("gate")[0]
    container = server["spec"]["template"]["spec"]["containers"][0]
    at = container["args"].index("--rate-ips")
    container["args"][at + 1] = "1"
    stage.admin.replace(f"{SERVERS}/{server['metadata']['name']}", server)
    return {}


def server_scaled_by_hand(stage: Stage) -> Phases:
    """Scale a Deployment to none by hand."""
    serve(stage)
    server = stage.servers("gate")[0]["metadata"]["name"]
    stage.admin.merge(f"{SERVERS}/{server}", {"spec": {"replicas": 0}})
    return {}


def service_deleted_by_hand(stage: Stage) -> Phases:
    """Delete an application's Service by hand."""
    serve(stage)
    stage.admin.delete("/api/v1/namespaces/default/services/gate")
    return {}
