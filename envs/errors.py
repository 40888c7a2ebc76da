"""The one error tree: whatever a person can do something about is a `TunerError`.

Each message is one sentence that says what is wrong, where, and what to do. Commands print it and exit with `exit_code`.
What a *configuration* can do wrong while it is tried is data, not an exception: see `envs.spec.measurement.Failure`.
"""

from __future__ import annotations


class TunerError(Exception):
    """Base of all errors with an answer for the user.

    Names out of files go into messages: whatever they hold, a message stays one line, and steers no terminal.
    """

    exit_code = 2

    def __str__(self) -> str:
        return "".join(
            letter if letter.isprintable() else " " if letter.isspace() else "?"
            for letter in super().__str__()
        )


class OptionError(TunerError):
    """An option has a value it cannot have; the message names the key."""


def one_line(error: BaseException, limit: int = 160) -> str:
    """The first words of an error that a library wrote over many lines."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[:limit].rstrip() + "..."


def require_positive(group: str, options: object, *keys: str) -> None:
    """OptionError, naming the key, unless each of these options is above zero. None passes: Hydra builds some options without values."""
    for key in keys:
        value = getattr(options, key)
        if isinstance(value, (int, float)) and not value > 0:
            raise OptionError(f"{group}.{key}={value} must be above zero")


class DependencyError(TunerError):
    """An optional package is missing; the message says which extra brings it."""


class NetworkError(TunerError):
    """An ONNX file cannot be read, or cannot be served."""


class ConfigurationError(TunerError):
    """A configuration does not belong to the space, or the space is empty."""


class ObjectiveError(TunerError):
    """An objective that cannot be judged, such as a power limit where no power is measured."""


class TraceError(TunerError):
    """A trace is truncated, foreign, or of something else."""


class BundleError(TunerError):
    """A policy bundle is damaged, or was made for another space."""


class StorageError(TunerError):
    """The disk is full, a file cannot be written, or another process holds it."""


class SensorError(TunerError):
    """A sensor is not there, may not be read, or has stopped telling."""


class RuntimeFault(TunerError):
    """A runtime was used after it was closed, or before a configuration was applied."""


class NoFeasibleConfiguration(TunerError):
    """No measured configuration meets the limits; the least violating one has been given."""

    exit_code = 3
