from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.kubernetes.read import application_of, memory_mib, node_of, server_of, why_waiting
from cluster.kubernetes.resource import FIELDS, GOALS, Spec, spec_of
from envs.errors import OptionError

GIVEN = {"network": "resnet50", "rateIps": 30, "p99Ms": 50}
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_a_spec_has_defaults() -> None:
    assert spec_of(GIVEN) == Spec("resnet50", 30.0, 50.0, "throughput", 1, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": None}, "spec.network=None must be a name"),
        ({"network": "../a"}, r"spec.network='../a' must be a name"),
        ({"network": "--p99-ms"}, "must be a name"),
        ({"network": "a" * 64}, "at most 63"),
        ({"rateIps": 0}, "spec.rateIps=0 must be above zero"),
        ({"rateIps": "30"}, "spec.rateIps='30' must be a number"),
        ({"rateIps": True}, "spec.rateIps=True must be a number"),
        ({"p99Ms": math.nan}, "spec.p99Ms=nan must be a number"),
        ({"p99Ms": math.inf}, "spec.p99Ms=inf must be above zero"),
        ({"goal": "fast"}, "spec.goal='fast': choose from throughput, energy, latency"),
        ({"replicas": 0}, "spec.replicas=0 must be a whole number in 1..100"),
        ({"replicas": 1.5}, "spec.replicas=1.5 must be a whole number"),
        ({"priority": 10**400}, "must be a whole number in -1000000..1000000"),
        ({"nodes": 3}, "spec.nodes is unknown: choose from network, "),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        spec_of(GIVEN | change)
    assert words in str(caught.value)


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(OptionError) as caught:
        spec_of({"rateIps": -1, "goal": 3})
    text = str(caught.value)
    for words in ("spec.network is missing", "spec.p99Ms is missing", "rateIps=-1", "goal=3"):
        assert words in text
    with pytest.raises(OptionError, match="spec must be an object"):
        spec_of(None)


SPECS = st.builds(
    Spec,
    st.from_regex(r"[a-z0-9A-Z][a-z0-9A-Z_.-]{0,62}", fullmatch=True),
    st.floats(1e-6, 1e9),
    st.floats(1e-6, 1e9),
    st.sampled_from(GOALS),
    st.integers(1, 100),
    st.integers(-1_000_000, 1_000_000),
)


@given(SPECS)
def test_a_spec_survives_being_written_and_read(spec: Spec) -> None:
    assert spec_of(json.loads(spec.as_text())) == spec
    assert set(spec.as_dict()) == set(FIELDS)


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "other"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_whatever_is_given_is_a_spec_or_a_sentence(found: dict[str, Any]) -> None:
    metadata = {"namespace": "default", "name": "a", "uid": "u"}
    application = application_of({"metadata": metadata, "spec": found})
    assert (application.spec is None) == bool(application.error)


@pytest.mark.parametrize(
    ("quantity", "mib"),
    [("7802Mi", 7802), ("8Gi", 8192), ("1048576", 1), ("2048Ki", 2), ("1e6", 0.95367431640625)],
)
def test_memory_is_read_in_every_unit(quantity: str, mib: float) -> None:
    assert memory_mib(quantity) == pytest.approx(mib)


def test_memory_that_cannot_be_read_limits_nothing() -> None:
    assert memory_mib("lots") == math.inf


def node(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "metadata": {"name": "a"},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    for key, value in more.items():
        found[key] |= value
    return found


def test_a_node_is_closed_where_it_takes_no_pods() -> None:
    assert node_of(node(), NOW).schedulable
    assert not node_of(node(spec={"unschedulable": True}), NOW).schedulable
    tainted = {"taints": [{"key": "mine", "effect": "NoSchedule"}]}
    assert not node_of(node(spec=tainted), NOW).schedulable
    assert not node_of(
        node(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), NOW
    ).schedulable
    # The taints of a node that is not ready are told by its condition, with the time.
    own = {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}
    assert node_of(node(spec=own), NOW).schedulable


def test_a_node_says_since_when_it_is_not_ready() -> None:
    since = (NOW - timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lost = {"type": "Ready", "status": "Unknown", "lastTransitionTime": since}
    assert node_of(node(status={"conditions": [lost]}), NOW).unready_s == 90
    assert node_of(node(status={"conditions": []}), NOW).unready_s > 0


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"state": state} | more]}}


def test_why_a_pod_waits_is_what_its_node_says() -> None:
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    assert why_waiting(container(pull)) == "ImagePullBackOff: no such image"
    assert why_waiting(container({"waiting": {"reason": "ContainerCreating"}})) == ""
    crash = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    ended = {"terminated": {"exitCode": 2}}
    text = why_waiting(container(crash, lastState=ended))
    assert text == "CrashLoopBackOff: back-off; it ended with exit code 2"
    refused = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
               "message": "0/3 nodes are available"}  # fmt: skip
    assert why_waiting({"status": {"conditions": [refused]}}) == (
        "Unschedulable: 0/3 nodes are available"
    )


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": "a", "uid": "u", "generation": 2,
                     "creationTimestamp": "2025-12-31T23:59:00Z"},
        "status": status,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"observedGeneration": 2, "updatedReplicas": 1, "readyReplicas": 1, "replicas": 1}, True),
        ({"observedGeneration": 1, "updatedReplicas": 1, "readyReplicas": 1, "replicas": 1}, False),
        ({"observedGeneration": 2, "updatedReplicas": 1, "readyReplicas": 1, "replicas": 2}, False),
        ({}, False),
    ],
)
def test_a_server_is_ready_when_its_newest_pod_is(status: dict[str, Any], ready: bool) -> None:
    found = server_of(deployment(**status), (), NOW)
    assert found.ready is ready
    assert found.unready_s == (0 if ready else 60)


def test_a_server_whose_pod_is_refused_says_so() -> None:
    failed = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": "RuntimeClass nvidia not found",
    }
    assert server_of(deployment(conditions=[failed]), (), NOW).waiting == failed["message"]


def test_a_server_that_somebody_changed_by_hand_is_read_nevertheless() -> None:
    found = deployment()
    found["metadata"]["annotations"] = {"orin-tuner.dev/batch": "x", "orin-tuner.dev/serves": "{"}
    seen = server_of(found, (), NOW)
    assert (seen.placement.batch, seen.serves) == (0, None)
