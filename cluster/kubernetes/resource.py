"""The custom resource `InferenceApplication`: what it asks for, as frozen data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.placement.nodes import Application
from envs.errors import OptionError
from envs.spec import Goal

GROUP, VERSION, KIND = "orin-tuner.dev", "v1alpha1", "InferenceApplication"
PLURAL = "inferenceapplications"
API_VERSION = f"{GROUP}/{VERSION}"

#: Names of networks become file names and arguments of a command: no path, no flag.
NETWORK = re.compile(r"[a-z0-9A-Z][a-z0-9A-Z_.-]{0,62}")

GOALS = tuple(each.value for each in Goal)

#: The largest rate and limit.
LARGEST = 1e9

#: The most replicas, and the range of priorities, that are taken.
MOST_REPLICAS, LEAST_PRIORITY, MOST_PRIORITY = 100, -1_000_000, 1_000_000


@dataclass(frozen=True)
class Spec:
    """Hold what an application asks for.

    Attributes:
        network: name of a file in the boards' folder of networks, without `.onnx`.
        rate_ips: Poisson arrivals, all replicas together.
        p99_ms: limit on the 99th percentile of latency.
        goal: what each server tunes for: throughput, energy or latency.
        replicas: boards that share the arrivals.
        priority: the higher goes first where there is not room for all.
    """

    network: str
    rate_ips: float
    p99_ms: float
    goal: str = Goal.THROUGHPUT.value
    replicas: int = 1
    priority: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by the names that they have in the resource."""
        return {name: getattr(self, attribute) for name, attribute in FIELDS.items()}

    def as_text(self) -> str:
        """Return the fields as JSON, always in the same words."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    def application(self, name: str) -> Application:
        """Return the application as placement sees it."""
        return Application(
            name, self.network, self.rate_ips, self.p99_ms / 1e3, self.replicas, self.priority
        )


#: Fields of the resource's `spec`, with the attribute of `Spec` that each becomes.
FIELDS = {
    "network": "network",
    "rateIps": "rate_ips",
    "p99Ms": "p99_ms",
    "goal": "goal",
    "replicas": "replicas",
    "priority": "priority",
}

REQUIRED = ("network", "rateIps", "p99Ms")


def spec_of(given: Any) -> Spec:
    """Return the spec of a resource; the schema of the server says the same.

    Raises:
        OptionError: a field is missing, unknown or wrong; one sentence for each of them.
    """
    if not isinstance(given, Mapping):
        raise OptionError("spec must be an object with network, rateIps and p99Ms")
    wrong = [f"spec.{name} is missing" for name in REQUIRED if name not in given]
    wrong += [
        f"spec.{name} is unknown: choose from {', '.join(FIELDS)}"
        for name in given
        if name not in FIELDS
    ]
    wrong += [
        text for name, value in given.items() if name in FIELDS and (text := _wrong(name, value))
    ]
    if wrong:
        raise OptionError("; ".join(wrong))
    values = {FIELDS[name]: value for name, value in given.items()}
    for name in ("rate_ips", "p99_ms"):
        values[name] = float(values[name])
    for name in ("replicas", "priority"):
        if name in values:
            values[name] = int(values[name])
    return Spec(**values)


def _wrong(name: str, value: Any) -> str:
    """Return what is wrong with the value of a field; an empty text if nothing is."""
    if name == "network":
        if isinstance(value, str) and NETWORK.fullmatch(value):
            return ""
        return (
            f"spec.network={value!r} must be a name of letters, digits, '.', '_' and '-' that"
            " begins with a letter or digit, at most 63 of them"
        )
    if name == "goal":
        return "" if value in GOALS else f"spec.goal={value!r}: choose from {', '.join(GOALS)}"
    if not _is_number(value):
        return f"spec.{name}={value!r} must be a number"
    if name in ("rateIps", "p99Ms"):
        good = 0 < value <= LARGEST
        return "" if good else f"spec.{name}={value} must be above zero, {LARGEST:g} at most"
    low, high = (1, MOST_REPLICAS) if name == "replicas" else (LEAST_PRIORITY, MOST_PRIORITY)
    if abs(value) <= LARGEST and value == int(value) and low <= value <= high:
        return ""
    return f"spec.{name}={value} must be a whole number in {low}..{high}"


def _is_number(value: Any) -> bool:
    """Return True for a number; True, False and NaN are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not (isinstance(value, float) and math.isnan(value))
