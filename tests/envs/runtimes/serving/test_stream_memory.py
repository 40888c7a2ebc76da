"""Memory that instances with streams hold for their batch sizes."""

from __future__ import annotations

import pytest

from envs.runtimes.serving.runtime import ServingRuntime
from envs.spec import ConfigurationFailed, FailureKind
from tests.envs.runtimes.serving.streamed import Stream, StreamedFactory, configuration


def test_a_batch_that_cannot_run_is_found_before_anything_changes(
    runtime: ServingRuntime, factory: StreamedFactory
) -> None:
    runtime.apply(configuration((1, 1)))
    factory.sessions[0].largest = 4
    runtime.apply(configuration((1, 4)))
    with pytest.raises(ConfigurationFailed) as error:
        runtime.apply(configuration((1, 8), (1, 1)))
    assert error.value.failure.kind is FailureKind.OUT_OF_MEMORY
    assert [session.closed for session in factory.sessions] == [False, True], (
        "what was loaded for it is released again"
    )
    assert runtime.measure(0.2).throughput_ips[0] > 0


def test_an_instance_holds_memory_for_the_batch_that_is_asked_of_it_alone(
    runtime: ServingRuntime, factory: StreamedFactory
) -> None:
    for batch in (1, 4, 8, 1):
        runtime.apply(configuration((1, batch)))
        assert factory.streams[0].sizes == {batch}
    assert len(factory.streams) == 1, "it is the same instance"
    proofs = len(factory.sessions[0].batches)
    runtime.apply(configuration((1, 8)))
    assert factory.sessions[0].batches[proofs] == 8, "what it gave back has to be proven again"
    assert runtime.measure(0.2).throughput_ips[0] > 0


def test_an_instance_whose_batch_stays_is_left_alone(
    runtime: ServingRuntime, factory: StreamedFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for it, however often a configuration is applied, and the memory of a failed
    proof is released once."""
    kept: list[int] = []
    monkeypatch.setattr(Stream, "keep", lambda self, batch: kept.append(batch))
    for batch in (4, 4, 1, 1):
        runtime.apply(configuration((1, batch)))
    assert kept == [1]
    factory.sessions[0].largest = 4
    with pytest.raises(ConfigurationFailed):
        runtime.apply(configuration((1, 8)))
    for _ in range(2):
        runtime.apply(configuration((1, 1)))
    assert kept == [1, 1]


def test_memory_that_cannot_be_given_back_loses_its_instance_alone(
    runtime: ServingRuntime, factory: StreamedFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(batch: int) -> None:
        raise RuntimeError("the accelerator has gone")

    runtime.apply(configuration((1, 1)))
    monkeypatch.setattr(factory.streams[0], "keep", fault)
    transition = runtime.apply(configuration((2, 4)))
    assert (transition.kept, transition.created) == (1, 1)
    with pytest.raises(ConfigurationFailed, match="the accelerator has gone") as error:
        runtime.measure(0.2)
    assert error.value.failure.kind is FailureKind.INSTANCE_LOST
    transition = runtime.apply(configuration((2, 4)))
    assert (transition.kept, transition.created) == (1, 1)
    assert runtime.measure(0.2).throughput_ips[0] > 0
    assert [session.closed for session in factory.sessions] == [True, False, False]
