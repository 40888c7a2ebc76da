"""The command that serves, as a process: signals, clients, and the samples it keeps."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands import call
from tests.tuner.kept_places import places
from tuner.control import service

pytestmark = pytest.mark.usefixtures("session_cache")


#: One configuration alone, so that nothing is quantised.
ONE = ("--accelerators", "cpu_fp32", "--max-instances", 1, "--batches", 1)


def test_the_service_needs_no_training_stack_tells_systemd_and_ends_on_sigterm(
    small_onnx: Path, tmp_path: Path
) -> None:
    """The real command, live: requests come from a program of the user's own."""
    (tmp_path / "app.py").write_text(
        "import sys, time\n"
        "import numpy as np\n"
        "def main(submit):\n"
        "    names = ('torch', 'hydra', 'stable_baselines3', 'envs.runtimes.tensorrt')\n"
        "    heavy = [name for name in names if name in sys.modules]\n"
        "    print('heavy', heavy, file=sys.stderr, flush=True)\n"
        "    while True:\n"
        "        submit(0, np.zeros((3, 48, 48), np.float32)).result()\n"
        "        time.sleep(0.02)\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        command = [
            *(
                sys.executable,
                "-m",
                "tuner.deploy",
                "--network",
                str(small_onnx),
                "--p99-ms",
                "500",
                "--client",
                "app:main",
                "--rate-ips",
                "40",
            ),
            *(
                "--period-s",
                "0.5",
                "--batches",
                "1",
                "--max-instances",
                "1",
                "--journal",
                str(tmp_path / "journal.jsonl"),
                *places(tmp_path),
            ),
        ]
        environment = os.environ | {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}",
        }
        with subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert systemd.recv(100) == b"READY=1"
            for _ in range(3):
                assert systemd.recv(100) == b"WATCHDOG=1"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert process.stderr is not None
            assert "heavy []" in process.stderr.read()
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert sum(line["tenants"]["small"]["requests"] for line in lines) > 5
    assert lines[-1]["origin"] == "measured"


CLIENTS = """
import time

import numpy as np


def raises(submit):
    submit("small", np.zeros((3, 48, 48), np.float32)).result()
    raise ValueError("camera 0 cannot be opened")


def wrong_shape(submit):
    submit("small", np.zeros((3, 8, 8), np.float32)).result()


def ends(submit):
    return None


def exits(submit):
    raise SystemExit(3)
"""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("raises", "ValueError: camera 0 cannot be opened (FILE:9)"),
        (
            "wrong_shape",
            "RuntimeFault: submit: input of small must be float32 [3, 48, 48] (one sample, no batch"
            " dimension), not float32 [3, 8, 8] (FILE:13)",
        ),
        ("ends", "it returned"),
        ("exits", "SystemExit: 3 (FILE:21)"),
    ],
)
def test_a_client_that_ends_ends_the_service_and_its_last_words_are_kept(
    function: str, words: str, small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, journal = tmp_path / f"clients_{function}.py", tmp_path / "journal.jsonl"
    program.write_text(CLIENTS)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"clients_{function}:{function}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setattr(service, "BEGINS_S", 60.0)  # a busy computer needs more than a moment
        result = call(
            *("deploy", "--network", small_onnx, "--p99-ms", 500, "--rate-ips", 40, *ONE),
            *("--client", name, "--journal", journal, "--period-s", 0.3, "--periods", 40),
            *places(tmp_path),
        )
        with pytest.raises(BlockingIOError):
            systemd.recv(100)  # nothing was promised, for the client never began
    said = f"{name} ended: {words.replace('FILE', str(program))}"
    assert result.returncode == 4
    assert result.stderr == (
        f"error: the client {said}; nothing brings requests, so the service stops\n"
    )
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(lines) == 1
    assert lines[-1]["events"][-1] == {"kind": "client_ended", "text": said}


SENDER = """
import numpy as np


def main(submit):
    image, futures = np.zeros((3, 48, 48), np.float32), []
    for number in range(1, 101):
        image[:] = number
        submit("small", image).result()
    raise SystemExit("all sent")
"""


def test_requests_that_were_really_served_are_kept_as_samples(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sender.py").write_text(SENDER)
    monkeypatch.syspath_prepend(tmp_path)
    kept = tmp_path / "samples.npz"
    result = call(
        *("deploy", "--network", small_onnx, "--p99-ms", 500, "--rate-ips", 40, *ONE),
        *("--client", "sender:main", "--keep-samples", 30, kept, "--journal", tmp_path / "j"),
        *("--period-s", 0.5, "--periods", 100, *places(tmp_path)),
    )
    assert result.returncode == 4, result.stderr
    assert f"kept 30 of 100 answered requests in {kept}\n" in result.stderr
    with np.load(kept, allow_pickle=False) as found:
        [(_, images)] = found.items()
    assert images.shape == (30, 3, 48, 48)
    numbers = images[:, 0, 0, 0]
    assert len(set(numbers.tolist())) == 30
    assert set(numbers.tolist()) <= set(range(1, 101))
    assert (images == numbers[:, None, None, None]).all()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--keep-samples", "5", "FOLDER/s.npz"), "needs --client: load that is generated here"),
        (("--keep-samples", "0", "FOLDER/s.npz"), "give a whole number above zero"),
        (("--keep-samples", "5", "FOLDER/s.npy"), "and a file .npz"),
        (("--keep-samples", "5"), "--keep-samples: expected 2 arguments"),
        (("--client", "json:dumps", "--keep-samples", "5", "FOLDER/no/s.npz"), "no folder FOLDER/"),
    ],
)
def test_what_cannot_be_kept_is_one_sentence(
    small_onnx: Path, tmp_path: Path, more: tuple[str, ...], sentence: str
) -> None:
    given = [each.replace("FOLDER", str(tmp_path)) for each in more]
    result = call(
        *("deploy", "--network", small_onnx, "--rate-ips", 40, *given, *ONE, *places(tmp_path))
    )
    assert result.returncode == 2
    assert sentence.replace("FOLDER", str(tmp_path)) in result.stderr
    assert result.stderr.count("\n") == 1
