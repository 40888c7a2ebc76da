"""A stand-in for trtexec, and how to run the script of an export with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Stands in for trtexec: prints its version, writes its arguments, NUL-separated, and makes the
#: plan.
RECORDER = f"""#!{sys.executable}
import os, sys
print("&&&& RUNNING TensorRT.trtexec [TensorRT v" + os.environ["VERSION"] + "] # trtexec")
if sys.argv[1:] == ["--help"]:
    sys.exit()
with open(os.environ["RECORD"], "ab") as file:
    file.write(b"\\0".join(map(os.fsencode, sys.argv[1:])) + b"\\0\\0")
[plan] = [each.partition("=")[2] for each in sys.argv if each.startswith("--saveEngine=")]
open(plan, "w").close()
"""


def run(
    folder: Path, environment: dict[str, str] | None = None, version: str = "100300"
) -> list[list[str]]:
    """Return the arguments that the script's trtexec was given, call by call."""
    told, record = start(folder, environment, version)
    assert told.returncode == 0, told.stderr
    return [call.decode().split("\0") for call in record.read_bytes().split(b"\0\0")[:-1]]


def start(
    folder: Path, environment: dict[str, str] | None, version: str
) -> tuple[subprocess.CompletedProcess[bytes], Path]:
    """Run the script with a trtexec of this version; return how it ended, and the record."""
    recorder, record = folder.parent / "recorder", folder.parent / "record"
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)
    record.unlink(missing_ok=True)
    environment = {
        "PATH": "/usr/bin:/bin",
        "TRTEXEC": str(recorder),
        "RECORD": str(record),
        "VERSION": version,
    } | (environment or {})
    told = subprocess.run(
        [folder / "build.sh"], cwd="/", env=environment, capture_output=True, timeout=600
    )
    return told, record
