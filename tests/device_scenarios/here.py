"""Where a scenario runs: a folder in which everything that is said is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import TunerError
from envs.spec import Configuration
from tests.commands import CommandResult, call
from tests.standins.tensorrt import StandIns, stand_ins
from tuner.control.events import Event
from tuner.device import open_device

#: One small network, and one instance of batch 1 an accelerator.
ON_GPU = ("--runtime", "tensorrt", "--network", "my.onnx", "--p99-ms", "60000")
SMALL = ("--max-instances", "1", "--batches", "1")
PLACES = ("--folder", "kept", "--lock", "lock")
DRY = (*ON_GPU, *SMALL, *PLACES, "--dry-run")


@dataclass
class Here:
    """A folder with a network `my.onnx`, and what was said in it.

    Attributes:
        folder: the current one.
        patch: changes that end with the test.
        said: lines that were printed, logged, or are events.
    """

    folder: Path
    patch: pytest.MonkeyPatch
    said: list[str] = field(default_factory=list)

    def run(self, verb: str, *arguments: object) -> CommandResult:
        """Run a command, and keep what it says."""
        result = call(verb, *arguments)
        self.keep(result.stderr)
        self.keep(result.stdout)
        return result

    def keep(self, text: str) -> None:
        """Keep lines; of a line of the journal keep what it says to people."""
        for line in text.splitlines():
            self.said.append(line)
            if line.startswith("{"):
                period = json.loads(line)
                self.said += [f"{each['kind']}: {each['text']}" for each in period["events"]]
                self.said.append(f"{period.get('failure')}: {period.get('reason')}")

    def tell(self, *events: Event) -> None:
        """Keep events as the journal has them."""
        self.said += [f"{event.kind.value}: {event.text}" for event in events]

    def raised(self, task: Callable[[], Any]) -> None:
        """Keep the error of a task."""
        with pytest.raises(TunerError) as caught:
            task()
        self.said.append(str(caught.value))


def says(here: Here, message: str) -> bool:
    """Return True if a line that was said has this message in it."""
    pattern = re.escape(message).replace(r"\.\.\.", ".*")
    return any(re.search(pattern, line) for line in here.said)


def serve(here: Here, *more: object, periods: int = 6, change: Any = None, **made: Any) -> StandIns:
    """Serve on stand-ins for some periods; `change` gets the stand-ins before that."""
    with stand_ins(**made) as modules:
        if change:
            change(modules)
        given = (*ON_GPU, *SMALL, *PLACES, "--period-s", 0.5, "--periods", periods, *more)
        here.run("deploy", *given)
    return modules


def load_on(here: Here, accelerator: str) -> None:
    """Load one instance on an accelerator of stand-ins, and keep the remarks on it."""
    options = {"board": "agx_orin_64", "max_instances": 1, "batches": (1,)}
    with (
        stand_ins(),
        open_device("my.onnx", runtime="tensorrt", allow_uncalibrated=True, **options) as device,
    ):
        column = device.space.device.accelerator_names.index(accelerator)
        placements = np.zeros((*device.space.shape, 2), dtype=np.int16)
        placements[0, column] = (1, 1)
        device.runtime.apply(Configuration.of(placements))
        here.said += device.remarks()
