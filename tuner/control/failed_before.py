"""Remember the failures of the process before this one, so that restarts are no loop."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from envs.files import parse_json, read_small, replacing
from envs.spec import ConfigurationSpace
from tuner.control.offer import Pair

FILE = "failed_before.json"
MAX_BYTES = 1 << 20

#: A process that could measure nothing starts anew so often, until one of them can. Assumed: once
#: for a new CUDA context, without what had failed, and once more for what fails only then.
MOST_RESTARTS = 2


@dataclass
class FailedBefore:
    """The file, and what is in it.

    Attributes:
        restarts: processes in a row that started anew because nothing could be measured.
        dropped: why pairs (tenant, accelerator) were no choice in the last of them.
    """

    path: Path
    names: tuple[tuple[str, ...], tuple[str, ...]]
    restarts: int = 0
    dropped: dict[Pair, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, space: ConfigurationSpace) -> FailedBefore:
        """Read the file of a folder; one that is damaged or of other networks counts as none."""
        names = space.workload.names, space.device.accelerator_names
        found = cls(folder / FILE, names)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data = parse_json(read_small(found.path, MAX_BYTES))
            tenants, accelerators = names
            dropped = {
                (tenants.index(tenant), accelerators.index(used)): str(reason)
                for tenant, used, reason in data["dropped"]
            }
            restarts = data["restarts"]
            if type(restarts) is int and 0 <= restarts <= 1_000 and data["tenants"] == [*tenants]:
                found.restarts, found.dropped = restarts, dropped
        return found

    @property
    def may_restart(self) -> bool:
        """Return True if another process is worth a try."""
        return self.restarts < MOST_RESTARTS

    def starting_anew(self, dropped: dict[Pair, str]) -> None:
        """Remember one more restart, and what is no choice.

        Raises:
            StorageError: it cannot be written.
        """
        tenants, accelerators = self.names
        rows = [[tenants[t], accelerators[a], reason] for (t, a), reason in dropped.items()]
        data = {"restarts": self.restarts + 1, "tenants": [*tenants], "dropped": rows}
        with replacing(self.path, "a restart will not know what failed") as file:
            file.write(json.dumps(data).encode())

    def forget(self) -> None:
        """Remove the file: something was measured on what should serve."""
        self.restarts = 0
        self.dropped = {}
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
