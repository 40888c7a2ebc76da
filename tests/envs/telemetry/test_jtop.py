from __future__ import annotations

import multiprocessing
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.errors import SensorError
from envs.telemetry.board import BoardFiles
from envs.telemetry.jtop import JtopSensor, sample_of
from envs.telemetry.jtop_client import advice, rails_mw
from tests.envs.telemetry.jtop_service import JtopService, needs_client


@pytest.fixture
def service() -> Iterator[JtopService]:
    needs_client()
    service = JtopService()
    yield service
    service.stop()


def test_samples_of_the_service(service: JtopService) -> None:
    sensor = JtopSensor(service.root, 0.1, service.client)
    samples = [sensor.read() for _ in range(4)]
    sensor.close()
    assert sensor.has_power
    assert {round(sample.rails_w["VDD_GPU_SOC"], 3) for sample in samples} == {3.192, 3.591, 3.99}
    sample = samples[-1]
    assert sample.total_w == pytest.approx(sample.rails_w["VDD_GPU_SOC"] + 14.365 + 4.939), (
        "without VDDQ, which VIN_SYS_5V0 feeds"
    )
    assert sample.temperatures_c == {"cpu": 76.5, "tj": 77.281}
    assert sample.clocks_mhz == {"gpu": 407.0, "emc": 2133.0, "dla0": 1600.0}
    assert sample.throttle_events == {"oc1": 0, "oc2": 15, "oc3": 37}


def test_the_start_method_of_this_process_stays(service: JtopService) -> None:
    """Importing the client sets `fork`, and a child forked under CUDA cannot use the GPU."""
    before = multiprocessing.get_start_method(allow_none=True)
    sensor = JtopSensor(service.root, 0.1, service.client)
    sensor.read()
    sensor.close()
    assert multiprocessing.get_start_method(allow_none=True) == before
    assert "jtop" not in sys.modules


def test_a_service_that_dies(service: JtopService) -> None:
    sensor = JtopSensor(service.root, 0.1, service.client)
    service.process.kill()
    with pytest.raises(SensorError) as error:
        [sensor.read() for _ in range(3)]
    sensor.close()
    assert str(error.value).startswith("jtop: ")
    assert "restart the service with `sudo systemctl restart jtop.service`" in str(error.value)


def test_a_service_that_stands_still_is_an_error(service: JtopService) -> None:
    sensor = JtopSensor(service.root, 0.1, service.client)
    service.process.send_signal(signal.SIGSTOP)
    with pytest.raises(SensorError, match="jtop: the service has stopped answering"):
        [sensor.read() for _ in range(3)]
    sensor.close()
    service.process.send_signal(signal.SIGCONT)


def test_a_service_of_another_version() -> None:
    needs_client()
    service = JtopService("4.2.7")
    try:
        with pytest.raises(SensorError) as error:
            JtopSensor(service.root, 0.1, service.client)
    finally:
        service.stop()
    assert "Mismatch version jtop service: [4.2.7] and client: " in str(error.value)
    assert "pip install jetson-stats==VERSION" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_service_that_another_client_slowed_down() -> None:
    needs_client()
    service = JtopService(interval="5")
    try:
        with pytest.raises(
            SensorError, match=r"another client runs the service at 5 s, 0\.1 s is wanted"
        ):
            JtopSensor(service.root, 0.1, service.client)
    finally:
        service.stop()


def test_a_service_that_has_left_its_socket_behind() -> None:
    needs_client()
    service = JtopService()
    service.process.kill()
    service.process.wait()
    try:
        with pytest.raises(
            SensorError, match="jtop: the service is down: start it with `sudo systemctl start"
        ):
            JtopSensor(service.root, 0.1, service.client)
    finally:
        service.stop()


def test_no_service(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=r"jtop: the service is down .*jtop\.sock is missing"):
        JtopSensor(tmp_path)


def test_without_the_package_the_extra_is_named() -> None:
    """The socket exists, as in a container with the socket of its host."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        (Path(folder) / "run").mkdir()
        listener.bind(f"{folder}/run/jtop.sock")
        hidden = [
            sys.executable,
            "-c",
            "import sys; sys.modules['jtop'] = None; "
            "from envs.telemetry.jtop_client import main; sys.exit(main(1.0))",
        ]
        with pytest.raises(
            SensorError, match=r"jtop: jtop is not installed: pip install 'orin-tuner\[jtop\]'"
        ):
            JtopSensor(Path(folder), client=hidden)


@pytest.mark.parametrize(
    ("error", "advised"),
    [
        (
            "The jtop.service is not active. Please run: sudo jtop --install-service",
            "sudo systemctl start jtop.service",
        ),
        (
            "I can't access jtop.service. Please logout or reboot this board.",
            "sudo usermod -aG jtop",
        ),
        (
            "Mismatch version jtop service: [4.5.4] and client: [4.3.2]. "
            "Please run: sudo systemctl restart jtop.service",
            "[4.5.4] and client: [4.3.2]: install",
        ),
        ("Lost connection with jtop server", "sudo systemctl restart jtop.service"),
    ],
)
def test_each_error_becomes_one_sentence_with_advice(error: str, advised: str) -> None:
    """The errors are those of jetson-stats 4.3 and 7.2."""
    assert advised in advice(error)
    assert "Please" not in advice(error)


def test_an_input_rail_is_found_where_the_client_moved_it() -> None:
    """On an Orin NX the client moves VDD_IN from the rails to its total."""
    power = {"rail": {"VDD_SOC": {"power": 1403}}, "tot": {"name": "VDD_IN", "power": 4988}}
    assert rails_mw(power) == {"VDD_SOC": 1403, "VDD_IN": 4988}
    assert rails_mw({}) == {}


@pytest.mark.parametrize(
    "line", ["", "Traceback", "[1]", '{"rails_mw": 5}', '{"rails_mw": {"VDD_IN": "x"}}']
)
def test_lines_that_are_not_samples_are_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="which is not a sample"):
        sample_of(line, 0.0, BoardFiles(tmp_path))


def test_the_client_ends_when_nobody_listens(service: JtopService) -> None:
    """That is the case when the main process was killed."""
    client = subprocess.Popen(
        [*service.client, "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert client.stdout is not None
    assert client.stderr is not None
    client.stdout.readline()
    client.stdout.close()
    assert client.wait(60) == 0
    assert client.stderr.read() == b""
    client.stderr.close()
