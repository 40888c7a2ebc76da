"""Whatever happens in whatever order, it ends in the declared state, and nothing is there twice."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.kubernetes.decide import Settings, decide
from cluster.kubernetes.kinds import kind_of, known_networks
from cluster.kubernetes.objects import ServerOptions
from cluster.kubernetes.placing import Boards, target_of
from cluster.kubernetes.plan import Delete
from tests.cluster.kubernetes.pretended import Pretended

SETTINGS = Settings(ServerOptions(progress_s=1000.0), grace_s=5.0)
BOARDS = [("agx_orin_64", "30W"), ("orin_nx_16", "25W"), ("orin_nano_8", "15W")]
NAMES = [f"app-{number}" for number in range(7)]

EVENTS = st.one_of(
    st.tuples(
        st.just("ask"),
        st.sampled_from(NAMES),
        st.sampled_from(["resnet50", "mobilenet_v2", "mine"]),
        st.sampled_from([5, 60, 120]),
        st.sampled_from([1, 100]),
        st.integers(1, 2),
        st.integers(0, 2),
    ),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("lose"), st.integers(0, 2)),
    st.tuples(st.just("return"), st.integers(0, 2)),
    st.tuples(st.just("cordon"), st.integers(0, 2)),
    st.tuples(st.just("steps"), st.integers(0, 4)),
    st.tuples(st.just("all"), st.just(0)),
    st.tuples(st.just("kubelet"), st.just(0)),
    st.tuples(st.just("wait"), st.just(0)),
)


def happen(cluster: Pretended, event: tuple) -> None:
    kind, first, *rest = event
    if kind == "ask":
        network, rate, p99, replicas, priority = rest
        cluster.application(
            first, network, rateIps=rate, p99Ms=p99, replicas=replicas, priority=priority
        )
    elif kind == "delete":
        cluster.objects["applications"].pop(f"default/{first}", None)
    elif kind in ("lose", "return"):
        cluster.set_ready(f"node-{first}", kind == "return")
    elif kind == "cordon":
        cluster.objects["nodes"][f"node-{first}"]["spec"] = {"unschedulable": True}
    elif kind in ("steps", "all"):
        check_that_what_serves_is_followed(cluster)
        cluster.look(SETTINGS, steps=first if kind == "steps" else None)
    elif kind == "kubelet":
        cluster.kubelet()
    else:
        cluster.now += timedelta(seconds=6)


def check_that_what_serves_is_followed(cluster: Pretended) -> None:
    """A server that serves goes only if others of its application do, or it has no place."""
    world = cluster.world()
    plan = decide(world, SETTINGS)
    gone = {each.name for each in plan.steps if isinstance(each, Delete)}
    for application in world.applications:
        own = [each for each in world.servers if each.application_uid == application.uid]
        ready = {each.name for each in own if each.ready}
        if ready & gone and not ready - gone:
            why = [each.why for each in plan.steps if isinstance(each, Delete)]
            swapped = any("neither can move first" in each for each in why)
            assert swapped or plan.statuses[application.key].phase == "Unplaceable"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS, max_size=30))
def test_it_ends_in_the_declared_state(events: list[tuple]) -> None:
    cluster = Pretended()
    for number, (board, mode) in enumerate(BOARDS):
        cluster.node(f"node-{number}", board, mode)
    for event in events:
        happen(cluster, event)
    cluster.now += timedelta(seconds=6)
    cluster.settle(SETTINGS, rounds=60)
    check(cluster)


def check(cluster: Pretended) -> None:
    world = cluster.world()
    uids = {each.uid for each in world.applications}
    assert {each.application_uid for each in world.servers} <= uids
    assert {each.application_uid for each in world.services} <= uids
    lost = {each.name for each in world.nodes if each.unready_s}
    for application in world.applications:
        own = [each for each in world.servers if each.application_uid == application.uid]
        nodes = [each.placement.node for each in own]
        assert len(nodes) == len(set(nodes)), "one server on a node"
        assert application.spec is not None
        phase = application.status["phase"]
        if phase == "Serving":
            assert len(own) == application.spec.replicas
            assert all(each.ready and each.serves == application.spec for each in own)
            assert not lost & set(nodes)
        else:
            assert phase == "Unplaceable", (phase, application.status["message"])
            assert application.status["message"]
    # Every node keeps every rule.
    networks, _ = known_networks(each.spec.network for each in world.applications if each.spec)
    kinds = {
        each.name: kind_of(each, networks, "fp16") for each in world.nodes if each.name not in lost
    }
    target = target_of(world, Boards(kinds), SETTINGS.rules, SETTINGS.goal)
    assert list(target.state.broken()) == []
    assert decide(world, SETTINGS).steps == []
