"""The sensor of a computer that does not measure power."""

from envs.telemetry.protocol import BoardSample


class NoSensor:
    """Returns samples without power: NaN, never 0."""

    name = "none"
    has_power = False

    def read(self) -> BoardSample:
        """Return an empty sample."""
        return BoardSample()

    def close(self) -> None:
        """Do nothing."""
