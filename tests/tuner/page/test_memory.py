"""Ten thousand periods in the process of the page, with somebody who looks."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from envs.spec import Configuration
from tests.tuner.page.serving import TOKEN
from tests.tuner.watching.journals import WORLD, event, period

#: Starts the process as `tuner.page.beside` does, with a clock that runs faster.
PROGRAM = """
import sys
from tuner.page import hub
hub.POLL_S = 0.02
from tuner.page.process import main
main(sys.argv[1:])
"""


def resident_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


def test_ten_thousand_periods_stay_small_in_the_process_of_the_page(tmp_path: Path) -> None:
    rows = [Configuration.of(each) for each in WORLD.catalogue[1:80]]
    lines = [
        period(1, configuration=each, events=[event("something happened")]).as_dict(WORLD)
        for each in rows
    ]
    listener = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    settings = {"address": "127.0.0.1", "token": TOKEN, "limits": str(tmp_path / "limits")}
    ours.send(json.dumps(settings).encode())
    numbers = (listener.fileno(), theirs.fileno())
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, numbers)], pass_fds=numbers
    )
    theirs.close()
    viewer = socket.create_connection(listener.getsockname())
    listener.close()
    viewer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    drawn = threading.Event()

    def look() -> None:
        while viewer.recv(1 << 20):
            drawn.set()

    reader = threading.Thread(target=look)
    reader.start()

    def send(first: int, last: int) -> int:
        """Hand over periods as fast as they are drawn; return the most memory ever held."""
        for number in range(first, last):
            if number % 100 == 0:
                assert drawn.wait(60), "of the hundred before, something is drawn"
                drawn.clear()
            data = lines[number % len(lines)] | {"period": number, "uptime_s": 3.0 * number}
            ours.send(json.dumps(data).encode())
        return resident_bytes(process.pid)

    at_first = send(1, 200)
    at_last = send(200, 10_001)
    ours.close()
    process.wait()
    reader.join()
    viewer.close()
    assert at_last - at_first < 12e6, "3 MB, measured"
    assert at_last < 70e6, "55 MB, measured: Python, NumPy, the server and all that is kept"
