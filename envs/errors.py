"""Errors that a user can act on: all are a `TunerError`.

Each message is one sentence: what is wrong, where it is, and how to fix it. Commands print the
sentence and exit with `exit_code`. A configuration that fails while it is tried raises nothing: it
gives an `envs.spec.measurement.Failure`, which is data.
"""


class TunerError(Exception):
    """Base of all errors that a user can act on.

    Messages contain names that come from files. Unprintable characters are replaced, so that a
    message stays on one line and sends no control sequence to a terminal.
    """

    exit_code = 2

    def __str__(self) -> str:
        return printable(super().__str__())


class OptionError(TunerError):
    """An option has an invalid value; the message names the option."""


def printable(text: str) -> str:
    """Return a text that stays on one line: other characters become a space or `?`."""
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "?"
        for character in text
    )


def one_line(error: BaseException, limit: int = 160) -> str:
    """Return an error's message on one line, shortened to `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[:limit].rstrip() + "..."


def require_positive(group: str, options: object, *keys: str) -> None:
    """Check that each of these options is above zero; None and other types pass.

    Raises:
        OptionError: an option is zero or below; the message names `group.key`.
    """
    for key in keys:
        value = getattr(options, key)
        if isinstance(value, (int, float)) and not value > 0:
            raise OptionError(f"{group}.{key}={value} must be above zero")


class DependencyError(TunerError):
    """An optional package is missing; the message names the extra that installs it."""


class NetworkError(TunerError):
    """An ONNX file cannot be read, or cannot be served."""


class ConfigurationError(TunerError):
    """A configuration does not belong to the space, or the space is empty."""


class ObjectiveError(TunerError):
    """An objective cannot be judged, such as a power limit where no power is measured."""


class TraceError(TunerError):
    """A file is not a valid trace, or a trace does not belong to these networks."""


class BundleError(TunerError):
    """A policy bundle is damaged, or was made for another space."""


class StorageError(TunerError):
    """The disk is full, a file cannot be written, or another process holds it."""


class SensorError(TunerError):
    """A sensor is missing, may not be read, or has stopped answering."""


class RuntimeFault(TunerError):
    """A runtime was used after it was closed, or before a configuration was applied."""


class NoFeasibleConfiguration(TunerError):
    """No measured configuration meets the limits; the one closest to them was returned."""

    exit_code = 3


class ClientEnded(TunerError):
    """The program that brings the requests has ended, so that nothing is left to serve."""

    exit_code = 4


class StartAnew(RuntimeFault):
    """Nothing can be measured in this process any more, but perhaps in a new one."""

    exit_code = 5
