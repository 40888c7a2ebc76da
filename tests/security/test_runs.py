"""Resuming a training folder of an attacker unpickles nothing and writes nothing outside."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from stable_baselines3 import PPO

from envs.errors import OptionError, TraceError
from envs.problems.trace_world import TraceWorld
from envs.traces.reader import Trace
from tests.commands import CommandResult, call
from tests.security.attacks import Payload, little_memory, members_of, refused, untouched, write_zip
from tuner.agents.agent_options import AgentOptions
from tuner.agents.checkpoint import resume_model, save_checkpoint
from tuner.agents.run import check_links
from tuner.agents.training import make_env, make_model

OPTIONS = AgentOptions(steps=256, envs=4, batch_size=28, hidden=8)


def train(trace: Trace, run: Path, *more: str) -> CommandResult:
    small = (
        "agent.envs=4",
        "agent.batch_size=28",
        "agent.hidden=8",
        "agent.steps=100",
        "problems=4",
    )
    return call(
        "train",
        f"trace={trace.path}",
        f"run_dir={run}",
        *small,
        "evaluation.objectives=1",
        "evaluation.seeds=1",
        "evaluation.tuners=[random]",
        *more,
    )


@pytest.fixture(scope="module")
def checkpoint(trace_world: TraceWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "checkpoint.zip"
    model = make_model(make_env(trace_world, OPTIONS, 0), OPTIONS, 0, None)
    model.learn(OPTIONS.steps)
    save_checkpoint(model, path)
    return path


def serialized(payload: object) -> dict[str, str]:
    """Return an object as stable-baselines3 stores it; reading it would unpickle."""
    return {
        ":type:": "<class 'function'>",
        ":serialized:": base64.b64encode(pickle.dumps(payload)).decode(),
    }


def pickled(payload: object) -> bytes:
    """Return a file of tensors of torch with another object inside."""
    content = io.BytesIO()
    torch.save({"first.weight": payload}, content)
    return content.getvalue()


def test_a_checkpoint_is_not_unpickled(
    checkpoint: Path, trace_world: TraceWorld, tmp_path: Path
) -> None:
    members = members_of(checkpoint)
    result = json.loads(members["data"])
    evil = serialized(Payload(tmp_path / "ran"))
    data = {key: evil if isinstance(value, dict) else value for key, value in result.items()} | {
        "more": evil,
        "policy_class": evil,
    }
    path = write_zip(tmp_path / "checkpoint.zip", members | {"data": json.dumps(data).encode()})
    env = make_env(trace_world, OPTIONS, 0)
    with untouched(tmp_path):
        model = resume_model(path, env, OPTIONS)
        model.learn(112, reset_num_timesteps=False)
    assert model.num_timesteps == result["num_timesteps"] + 112
    with pytest.raises(Exception):  # noqa: B017, PT011 (any error will do)
        PPO.load(path, env, device="cpu")
    assert (tmp_path / "ran").exists(), "the payload runs if it is unpickled"


@pytest.mark.parametrize(
    "member",
    ["policy.pth", "policy.optimizer.pth", "pytorch_variables.pth", "more.pth", "../../more.pth"],
)
def test_weights_are_tensors_alone(
    checkpoint: Path, trace_world: TraceWorld, tmp_path: Path, member: str
) -> None:
    for content in (pickled(Payload(tmp_path / "ran")), pickle.dumps(Payload(tmp_path / "ran"))):
        path = write_zip(tmp_path / "checkpoint.zip", members_of(checkpoint) | {member: content})
        with untouched(tmp_path), refused("cannot be resumed here", TraceError):
            resume_model(path, make_env(trace_world, OPTIONS, 0), OPTIONS)
    torch.load(io.BytesIO(pickled(Payload(tmp_path / "ran"))), weights_only=False)
    assert (tmp_path / "ran").exists()


def test_the_command_resumes_a_foreign_run_and_runs_nothing_of_it(
    trace: Trace, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert train(trace, run).returncode == 0
    members = members_of(run / "checkpoint.zip")
    data = {
        key: serialized(Payload(tmp_path / "ran")) if isinstance(value, dict) else value
        for key, value in json.loads(members["data"]).items()
    }
    write_zip(
        run / "checkpoint.zip",
        members
        | {"data": json.dumps(data).encode(), "policy.pth": pickled(Payload(tmp_path / "ran"))},
    )
    with untouched(tmp_path, (run,)):
        result = train(trace, run, "agent.steps=200")
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert "checkpoint.zip cannot be resumed here" in result.stderr
        write_zip(run / "checkpoint.zip", members | {"data": json.dumps(data).encode()})
        assert train(trace, run, "agent.steps=200").returncode == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"num_timesteps": "3", "_n_updates": 0}',
        b'{"num_timesteps": 1e400, "_n_updates": 0}',
    ],
)
def test_a_checkpoint_of_other_facts_is_refused(
    checkpoint: Path, trace_world: TraceWorld, tmp_path: Path, data: bytes
) -> None:
    path = write_zip(tmp_path / "checkpoint.zip", members_of(checkpoint) | {"data": data})
    with refused("cannot be resumed here", TraceError):
        resume_model(path, make_env(trace_world, OPTIONS, 0), OPTIONS)


def test_a_checkpoint_with_nan_or_too_much_data_is_refused(
    checkpoint: Path, trace_world: TraceWorld, tmp_path: Path
) -> None:
    env, members = make_env(trace_world, OPTIONS, 0), members_of(checkpoint)
    weights = torch.load(io.BytesIO(members["policy.pth"]), weights_only=True)
    weights["score.weight"][0, 3] = float("nan")
    content = io.BytesIO()
    torch.save(weights, content)
    with refused("its weights are not finite", TraceError):
        resume_model(
            write_zip(tmp_path / "nan.zip", members | {"policy.pth": content.getvalue()}),
            env,
            OPTIONS,
        )
    bomb = write_zip(
        tmp_path / "bomb.zip", members | {"more": bytes(257 << 20)}, zipfile.ZIP_DEFLATED
    )
    with little_memory(200), refused("claims more than", TraceError):
        resume_model(bomb, env, OPTIONS)
    other = AgentOptions(steps=256, envs=4, batch_size=28, hidden=16)
    with refused("cannot be resumed here", TraceError):
        resume_model(checkpoint, make_env(trace_world, other, 0), other)


LINKS = [
    "tensorboard",
    "checkpoint.zip",
    "problems.npz",
    "run.json",
    "config.yaml",
    "policy.bundle",
    "report.html",
    "tensorboard/PPO_1",
    ".run.json.7.part",
]


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("there", [True, False])
def test_a_run_does_not_write_through_a_link(
    trace: Trace, tmp_path: Path, name: str, there: bool
) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    (run / name).parent.mkdir(parents=True)
    if there:
        outside.mkdir() if name.startswith("tensorboard") else outside.write_text("keep")
    (run / name).symlink_to(outside)
    with untouched(tmp_path):
        result = train(trace, run)
    assert result.returncode == 2
    assert (
        result.stderr == f"error: {run / name} is a link out of the folder of the run: "
        "remove it, or choose another run_dir\n"
    )


def test_a_link_inside_the_folder_is_accepted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "tensorboard" / "PPO_1").mkdir(parents=True)
    (run / "latest").symlink_to("tensorboard/PPO_1")
    (tmp_path / "link").symlink_to("run")
    check_links(run)
    check_links(tmp_path / "link")
    (run / "tensorboard" / "PPO_1" / "up").symlink_to("../../..")
    with refused("is a link out", OptionError):
        check_links(tmp_path / "link")


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff", b"", b"3" * 10_000, b"{" + b" " * (2 << 20)]
)
def test_the_description_of_a_run_is_read_within_bounds(
    trace: Trace, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with untouched(tmp_path):
        result = train(trace, tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "holds a training with another world" in result.stderr


# Problems of a run.
