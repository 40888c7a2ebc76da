"""Where nothing tells power."""

from __future__ import annotations

from envs.telemetry.protocol import BoardSample


class NoSensor:
    """A computer that does not tell its power: NaN, never 0."""

    name = "none"
    has_power = False

    def read(self) -> BoardSample:
        return BoardSample()

    def close(self) -> None:
        """Nothing is held."""
