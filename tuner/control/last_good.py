"""The last configuration that kept the limits: a file, so that a restart serves it at once."""

import json
from pathlib import Path

import numpy as np

from envs.errors import ConfigurationError
from envs.files import parse_json, read_small, replacing
from envs.spec import Configuration, ConfigurationSpace
from envs.spec.hardware import lasting
from envs.spec.some_tenants import APART

FILE = "last_good.json"

#: The space of many tenants, with their networks described, fills some kilobytes.
MAX_BYTES = 16 << 20


class LastGood:
    """One small file, replaced in one step.

    A file that is damaged, or that belongs to another device, network or space, is not used.
    """

    def __init__(self, folder: Path, space: ConfigurationSpace) -> None:
        self._path = folder / FILE
        self._space = space
        data = lasting(space.to_dict())
        for what_is_ready in APART:  # which is another at each start
            data.pop(what_is_ready, None)
        for tenant in data["workload"]["tenants"]:
            tenant.pop("rate_ips"), tenant.pop("weight")
        self._identity = json.loads(json.dumps(data))
        self._kept: Configuration | None = None

    def load(self) -> Configuration | None:
        """Return the configuration; None if there is none for this space."""
        try:
            data = parse_json(read_small(self._path, MAX_BYTES))
            placements = np.asarray(data["placements"])
            if data["space"] != self._identity or placements.dtype.kind != "i":
                return None
            kept = Configuration.of(placements)
            self._space.check(kept)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, ConfigurationError):
            return None
        self._kept = kept
        return kept

    def move(self, folder: Path) -> None:
        """Keep it in another folder from now on."""
        self._path, self._kept = folder / FILE, None

    def keep(self, configuration: Configuration) -> None:
        """Write the configuration, if it is another one than before.

        Raises:
            StorageError: it cannot be written; the file is untouched then.
        """
        if configuration == self._kept:
            return
        data = {"space": self._identity, "placements": configuration.array().tolist()}
        with replacing(self._path, "a restart will not find this configuration") as file:
            file.write(json.dumps(data).encode())
        self._kept = configuration
