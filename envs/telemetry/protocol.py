"""The sensor seam: power of the board."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class BoardSample:
    """Watts since the previous read: total_w, NaN where the board has no sensor, and per rail."""

    total_w: float = math.nan
    rails_w: dict[str, float] = field(default_factory=dict)


class Sensor(Protocol):
    """Where power is read. `name` goes into every measurement."""

    @property
    def name(self) -> str: ...

    @property
    def has_power(self) -> bool: ...

    def read(self) -> BoardSample: ...
