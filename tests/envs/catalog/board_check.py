"""Check a document like `envs/catalog/data/boards.json`, and name the path of a wrong number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from envs.catalog.boards import RAILS, Board, PowerMode


class SourcedObject:
    """One object of the document; its numbers are written `[value, source]` or with a note behind.

    Args:
        facts: the object.
        path: where it stands in the document, such as `boards.agx_orin_64`, for messages.
        sources: names of all sources.

    Raises:
        ValueError: from the constructor and every method, if a key is missing, is not known, or
            has an impossible value; the message has its path.
    """

    def __init__(self, facts: Any, path: str, sources: set[str]) -> None:
        if not isinstance(facts, dict):
            raise ValueError(f"{path} must be an object")
        self.facts, self.path, self.sources = facts, path, sources

    def expect(self, *keys: str) -> None:
        """Check that the object has these keys and no others."""
        wrong = sorted(set(self.facts) ^ set(keys))
        if wrong:
            reason = "missing" if wrong[0] in keys else "not known"
            raise ValueError(f"{self.path}.{wrong[0]} is {reason}")

    def inside(self, key: str) -> SourcedObject:
        """Return the object at a key."""
        return SourcedObject(self.facts[key], f"{self.path}.{key}", self.sources)

    def text(self, key: str) -> str:
        """Return a text, which must not be empty."""
        value = self.facts[key]
        if not isinstance(value, str) or not value:
            raise ValueError(f"{self.path}.{key} must be a text")
        return value

    def number(
        self, key: str, minimum: float = 0.0, maximum: float = math.inf, *, zero: bool = False
    ) -> float:
        """Return a finite number above zero, or zero too if `zero`, within the bounds."""
        value = self._value(key)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ValueError(f"{self.path}.{key}={value} must be a number")
        if not (minimum <= value <= maximum and (value > 0 or (zero and value == 0))):
            raise ValueError(
                f"{self.path}.{key}={value} must be {'zero or above' if zero else 'above zero'} "
                f"and lie in {minimum:g}..{maximum:g}"
            )
        return float(value)

    def whole(self, key: str, *, zero: bool = False) -> int:
        """Return a whole number above zero, or zero too if `zero`."""
        value = self.number(key, zero=zero)
        if value != int(value):
            raise ValueError(f"{self.path}.{key}={value} must be a whole number")
        return int(value)

    def optional(self, key: str) -> float | None:
        """Return a number above zero, or None if the document says null."""
        return None if self._value(key) is None else self.number(key)

    def _value(self, key: str) -> Any:
        entry = self.facts[key]
        if (
            not isinstance(entry, list)
            or len(entry) not in (2, 3)
            or not all(isinstance(word, str) and word for word in entry[1:])
        ):
            raise ValueError(f"{self.path}.{key} must be [value, source] or [value, source, note]")
        if entry[1] not in self.sources:
            raise ValueError(f"{self.path}.{key} names the unknown source {entry[1]!r}")
        return entry[0]


def section(document: Mapping[str, Any], key: str, path: str) -> dict[str, Any]:
    """Return the object at a key, which must not be empty; `path` names it in an ValueError."""
    found = document.get(key)
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path} is missing or empty")
    return found


def check_boards(document: Mapping[str, Any]) -> None:
    """Check all boards; raise ValueError, with the path, for the first wrong number."""
    sources = set(section(document, "sources", "sources"))
    for name, facts in section(document, "boards", "boards").items():
        check_board(SourcedObject(facts, f"boards.{name}", sources))


def check_board(facts: SourcedObject) -> None:
    facts.expect(*(field.name for field in fields(Board) if field.name != "name"))
    facts.inside("idle_w").expect(*RAILS)
    for rail in RAILS:
        facts.inside("idle_w").number(rail, zero=True)
    facts.text("module")
    facts.text("gpu_architecture")
    facts.number("wall_overhead", minimum=1.0)
    for key in (
        "memory_mib",
        "dram_gb_s",
        "l2_mib",
        "cuda_mac_per_sm_cycle",
        "tensor_fp16_mac_per_sm_cycle",
        "tensor_int8_mac_per_sm_cycle",
        "max_power_w",
    ):
        facts.number(key)
    dla_cores, emc_max_mhz = facts.whole("dla_cores", zero=True), facts.number("emc_max_mhz")
    for key in ("dla_int8_mac_per_cycle", "dla_fp16_mac_per_cycle", "dla_sram_mib"):
        facts.number(key, maximum=math.inf if dla_cores else 0.0, zero=not dla_cores)
    modes = facts.inside("power_modes")
    for mode in section(facts.facts, "power_modes", modes.path):
        check_mode(modes.inside(mode), emc_max_mhz, dla_cores)


def check_mode(facts: SourcedObject, emc_max_mhz: float, dla_cores: int) -> None:
    facts.expect(*(field.name for field in fields(PowerMode) if field.name != "name"))
    facts.whole("sm")
    facts.number("gpu_mhz")
    facts.number("dla_mhz", maximum=math.inf if dla_cores else 0.0, zero=True)
    facts.number("emc_mhz", maximum=emc_max_mhz)
    facts.whole("cpu_cores")
    facts.number("cpu_mhz")
    facts.optional("budget_w")
