"""Limits that can be changed while a device serves: a small JSON file, read once a period."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.belief.risk import parse_risk, risk_in_words
from envs.errors import ObjectiveError, OptionError
from envs.files import parse_json, read_small
from envs.spec import Objective, Workload
from tuner.objectives import at_arrivals, objective_from, objective_of, remarks_on

KEYS = ("p99_ms", "power_w", "min_agreement", "goal", "min_rate_ips", "risk")

#: Limits that may name networks, each with a number of its own, and what the others have then.
BY_NETWORK = {"p99_ms": math.inf, "min_rate_ips": 0.0}

#: The price of a broken limit while serving, where nothing else is said: requests are answered.
RISK = "careful"


class Limits:
    """The goal and the limits of now.

    Args:
        given: from the command line; what the file does not name stays as given.
        workload: the tenants; with arrivals, they decide what the least rates can be.
        has_power: True if power is measured; what needs it is refused otherwise.
        path: of a file such as `{"p99_ms": 20, "power_w": 15, "goal": "energy"}`, see `KEYS`, where
            `p99_ms` and `min_rate_ips` may be a list, or an object with a number for each tenant.
            It need not exist yet; None for no file.

    Attributes:
        given: the argument.
        objective: goal and limits, which fit the arrivals of now.
        risk: the price of a broken limit, see `envs.belief.risk`.

    Raises:
        ObjectiveError: the limits cannot be kept, or the file cannot be read.
    """

    def __init__(
        self,
        given: dict[str, Any],
        workload: Workload,
        has_power: bool,
        path: Path | None = None,
    ) -> None:
        self.given = given
        self._workload = workload
        self._rates_ips = workload.rates_ips
        self._has_power = has_power
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._own, self.risk = self._read(given)
        self.objective = at_arrivals(self._own, self._rates_ips)
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
        before, wanted = (self.objective, self.risk), self.given | self._content(self._path)
        try:
            self._own, self.risk = self._read(wanted)
        except (ObjectiveError, OptionError) as error:
            raise ObjectiveError(f"{self._path}: {error}") from None
        self.objective = at_arrivals(self._own, self._rates_ips)
        return (self.objective, self.risk) != before

    def arrivals_changed(self, rates_ips: Sequence[float]) -> None:
        """Assume other arrivals from now on, [T]; least rates above them follow."""
        self._rates_ips = tuple(rates_ips)
        self.objective = at_arrivals(self._own, self._rates_ips)

    def describe(self) -> str:
        """Return goal, limits and risk in words."""
        return f"{self.objective.describe(self._workload.names)} (risk: {risk_in_words(self.risk)})"

    def remarks(self) -> list[str]:
        """Return what follows from the goal without being asked for, see `remarks_on`."""
        return remarks_on(self.given, self.objective, self._workload)

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

    def _read(self, data: dict[str, Any]) -> tuple[Objective, float]:
        """Return the objective as it was asked for, whatever arrives, and the risk."""
        rows = {key: self._by_network(key, data.get(key), rest) for key, rest in BY_NETWORK.items()}
        # At the arrivals of the command line a rate above them is a mistake; later they may fall.
        objective_of(data | rows, self._workload)
        objective = objective_from(data | rows, self._workload)
        objective.check_measurable(self._has_power, "no power sensor works here")
        return objective, parse_risk(RISK if data.get("risk") is None else data["risk"])

    def _by_network(self, key: str, given: Any, rest: float) -> Any:
        if not isinstance(given, dict):
            return given
        names = self._workload.names
        wrong = sorted(set(given) - set(names))
        if wrong:
            raise ObjectiveError(
                f"{key} names {wrong[0]!r:.80}, which is no tenant: there are {', '.join(names)}"
            )
        return [given.get(name, rest) for name in names]
