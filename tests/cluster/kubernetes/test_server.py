import pytest

from tests.cluster.kubernetes.api import Api, Refused
from tests.cluster.kubernetes.nodes import BoardNode, is_ready, make_nodes, set_ready
from tests.cluster.kubernetes.parts import ClusterParts, wait_for
from tests.cluster.kubernetes.server import ACCOUNT, NAMESPACE, ApiServer

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPACE = "/apis/apps/v1/namespaces/default/deployments"
THINGS = "/apis/tests.dev/v1/namespaces/default/things"


def crd() -> dict:
    status = {"type": "object", "properties": {"phase": {"type": "string"}}}
    rate = {"type": "object", "properties": {"rate": {"type": "number", "minimum": 0}}}
    properties = {"spec": rate, "status": status}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.tests.dev"},
        "spec": {
            "group": "tests.dev",
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def thing(name: str, rate: float) -> dict:
    meta = {"name": name}
    return {"apiVersion": "tests.dev/v1", "kind": "Thing", "metadata": meta, "spec": {"rate": rate}}


def deployment(name: str, node: str, image: str = "served", owner: dict | None = None) -> dict:
    labels, meta = {"app": name}, {"name": name}
    if owner:
        reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
        reference |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        meta |= {"ownerReferences": [reference]}
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [{"name": "server", "image": image}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def available(admin: Api, name: str) -> int:
    return admin.get(f"{SPACE}/{name}")["status"].get("availableReplicas", 0)


def makes_no_progress(admin: Api, name: str) -> bool:
    conditions = admin.get(f"{SPACE}/{name}")["status"].get("conditions", [])
    return ("Progressing", "False") in {(each["type"], each["status"]) for each in conditions}


@pytest.fixture(scope="module")
def things(admin: Api) -> str:
    """Return the collection of a kind that the server was taught."""
    admin.create(CRDS, crd())
    wait_for(lambda: admin.find(THINGS) is not None, "the new kind is served")
    return THINGS


def test_a_new_kind_is_checked_by_its_schema_and_has_a_status(admin: Api, things: str) -> None:
    made = admin.create(things, thing("one", 5.0) | {"status": {"phase": "ignored"}})
    assert "status" not in made
    admin.merge(f"{things}/one/status", {"status": {"phase": "Serving"}, "spec": {"rate": 9}})
    found = admin.get(f"{things}/one")
    assert found["status"] == {"phase": "Serving"}
    assert found["spec"] == {"rate": 5.0}
    with pytest.raises(Refused, match="422"):
        admin.create(things, thing("wrong", -1.0))


def test_a_restarted_server_and_a_killed_one_keep_their_data(
    server: ApiServer, admin: Api, things: str
) -> None:
    admin.create(things, thing("kept", 1.0))
    server.restart()
    assert admin.get(f"{things}/kept")["spec"] == {"rate": 1.0}
    server.kill()
    assert not server.running
    server.start()
    assert admin.get(f"{things}/kept")["spec"] == {"rate": 1.0}


def test_the_account_may_do_only_what_a_role_allows(admin: Api, account: Api) -> None:
    with pytest.raises(Refused, match=rf"403.*system:serviceaccount:{NAMESPACE}:{ACCOUNT}"):
        account.get("/api/v1/nodes")
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
    role = {"metadata": {"name": "reads-nodes"}, "rules": rules}
    roles = "/apis/rbac.authorization.k8s.io/v1"
    admin.create(f"{roles}/clusterroles", role)
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
    to = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reads-nodes"}
    binding = {"metadata": {"name": "reads-nodes"}, "roleRef": to, "subjects": [subject]}
    admin.create(f"{roles}/clusterrolebindings", binding)
    wait_for(lambda: _may_list_nodes(account), "the account may list nodes")
    with pytest.raises(Refused, match="403"):
        account.delete("/api/v1/nodes/any")


def _may_list_nodes(account: Api) -> bool:
    try:
        account.get("/api/v1/nodes")
    except Refused:
        return False
    return True


def test_nodes_have_the_labels_and_capacities_of_their_boards(admin: Api) -> None:
    make_nodes(admin, [BoardNode("edge-0", "orin_nano_8", "15W")])
    node = admin.get("/api/v1/nodes/edge-0")
    assert node["metadata"]["labels"]["orin-tuner.dev/board"] == "orin_nano_8"
    assert node["status"]["allocatable"]["cpu"] == "6"
    assert is_ready(node)
    assert not node["spec"].get("taints")
    set_ready(admin, "edge-0", False)
    lost = admin.get("/api/v1/nodes/edge-0")
    assert not is_ready(lost)
    assert {each["effect"] for each in lost["spec"]["taints"]} == {"NoSchedule", "NoExecute"}


def test_a_deployment_is_available_while_its_node_and_image_are_there(admin: Api) -> None:
    make_nodes(admin, [BoardNode("edge-1")])
    with ClusterParts(admin, ready_s=0.3, deadline_s=0.5) as parts:
        parts.workloads.missing_images.add("nowhere")
        admin.create(SPACE, deployment("runs", "edge-1"))
        admin.create(SPACE, deployment("no-image", "edge-1", image="nowhere"))
        wait_for(lambda: available(admin, "runs") == 1, "a Deployment is available")
        wait_for(lambda: makes_no_progress(admin, "no-image"), "a missing image is shown")
        assert available(admin, "no-image") == 0
        set_ready(admin, "edge-1", False)
        wait_for(lambda: available(admin, "runs") == 0, "nothing runs on a lost node")
        set_ready(admin, "edge-1", True)
        parts.workloads.missing_images.clear()
        for name in ("runs", "no-image"):
            wait_for(lambda name=name: available(admin, name) == 1, f"{name} is available")
    assert parts.errors == []


def test_what_belonged_to_an_object_that_is_gone_is_deleted(admin: Api, things: str) -> None:
    owner, other = (admin.create(things, thing(name, 1.0)) for name in ("owner", "other"))
    with ClusterParts(admin) as parts:
        admin.create(SPACE, deployment("child", "edge-2", owner=owner))
        admin.create(SPACE, deployment("kept-child", "edge-2", owner=other))
        admin.delete(f"{things}/owner")
        wait_for(lambda: admin.find(f"{SPACE}/child") is None, "the child is deleted")
        assert admin.find(f"{SPACE}/kept-child") is not None
    assert parts.errors == []
