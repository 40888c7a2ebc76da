from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cluster.kubernetes.names import LONGEST, SERVER, server_name, service_name
from cluster.kubernetes.objects import ServerOptions, deployment, service
from cluster.kubernetes.resource import Spec
from cluster.kubernetes.world import Placement, SeenApplication, SeenNode
from tuner.deploy import HIDDEN, DeployCommand
from tuner.flags import read_flags

APPLICATION = SeenApplication(
    "robots", "door", "uid-1", 3, spec=Spec("resnet50", 30.0, 50.0, "energy", 2, 5)
)
NODE = SeenNode("node-0", "host-0", "agx_orin_64", "30W")
SUBDOMAIN = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?", fullmatch=True)


def made(place: str = "gpu", options: ServerOptions | None = None, **more: str) -> dict:
    placement = Placement("node-0", place, 4)
    return deployment(APPLICATION, NODE, placement, 640.4, options or ServerOptions(), **more)


def test_the_server_is_called_with_options_that_it_has() -> None:
    [container] = made()["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "tuner.deploy"]
    read = read_flags(DeployCommand, container["args"], hidden=HIDDEN)
    assert read.serve.network == ["/networks/resnet50.onnx"]
    assert (read.serve.board, read.serve.mode) == ("agx_orin_64", "30W")
    assert (read.serve.accelerators, read.serve.batches, read.serve.max_instances) == (
        ["tensor"], [4], 1,
    )  # fmt: skip
    assert (read.p99_ms, read.serve.rate_ips, read.goal) == ([50.0], [15.0], "energy")
    assert (read.serve.tensor_precision, read.serve.dla_precision) == ("fp16", None)


def test_int8_is_judged_by_samples() -> None:
    options = ServerOptions(precision="int8", client="app:main")
    [container] = made("dla0", options)["spec"]["template"]["spec"]["containers"]
    read = read_flags(DeployCommand, container["args"], hidden=HIDDEN)
    assert (read.serve.dla_precision, read.serve.samples) == ("int8", ["/networks/resnet50.npz"])
    assert (read.serve.accelerators, read.client) == (["dla0"], "app:main")


def test_a_server_is_pinned_and_belongs_to_its_application() -> None:
    found = made(replaces="old")
    pod = found["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "host-0"}
    assert pod["containers"][0]["resources"]["requests"]["memory"] == "640Mi"
    assert pod["runtimeClassName"] == "nvidia"
    assert (
        "runtimeClassName"
        not in made(options=ServerOptions(runtime_class=""))["spec"]["template"]["spec"]
    )
    [owner] = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("InferenceApplication", "door", "uid-1")
    notes = found["metadata"]["annotations"]
    assert notes["orin-tuner.dev/place"] == "gpu"
    assert notes["orin-tuner.dev/replaces"] == "old"
    assert found["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_server_can_do_little_on_its_node() -> None:
    pod = made()["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    context = pod["containers"][0]["securityContext"]
    assert not context["allowPrivilegeEscalation"]
    assert context["readOnlyRootFilesystem"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    mounts = {each["name"]: each.get("readOnly") for each in pod["containers"][0]["volumeMounts"]}
    assert mounts["networks"] is True
    assert {each["name"] for each in pod["volumes"]} == set(mounts)


def test_the_digest_knows_what_the_server_runs_and_not_what_it_replaces() -> None:
    def digest(found: dict) -> str:
        return str(found["metadata"]["annotations"]["orin-tuner.dev/digest"])

    assert digest(made()) == digest(made(replaces="old"))
    assert digest(made()) != digest(made("dla0"))
    assert digest(made()) != digest(made(options=ServerOptions(image="other")))


def test_the_service_finds_the_servers() -> None:
    found = service(APPLICATION)
    labels = made()["spec"]["template"]["metadata"]["labels"]
    assert found["spec"]["selector"].items() <= labels.items()
    [port] = found["spec"]["ports"]
    ports = made()["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert port["targetPort"] in [each["name"] for each in ports]


@given(SUBDOMAIN, SUBDOMAIN)
def test_names_are_taken_by_the_server_and_are_always_the_same(name: str, node: str) -> None:
    for found in (server_name(name, node), service_name(name)):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", found)
        assert len(found) <= LONGEST
    assert service_name(name)[0].isalpha()
    assert server_name(name, node) == server_name(name, node)


def test_names_that_are_cut_stay_different() -> None:
    assert server_name("a" * 60, "n") != server_name("a" * 61, "n")
    assert server_name("a", "b-c") != server_name("a-b", "c")
    assert service_name("a.b") != service_name("a-b")
    assert made()["spec"]["selector"]["matchLabels"] == {SERVER: server_name("door", "node-0")}
