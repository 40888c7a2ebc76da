"""Limits, and who is served, that can change while serving: a small JSON file, read each period."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from envs.belief.risk import parse_risk, risk_in_words
from envs.errors import ObjectiveError, OptionError
from envs.files import parse_json, read_small
from envs.spec import Objective, Workload
from envs.spec.some_tenants import objective_of_tenants
from tuner.objectives import at_arrivals, objective_from, objective_of, remarks_on

KEYS = (
    *("p99_ms", "power_w", "min_agreement", "goal", "min_rate_ips", "risk"),
    *("active", "rate_ips"),
)

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
            `active` is an object with true or false for tenants that come or go, `rate_ips` one
            with the arrivals that are to be expected. It need not exist yet; None for no file.
        tenants: ascending indices [T'] of those whose limits count; None for all.
        optional: the tenants that may come and go; none by default.

    Attributes:
        given, tenants: the arguments.
        active: ascending indices of the tenants that are to be served; all by default.
        told_ips: the arrivals that the file tells to expect, by tenant.
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
        tenants: Sequence[int] | None = None,
        optional: Collection[int] = (),
    ) -> None:
        self.given = given
        self._workload = workload
        every = range(len(workload.tenants))
        self.tenants = tuple(every) if tenants is None else tuple(tenants)
        self._optional = frozenset(optional)
        self.active = self._starting = self._named(given.get("active"))
        self.told_ips: dict[int, float] = {}
        self._rates_ips = tuple(workload.rates_ips[each] for each in self.tenants)
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
        before, content = (self.objective, self.risk), self._content(self._path)
        try:
            active = self._active(content.pop("active", {}))
            told_ips = self._told(content.pop("rate_ips", {}))
            self._own, self.risk = self._read(self.given | content)
        except (ObjectiveError, OptionError) as error:
            raise ObjectiveError(f"{self._path}: {error}") from None
        self.active, self.told_ips = active, told_ips
        self.objective = at_arrivals(self._own, self._rates_ips)
        return (self.objective, self.risk) != before

    def arrivals_changed(self, rates_ips: Sequence[float]) -> None:
        """Assume other arrivals from now on, [T]; least rates above them follow."""
        self._rates_ips = tuple(rates_ips)
        self.objective = at_arrivals(self._own, self._rates_ips)

    def describe(self) -> str:
        """Return goal, limits and risk in words."""
        names = tuple(self._workload.names[tenant] for tenant in self.tenants)
        return f"{self.objective.describe(names)} (risk: {risk_in_words(self.risk)})"

    def remarks(self) -> list[str]:
        """Return what follows from the goal without being asked for, see `remarks_on`."""
        tenants = tuple(self._workload.tenants[tenant] for tenant in self.tenants)
        return remarks_on(self.given, self.objective, Workload(tenants))

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
        objective = objective_of_tenants(objective, self.tenants)
        return objective, parse_risk(RISK if data.get("risk") is None else data["risk"])

    def _by_network(self, key: str, given: Any, rest: float) -> Any:
        if not isinstance(given, dict):
            return given
        names = self._workload.names
        self._check_names(key, given)
        return [given.get(name, rest) for name in names]

    def _check_names(self, key: str, given: Collection[str]) -> None:
        names = self._workload.names
        if wrong := sorted(set(given) - set(names)):
            raise ObjectiveError(
                f"{key} names {wrong[0]!r:.80}, which is no tenant: there are {', '.join(names)}"
            )

    def _named(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """Return the tenants of these names, ascending; all for None."""
        if names is None:
            return tuple(range(len(self._workload.tenants)))
        self._check_names("active", names)
        if not names:
            raise ObjectiveError("active names no tenant: at least one has to be served")
        return tuple(sorted({self._workload.names.index(name) for name in names}))

    def _active(self, given: Any) -> tuple[int, ...]:
        """Return who is to be served: those of the start, with what the file says of them."""
        if not isinstance(given, dict) or not all(type(each) is bool for each in given.values()):
            raise ObjectiveError('active must name tenants, as in {"camera": true, "lidar": false}')
        self._check_names("active", given)
        names = self._workload.names
        wanted = {names[tenant]: tenant in self._starting for tenant in range(len(names))} | given
        gone = [name for name in names if not wanted[name]]
        if fixed := [name for name in gone if names.index(name) not in self._optional]:
            raise ObjectiveError(
                f"active: {fixed[0]} has to be served: start with --active and the names of the"
                " tenants that are served at first, so that others come and go"
            )
        return self._named([name for name in names if wanted[name]])

    def _told(self, given: Any) -> dict[int, float]:
        """Return the arrivals that the file tells to expect, by tenant."""
        if not isinstance(given, dict):
            raise ObjectiveError('rate_ips must name tenants, as in {"camera": 30}')
        self._check_names("rate_ips", given)
        told = {self._workload.names.index(name): rate for name, rate in given.items()}
        for tenant, rate in told.items():
            name = self._workload.names[tenant]
            if type(rate) not in (int, float) or not 0 < rate < math.inf:
                raise ObjectiveError(
                    f"rate_ips of {name} is {rate!r:.80}: give a number above zero"
                )
            if math.isinf(self._workload.rates_ips[tenant]):
                raise ObjectiveError(
                    f"rate_ips: {name} has no arrivals, but sends as much as can be served: start"
                    " with --rate-ips"
                )
        return {tenant: float(rate) for tenant, rate in told.items()}
