"""Limits that can be changed while a device serves: a small JSON file, read once a period."""

import math
from pathlib import Path
from typing import Any

from envs.errors import ObjectiveError
from envs.files import parse_json, read_small
from envs.spec import Objective

KEYS = ("p99_ms", "power_w", "min_agreement")


class Limits:
    """The limits of now.

    Args:
        given: from the command line; what the file does not name stays as given.
        names: of the tenants.
        has_power: True if power is measured; a limit on it is refused otherwise.
        path: of a file such as `{"p99_ms": 20, "power_w": 15, "min_agreement": 0.99}`, where
            `p99_ms` may be a list, or an object with a number for each tenant. It need not exist
            yet; None for no file.

    Attributes:
        objective: the limits.

    Raises:
        ObjectiveError: the limits cannot be kept, or the file cannot be read.
    """

    def __init__(
        self,
        given: dict[str, Any],
        names: tuple[str, ...],
        has_power: bool,
        path: Path | None = None,
    ) -> None:
        self._given = given
        self._names = names
        self._has_power = has_power
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self.objective = self._read(given)
        self.refresh()  # what is wrong at the start is an error at the start

    def refresh(self) -> bool:
        """Read the file if it changed, and return True if the limits are others than before.

        Raises:
            ObjectiveError: the file cannot be used, raised once for each version of it; the limits
                stay as they are.
        """
        if self._path is None:
            return False
        try:
            status = self._path.stat()
        except OSError:
            return False
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before, wanted = self.objective, self._given | self._content(self._path)
        try:
            self.objective = self._read(wanted)
        except ObjectiveError as error:
            raise ObjectiveError(f"{self._path}: {error}") from None
        return self.objective != before

    def _content(self, path: Path) -> dict[str, Any]:
        try:
            data = parse_json(read_small(path))
        except (OSError, ValueError) as error:
            raise ObjectiveError(
                f"{path} cannot be read as JSON ({error}): the limits stay as they are"
            ) from error
        unknown = sorted(set(data) - set(KEYS)) if isinstance(data, dict) else ["(no object)"]
        if unknown:
            raise ObjectiveError(
                f"{path} has {unknown[0]!r:.80}, which is no limit: give {', '.join(KEYS)}; "
                "the limits stay as they are"
            )
        return dict(data)

    def _read(self, data: dict[str, Any]) -> Objective:
        p99 = data.get("p99_ms")
        if isinstance(p99, dict):
            wrong = sorted(set(p99) - set(self._names))
            if wrong:
                raise ObjectiveError(
                    f"p99_ms names {wrong[0]!r:.80}, which is no tenant: "
                    f"there are {', '.join(self._names)}"
                )
            p99 = [p99.get(name, math.inf) for name in self._names]
        objective = Objective.from_dict(data | {"p99_ms": p99}, len(self._names))
        objective.check_measurable(self._has_power, "no power sensor works here")
        return objective
