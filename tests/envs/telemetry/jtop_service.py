"""A small service that speaks the protocol of jtop with the real client of jetson-stats.

The protocol is a manager of Python's multiprocessing behind a socket, with three shared objects: a
queue of control messages, a dict of data, and an event that says that the data is new. A client
asks for an interval and receives a description of the board; here an AGX Orin as in `trees`.

Run as `python -m tests.envs.telemetry.jtop_service SOCKET VERSION INTERVAL`: VERSION is the version
that it reports, empty for the client's own; INTERVAL is that of an earlier client, empty for none.
"""

from __future__ import annotations

import importlib.util
import math
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from envs.telemetry.jtop import JtopSensor
from tests.envs.telemetry import trees

#: The real client with another path of the socket, which the client fixes below /run.
CLIENT = """
import sys, jtop.service
jtop.service.JTOP_PIPE = sys.argv[1]
from envs.telemetry.jtop_client import main
sys.exit(main(float(sys.argv[2])))
"""


def rail(millivolts: int, milliamperes: int) -> dict[str, Any]:
    milliwatts = millivolts * milliamperes // 1000
    return {
        "type": "I2C",
        "volt": millivolts,
        "curr": milliamperes,
        "power": milliwatts,
        "avg": 9999,
        "online": True,
        "warn": 32760,
        "crit": 32760,
    }


def power(position: int) -> dict[str, Any]:
    """Return rails whose GPU current changes; jtop's own total counts the last rail twice."""
    rails = {
        "VDD_GPU_SOC": rail(19952, 160 + 20 * (position % 3)),
        "VDD_CPU_CV": rail(19952, 720),
        "VIN_SYS_5V0": rail(5040, 980),
        "VDDQ_VDD2_1V8AO": rail(4960, 220),
    }
    return {
        "rail": rails,
        "tot": {"power": sum(each["power"] for each in rails.values()), "avg": 9999},
    }


def board(position: int) -> dict[str, Any]:
    """Return the data of one sample in the layout of jetson-stats 7.2."""
    clock = {
        "cur": 407_000,
        "min": 306_000,
        "max": 1_300_500,
        "governor": "nvhost_podgov",
        "GPC": [407_000, 407_000],
    }
    return {
        "uptime": 1000.0 + position,
        "cpu": {"total": {}, "cpu": []},
        "gpu": {"17000000.gpu": {"type": "integrated", "status": {"load": 14.0}, "freq": clock}},
        "mem": {
            "RAM": {"tot": 64_345_000, "used": 9_323_000},
            "SWAP": {"tot": 0, "used": 0},
            "EMC": {"cur": 2_133_000, "max": 3_199_000, "min": 204_000, "val": 1, "online": True},
        },
        "engines": {
            "DLA0": {"DLA0_CORE": {"online": True, "cur": 1_600_000}},
            "DLA1": {"DLA1_CORE": {"online": False, "cur": 0}},
        },
        "temperature": {
            "cpu": {"temp": 76.5, "online": True},
            "tj": {"temp": 77.281, "online": True},
            "cv0": {"temp": -256, "online": False},
        },
        "power": power(position),
        "fan": {},
        "processes": [],
    }


def serve(socket: str, version: str, interval: str) -> None:
    """Answer clients; produce a sample at the interval of the first client."""
    from multiprocessing.managers import SyncManager

    import jtop
    import jtop.service

    control: queue.Queue[Any] = queue.Queue()
    data: dict[str, Any] = {}
    renewed = threading.Event()

    class Service(SyncManager):
        pass

    Service.register("get_queue", callable=lambda: control)
    Service.register("sync_data", callable=lambda: data)
    Service.register("sync_event", callable=lambda: renewed)
    server = Service(address=socket, authkey=jtop.service.get_key().encode()).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    interval_s, position, due_s = 0.0, 0, math.inf  # nothing is read before a client asks
    while True:
        try:
            message = control.get(timeout=0.02)
        except queue.Empty:
            message = {}
        if "interval" in message:
            interval_s, due_s = float(interval or message["interval"]), 0.0
            told = {
                "version": version or jtop.__version__,
                "board": {"hardware": {}},
                "interval": interval_s,
                "memory": "",
                "fan": {},
                "jc": False,
            }
            control.put({"init": told})
            time.sleep(0.05)  # the client takes its answer from the queue in which it asked
        elif "init" in message:
            control.put(message)
            time.sleep(0.05)
        if time.perf_counter() >= due_s:
            due_s = time.perf_counter() + interval_s
            data.update(board(position))
            position += 1
            renewed.set()


class JtopService:
    """The service as a process, below a folder that is short enough for the name of a socket."""

    def __init__(self, version: str = "", interval: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="jtop")
        self.root = Path(self._folder.name)
        self.socket = self.root / "run/jtop.sock"
        self.socket.parent.mkdir()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.envs.telemetry.jtop_service",
                str(self.socket),
                version,
                interval,
            ]
        )
        deadline_s = time.perf_counter() + 60
        while not self.socket.exists() and time.perf_counter() < deadline_s:
            time.sleep(0.02)
        trees.alarms(self.root, "hwmon1", (0, 15, 37))

    @property
    def client(self) -> list[str]:
        return [sys.executable, "-c", CLIENT, str(self.socket)]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()


def needs_client() -> None:
    if importlib.util.find_spec("jtop") is None:
        pytest.skip("jetson-stats (AGPL-3.0) is not installed")


def jtop_sensor(root: Path, request: pytest.FixtureRequest) -> JtopSensor:
    """The real sensor with the real client before a service that runs until the test ends."""
    needs_client()
    service = JtopService()
    request.addfinalizer(service.stop)
    return JtopSensor(service.root, 0.1, service.client)


if __name__ == "__main__":
    serve(*sys.argv[1:])
