"""What outlives the process: the last configuration that kept the limits, so that a restart serves it at once."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from envs.configuration import Configuration, ConfigurationSpace
from envs.errors import StorageError

FILE = "last_good.json"


class LastGood:
    """One small file, replaced in one step; what is damaged, or of another device, network or space, is not used."""

    def __init__(self, folder: Path, space: ConfigurationSpace) -> None:
        self._path = folder / FILE
        data = space.to_dict()
        for tenant in data["workload"]["tenants"]:
            tenant.pop("rate_ips"), tenant.pop("weight")
        self._space = json.loads(json.dumps(data))
        self._kept: Configuration | None = None

    def load(self) -> Configuration | None:
        """The configuration, None where there is none for this space."""
        try:
            data = json.loads(self._path.read_text())
            if data["space"] != self._space:
                return None
            self._kept = Configuration.of(data["placements"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self._kept

    def keep(self, configuration: Configuration) -> None:
        """StorageError if it cannot be written; what was kept before is untouched then."""
        if configuration == self._kept:
            return
        beside = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("w") as file:
                json.dump({"space": self._space, "placements": configuration.array().tolist()}, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise StorageError(f"{self._path} cannot be written ({error.strerror or error}): a restart will not find the last good configuration") from error
        self._kept = configuration
