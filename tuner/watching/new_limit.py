"""Change a limit in the file that a service reads once a period (`deploy --limits`)."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import ObjectiveError
from envs.files import parse_json, read_small, write_text
from tuner.watching.moments import Moment
from tuner.watching.values import text

#: A service that reads the file shows another limit, or refuses it, within so many periods.
ANSWER_PERIODS = 3


@dataclass(frozen=True)
class LimitNow:
    """A limit that can be changed.

    Attributes:
        key: in the file: `p99_ms`, `power_w` or `min_agreement`.
        tenant: its position, for p99; None for a limit of the whole service.
        words: what it is, for people.
        value: the present one; infinite for no limit.
        unit: of the value.
    """

    key: str
    tenant: int | None
    words: str
    value: float
    unit: str

    def question(self, value: float, path: Path) -> str:
        """Return what is to be confirmed."""
        now = f"{self.value:g} {self.unit}".strip() if math.isfinite(self.value) else "no limit"
        return f"{self.words}: {now} -> {value:g} {self.unit}".rstrip() + f"\nWrite {path}?"


def limits_of(moment: Moment) -> list[LimitNow]:
    """Return the limits that can be changed."""
    several = len(moment.tenants) > 1
    found = [
        LimitNow(
            "p99_ms", position, f"p99 of {each.name}" if several else "p99", each.p99_limit_ms, "ms"
        )
        for position, each in enumerate(moment.tenants)
    ]
    found.append(LimitNow("power_w", None, "power", moment.power_limit_w, "W"))
    found.append(LimitNow("min_agreement", None, "least agreement", moment.min_agreement, ""))
    return found


def value_of(limit: LimitNow, typed: str) -> float:
    """Return the number that was typed.

    Raises:
        ObjectiveError: it is no number, or none that this limit can have.
    """
    try:
        value = float(typed.replace("_", "no number"))  # Python reads 1_0 as ten
    except ValueError:
        raise ObjectiveError(f"{text(typed, 40)!r} is no number") from None
    if limit.key == "min_agreement":
        if not 0 <= value <= 1:
            raise ObjectiveError("an agreement lies in 0..1, 0 for no limit")
    elif not 0 < value < math.inf:
        raise ObjectiveError(f"{limit.words} needs a number above zero")
    return value


def write_limit(path: Path, limit: LimitNow, value: float, now: Moment) -> None:
    """Write the limit into the file; what else the file says stays.

    Args:
        path: of the file; it need not exist yet.
        limit: the one to change.
        value: the new one.
        now: the present limits: where several tenants have one of p99, the file gets them all.

    Raises:
        ObjectiveError: the file holds something else than limits.
        StorageError: it cannot be written.
    """
    content = with_limit(_content(path), limit, value, now)
    write_text(path, json.dumps(content, indent=2) + "\n")


def with_limit(
    content: dict[str, Any], limit: LimitNow, value: float, now: Moment
) -> dict[str, Any]:
    """Return the content of the file with the limit changed."""
    if limit.tenant is None or len(now.tenants) == 1:
        return content | {limit.key: value}
    limits_ms = {each.name: each.p99_limit_ms for each in now.tenants}
    kept = {name: own for name, own in limits_ms.items() if math.isfinite(own)}
    return content | {limit.key: kept | {now.tenants[limit.tenant].name: value}}


def answered(wanted: LimitNow, value: float, since: int, moments: Sequence[Moment]) -> bool | None:
    """Return True if the service took or refused a limit, False if it did neither in time.

    Args:
        wanted: the limit that was written.
        value: the new one.
        since: number of the period in which it was written.
        moments: the latest ones.

    Returns:
        None while it still has time.
    """
    later = [each for each in moments if each.number > since]
    refused = any(e.kind == "limits_refused" for each in later for e in each.notices)
    if refused or any(taken(wanted, value, each) for each in later):
        return True
    return False if len(later) >= ANSWER_PERIODS else None


def taken(wanted: LimitNow, value: float, moment: Moment) -> bool:
    """Return True if the moment shows the limit that was written."""
    return any(
        math.isclose(each.value, value)
        for each in limits_of(moment)
        if (each.key, each.tenant) == (wanted.key, wanted.tenant)
    )


def _content(path: Path) -> dict[str, Any]:
    try:
        data = parse_json(read_small(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ObjectiveError(
            f"{path} cannot be read as JSON ({error}): it stays as it is"
        ) from error
    if not isinstance(data, dict):
        raise ObjectiveError(f"{path} holds no object of limits: it stays as it is")
    return data
