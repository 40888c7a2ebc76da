"""The process that speaks with the service of jetson-stats: writes one JSON line a sample. `python -m envs.telemetry.jtop_client 0.5`"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from envs.errors import DependencyError
from envs.optional import optional_import
from envs.telemetry.board import OFFLINE_C, place_name

Told = Mapping[str, Any]


def main(interval_s: float) -> int:
    """Write samples until nobody reads them; a complaint, and 1, if the service cannot be used."""
    try:
        client = optional_import("jtop", "jtop")
    except DependencyError as error:
        return complain(str(error))
    try:
        with client.jtop(interval=interval_s) as board:
            if (
                board.interval > 2 * interval_s
            ):  # the client gives up after three intervals of its own
                return complain(
                    f"another client runs the service at {board.interval:g} s, {interval_s:g} s is wanted: end that client, or choose another sensor"
                )
            told = None
            while board.ok():
                # Where the service does not say anything new in time, its client gives the last sample once more.
                if board.uptime != told:
                    told = board.uptime
                    tell(
                        {
                            "rails_mw": rails_mw(board.power),
                            "temperatures_c": temperatures_c(board.temperature),
                            "clocks_mhz": clocks_mhz(board),
                        }
                    )
        return complain(
            "the service has stopped answering: restart it with `sudo systemctl restart jtop.service`"
        )
    except (client.JtopException, OSError, EOFError) as error:
        return complain(advice(" ".join(str(error).split()) or type(error).__name__))


def tell(what: Told) -> None:
    """One line; ends the process if nobody listens any more."""
    try:
        print(json.dumps(what), flush=True)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or the interpreter complains while it flushes
        sys.exit(0)


def complain(why: str) -> int:
    tell({"error": why})
    return 1


def advice(why: str) -> str:
    """One sentence from what the client says; each of its complaints is about the same service."""
    if "Mismatch version" in why:
        return f"{why.split('. Please')[0]}: install the version of the service, `pip install jetson-stats==VERSION`"
    if "access" in why or "Permission denied" in why:
        return "this user may not speak with the service: `sudo usermod -aG jtop $USER`, and log in again"
    if "not active" in why:
        return "the service is down: start it with `sudo systemctl start jtop.service`"
    return f"{why.rstrip('.')}: restart the service with `sudo systemctl restart jtop.service`"


def rails_mw(power: Told) -> dict[str, float]:
    """Each rail; an input rail is taken from where the client has moved it, a sum that it made is not taken at all."""
    rails = {name: rail["power"] for name, rail in power.get("rail", {}).items() if "power" in rail}
    total = power.get("tot", {})
    return rails | ({total["name"]: total["power"]} if "name" in total else {})


def temperatures_c(places: Told) -> dict[str, float]:
    return {
        place_name(name): place["temp"]
        for name, place in places.items()
        if place.get("online", True) and place["temp"] > OFFLINE_C
    }


def clocks_mhz(board: Any) -> dict[str, float]:
    """Of the GPU, the memory and the DLAs, where the service tells them (in kHz)."""
    integrated = [
        gpu["freq"]
        for gpu in board.gpu.values()
        if gpu.get("type") == "integrated" and "freq" in gpu
    ]
    told: dict[str, Told] = {
        "gpu": integrated[0] if integrated else {},
        "emc": board.memory.get("EMC", {}),
    }
    for core in ("DLA0", "DLA1"):
        told[core.lower()] = dict(board.engine.get(core, {})).get(f"{core}_CORE", {})
    return {
        part: clock["cur"] / 1e3
        for part, clock in told.items()
        if clock.get("online", True) and "cur" in clock
    }


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
