"""Say what the stand-ins refuse, and where: tests change it at any time.

The texts are those that the libraries really print, each with its source.
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: NVIDIA/TensorRT issue 3567.
NO_SUBMIT = (
    "[cudlaUtils.cpp::submit::95] Error Code 1: DLA (Failed to submit program to DLA engine.)"
)
#: NVIDIA/TensorRT issue 2252, in the form of that line.
NO_LOADABLE = "[dlaUtils.cpp::deserialize::171] Error Code 1: DLA (Failure to load program.)"
#: The form of TensorRT 10 (yuvraj108c/ComfyUI-Dwpose-Tensorrt issue 5).
OTHER_RELEASE = (
    "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion"
    " stdVersionRead =="
    " kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current Version: 239,"
    " Serialized Engine Version: 236)"
)
#: CUDA_ERROR_ILLEGAL_ADDRESS (NVIDIA/TensorRT issue 1469): every later call of the process gets it
#: too (CUDA driver API).
ILLEGAL = "an illegal memory access was encountered"
#: As pycuda prints it after the name of the call (inducer/pycuda issue 106).
NO_MEMORY = "out of memory"


@dataclass
class Faults:
    """What fails; as it is made, nothing does.

    A place is `gpu`, `dla0` or `dla1`; `dla` stands for both cores.

    Attributes:
        after: a file; nothing fails while there is none. Empty: everything fails at once.
        log: a file that gets a line of JSON for each build and each failure; empty for none.
        times: how often a context or a submission is refused before it works again.
        context: places on which no execution context can be made.
        submit: places that refuse every batch.
        memory_pieces: live pieces of device memory at which memory ends; a lane of a network with
            one input and one output has three.
        memory_ends: who notices it: `mem_alloc`, `pagelocked` or `context`.
        build: what becomes of a build: `fail`, `raise`, `hang` or `kill`; empty for an engine.
        build_on: places whose engines are hit.
        build_s: how long a build takes.
        release: of the software that builds and loads plans; it refuses plans of others.
        sticky: True if a batch breaks the GPU, and every later call of this process with it.
        no_gpu: True if the driver finds no GPU.
        import_error: why TensorRT cannot be imported; empty if it can.
    """

    after: str = ""
    log: str = ""
    times: float = math.inf
    context: tuple[str, ...] = ()
    submit: tuple[str, ...] = ()
    memory_pieces: float = math.inf
    memory_ends: str = "mem_alloc"
    build: str = ""
    build_on: tuple[str, ...] = ("gpu", "dla")
    build_s: float = 0.0
    release: str = ""
    sticky: bool = False
    no_gpu: bool = False
    import_error: str = ""
    broken: bool = field(default=False, repr=False)
    released: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def on(self) -> bool:
        """Return True if things fail by now."""
        return not self.after or os.path.exists(self.after)

    def refuses(self, step: str, place: str) -> bool:
        """Return True if `context` or `submit` fails on a place now, which takes one of `times`."""
        if not _among(place, getattr(self, step)) or self.times <= 0 or not self.on:
            return False
        self.times -= 1
        self.note(step, place)
        return True

    def memory_ended(self, call: str, live: int) -> bool:
        """Return True if a call finds no memory beside `live` pieces of it."""
        # The context is the last part of a lane: the pieces of its own lane are there already.
        ended = live > self.memory_pieces if call == "context" else live >= self.memory_pieces
        if not ended or call != self.memory_ends or not self.on:
            return False
        self.note("memory", call)
        return True

    def breaks(self) -> bool:
        """Return True if the GPU is broken, or breaks with this batch."""
        if self.sticky and not self.broken and self.on:
            self.broken = True
            self.note("sticky", "gpu")
        return self.broken

    def builds(self, place: str, monitor: Any) -> str:
        """Let time pass for a build; return why it fails, or an empty string.

        Raises:
            RuntimeError: the builder raises, as pybind11 does for errors inside TensorRT.
        """
        fault = self.build if _among(place, self.build_on) and self.on else ""
        self.note("build", place)
        if fault == "kill":
            time.sleep(self.build_s / 2)
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "raise":
            raise RuntimeError("std::bad_alloc")
        if fault == "fail":
            return "[builder.cpp::buildSerializedNetwork::620] Error Code 2: Internal Error"
        ends_s = math.inf if fault == "hang" else time.monotonic() + self.build_s
        return "" if self._lets_pass(ends_s, monitor) else "the build was cancelled"

    def note(self, what: str, where: str) -> None:
        """Write a line into the log."""
        if self.log:
            with Path(self.log).open("a", encoding="utf-8") as file:
                line = {"what": what, "where": where, "time_s": time.time(), "pid": os.getpid()}
                file.write(json.dumps(line) + "\n")

    def _lets_pass(self, ends_s: float, monitor: Any) -> bool:
        """Wait until a time; False if the progress monitor ends the build before."""
        steps = 2
        if monitor is not None:
            monitor.phase_start("Building Engine", "", steps)
        position, going = 0, True
        while going and (position < steps or time.monotonic() < ends_s):
            if self.released.wait(min(0.02, max(0.0, ends_s - time.monotonic()))):
                ends_s = 0.0
            if monitor is not None:
                going = bool(monitor.step_complete("Building Engine", min(position, steps - 1)))
            position += 1
        if monitor is not None:
            monitor.phase_finish("Building Engine")
        return going


def faults_of(given: dict[str, Any]) -> Faults:
    """Return the faults that data from JSON describe."""
    return Faults(**{key: tuple(v) if isinstance(v, list) else v for key, v in given.items()})


def _among(place: str, places: tuple[str, ...]) -> bool:
    return any(place.startswith(each) for each in places)
