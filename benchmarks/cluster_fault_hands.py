"""Change by hand what the controller made."""

from __future__ import annotations

from benchmarks.cluster_fault_steps import Phases, serve, uid_of
from tests.cluster.kubernetes.controllers import SERVERS, SERVICES
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


def service_edited_by_hand(stage: Stage) -> Phases:
    """Let an application's Service select nobody, on another port."""
    serve(stage)
    spec = {"selector": {"app": "nobody"}, "ports": [{"name": "requests", "port": 9}]}
    stage.admin.merge(f"{SERVICES}/gate", {"spec": spec})
    uid = stage.servers("gate")[0]["metadata"]["ownerReferences"][0]["uid"]

    def is_right() -> bool:
        found = stage.admin.get(f"{SERVICES}/gate")["spec"]
        selects = {"orin-tuner.dev/application-uid": uid}.items() <= found["selector"].items()
        return selects and found["ports"][0]["port"] == 8000

    stage.wait(is_right, "the service leads to its application again")
    return {}


def labels_taken_away(stage: Stage) -> Phases:
    """Take the labels of a Deployment and of a Service away, and the owner of another one."""
    serve(stage)
    first, second = (stage.servers(name)[0]["metadata"]["name"] for name in ("gate", "yard"))
    for path in (f"{SERVERS}/{first}", f"{SERVICES}/gate"):
        stage.admin.merge(path, {"metadata": {"labels": None}})
    stage.admin.merge(f"{SERVERS}/{second}", {"metadata": {"ownerReferences": None}})

    def are_back() -> bool:
        own = [stage.admin.get(f"{SERVERS}/{each}")["metadata"] for each in (first, second)]
        return all(each.get("labels") and each.get("ownerReferences") for each in own)

    stage.wait(are_back, "labels and owner are back")
    return {}


def notes_taken_away(stage: Stage) -> Phases:
    """Take all annotations of all Deployments away, by which the controller reads them."""
    serve(stage)
    for each in stage.servers():
        path = f"{SERVERS}/{each['metadata']['name']}"
        stage.admin.merge(path, {"metadata": {"annotations": None}})
    return {}


def server_copied_by_hand(stage: Stage) -> Phases:
    """Make a copy of a Deployment of two replicas, under another name, and edit its application."""
    serve(stage)
    [server, _] = stage.servers("door")
    kept = {name: server["metadata"][name] for name in ("labels", "annotations", "ownerReferences")}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": server["spec"]}
    stage.admin.create(SERVERS, body | {"metadata": kept | {"name": "a-copy"}})
    stage.edit("door", rateIps=33)
    stage.wait(lambda: not uid_of(stage, "a-copy"), "the copy goes")
    return {}
