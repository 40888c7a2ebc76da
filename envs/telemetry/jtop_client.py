"""Speak with the service of jetson-stats and write one JSON line per sample.

It runs as a process of its own: `python -m envs.telemetry.jtop_client 0.5`.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from envs.errors import DependencyError
from envs.optional import optional_import
from envs.telemetry.board import OFFLINE_C, zone_name

Fields = Mapping[str, Any]


def main(interval_s: float) -> int:
    """Write samples until nobody reads them.

    Returns:
        1 after writing an error, if the service cannot be used.
    """
    try:
        client = optional_import("jtop", "jtop")
    except DependencyError as error:
        return _write_error(str(error))
    try:
        with client.jtop(interval=interval_s) as board:
            # The client gives up after three intervals of its own.
            if board.interval > 2 * interval_s:
                return _write_error(
                    f"another client runs the service at {board.interval:g} s, "
                    f"{interval_s:g} s is wanted: end that client, or choose another sensor"
                )
            uptime = None
            while board.ok():
                # The client repeats its last sample if the service sends no new one in time.
                if board.uptime != uptime:
                    uptime = board.uptime
                    _write(
                        {
                            "rails_mw": rails_mw(board.power),
                            "temperatures_c": temperatures_c(board.temperature),
                            "clocks_mhz": clocks_mhz(board),
                        }
                    )
        return _write_error(
            "the service has stopped answering: "
            "restart it with `sudo systemctl restart jtop.service`"
        )
    except (client.JtopException, OSError, EOFError) as error:
        return _write_error(advice(" ".join(str(error).split()) or type(error).__name__))


def _write(fields: Fields) -> None:
    try:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise the interpreter reports an error when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _write_error(reason: str) -> int:
    _write({"error": reason})
    return 1


def advice(reason: str) -> str:
    """Return one sentence with what to do about an error of the client."""
    if "Mismatch version" in reason:
        return (
            f"{reason.split('. Please')[0]}: "
            "install the version of the service, `pip install jetson-stats==VERSION`"
        )
    if "access" in reason or "Permission denied" in reason:
        return (
            "this user may not speak with the service: "
            "`sudo usermod -aG jtop $USER`, and log in again"
        )
    if "not active" in reason:
        return "the service is down: start it with `sudo systemctl start jtop.service`"
    return f"{reason.rstrip('.')}: restart the service with `sudo systemctl restart jtop.service`"


def rails_mw(power: Fields) -> dict[str, float]:
    """Return the power of each rail.

    The client moves an input rail to its total, from where it is taken; a total that the client
    computed has no name and is left out.
    """
    rails = {name: rail["power"] for name, rail in power.get("rail", {}).items() if "power" in rail}
    total = power.get("tot", {})
    return rails | ({total["name"]: total["power"]} if "name" in total else {})


def temperatures_c(zones: Fields) -> dict[str, float]:
    """Return the temperatures of the thermal zones that are on, by name."""
    return {
        zone_name(name): zone["temp"]
        for name, zone in zones.items()
        if zone.get("online", True) and zone["temp"] > OFFLINE_C
    }


def clocks_mhz(board: Any) -> dict[str, float]:
    """Return the clocks of the GPU, the memory and the DLAs; the service has them in kHz."""
    integrated = [
        gpu["freq"]
        for gpu in board.gpu.values()
        if gpu.get("type") == "integrated" and "freq" in gpu
    ]
    clocks: dict[str, Fields] = {
        "gpu": integrated[0] if integrated else {},
        "emc": board.memory.get("EMC", {}),
    }
    for core in ("DLA0", "DLA1"):
        clocks[core.lower()] = dict(board.engine.get(core, {})).get(f"{core}_CORE", {})
    return {
        part: clock["cur"] / 1e3
        for part, clock in clocks.items()
        if clock.get("online", True) and "cur" in clock
    }


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
