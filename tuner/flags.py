"""Command-line flags made from a dataclass of options: one flag for each field."""

import argparse
import difflib
import inspect
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from envs.errors import OptionError
from tuner.console import exit_code, show_log

Options = TypeVar("Options")

#: How help names a value, by the unit at the end of a field's name.
UNITS = {"_ms": "MS", "_s": "SECONDS", "_w": "WATTS", "_ips": "RATE", "_mib": "MIB"}
TYPES = {int: "N", float: "X", str: "NAME", Path: "PATH"}


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence."""

    def error(self, message: str) -> Any:
        """Raise OptionError instead of printing the usage."""
        raise OptionError(f"{message.removeprefix('argument ')} (see --help)")


def run(
    kind: type[Options],
    task: Callable[[Options], int | None],
    arguments: Sequence[str],
    about: str,
    hidden: Collection[str] = (),
) -> int:
    """Run a command: read its flags, do its task, and return its exit code.

    Args:
        kind: the dataclass of its options; nested dataclasses become groups of flags.
        task: gets the options; a `TunerError` in it ends in one line on standard error.
        arguments: of the command line.
        about: the text of --help; its first line names the command.
        hidden: names of fields that have no flag.
    """
    show_log()
    return exit_code(lambda: task(read_flags(kind, arguments, about, hidden)))


def read_flags(
    kind: type[Options], arguments: Sequence[str], about: str = "", hidden: Collection[str] = ()
) -> Options:
    """Return the options that the arguments give, with the defaults of the dataclass elsewhere.

    Raises:
        OptionError: a flag is unknown, written as `name=value`, or has a wrong value.
    """
    parser = Parser(
        prog=next(iter(re.findall(r"python -m [\w.]*\w", about)), None),
        usage="%(prog)s [--flag value ...]",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags = _add_flags(parser, parser, kind, hidden, {})
    arguments = [_named_file(each, flags) for each in arguments]
    for argument in arguments:
        _check_old_style(argument, flags)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        close = difflib.get_close_matches(unknown[0].split("=")[0], flags.values(), 1, 0.5)
        hint = f"did you mean {close[0]}?" if close else "--help lists the flags"
        raise OptionError(f"there is no flag {unknown[0]}: {hint}")
    return _built(kind, vars(given), hidden)


def _add_flags(
    parser: Parser,
    group: argparse._ActionsContainer,
    kind: type[Any],
    hidden: Collection[str],
    flags: dict[str, str],
) -> dict[str, str]:
    """Add a flag for each field to `flags`, by field; fields of one name share a flag."""
    texts, hints = attributes_of(kind), get_type_hints(kind)
    for each in _shown(kind, hidden):
        value_type = _without_none(hints[each.name])
        if is_dataclass(value_type):
            assert isinstance(value_type, type)
            title = (inspect.getdoc(value_type) or "").split("\n")[0].rstrip(".").lower()
            _add_flags(parser, parser.add_argument_group(title), value_type, hidden, flags)
        elif each.name not in flags:
            flag = each.metadata.get("flag") or f"--{each.name.replace('_', '-')}"
            flags[each.name] = flag
            more = _kind_of(each, value_type, texts)
            group.add_argument(flag, dest=each.name, default=argparse.SUPPRESS, **more)
    return flags


def _kind_of(each: Field[Any], value_type: Any, texts: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of argparse for a field: its type, its placeholder and its help."""
    text = texts.get(each.name, "").rstrip(".").replace("%", "%%")
    if value_type is bool:
        return {"action": "store_true", "help": text}
    default = each.default_factory() if each.default_factory is not MISSING else each.default
    if isinstance(default, list):
        default = " ".join(map(str, default))
    if default not in (None, ""):
        text += f" (default: {default})"
    several = get_origin(value_type) is list
    one = get_args(value_type)[0] if several else value_type
    unit = next((word for end, word in UNITS.items() if each.name.endswith(end)), TYPES[one])
    more = {"nargs": each.metadata.get("nargs", "+")} if several else {}
    return {"type": one, "metavar": each.metadata.get("metavar", unit), "help": text, **more}


def attributes_of(kind: type[Any]) -> dict[str, str]:
    """Return the text of each attribute in the docstring of a class (Google style)."""
    found: dict[str, str] = {}
    name = ""
    for line in (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].split("\n"):
        if start := re.match(r"    (\w+): (.*)", line):
            name, found[start[1]] = start[1], start[2]
        elif line.startswith("     ") and name:
            found[name] += f" {line.strip()}"
    return found


def _shown(kind: Any, hidden: Collection[str]) -> Iterator[Field[Any]]:
    return (each for each in fields(kind) if each.name not in hidden)


def _without_none(hint: Any) -> Any:
    """Return X of Optional[X]."""
    if get_origin(hint) is not Union:
        return hint
    return next(each for each in get_args(hint) if each is not type(None))


def _built(kind: type[Options], given: dict[str, Any], hidden: Collection[str]) -> Options:
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for each in _shown(kind, hidden):
        value_type = _without_none(hints[each.name])
        if is_dataclass(value_type):
            assert isinstance(value_type, type)
            values[each.name] = _built(value_type, given, hidden)
        elif each.name in given:
            values[each.name] = given[each.name]
    return kind(**values)


def _named_file(argument: str, flags: dict[str, str]) -> str:
    """Return `./-x.onnx` for the file `-x.onnx`, which is no flag."""
    known = argument.split("=")[0] in (*flags.values(), "-h", "--help")
    return f"./{argument}" if argument[:1] == "-" and not known and is_file(argument) else argument


def is_file(name: str) -> bool:
    """Return True if there is a file of that name; any text may be asked for."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def _check_old_style(argument: str, flags: dict[str, str]) -> None:
    """Raise OptionError for `group.name=value` and for `[a,b]`, as earlier versions took them."""
    if is_file(argument):
        return
    key, equals, value = argument.partition("=")
    if argument.startswith("[") and argument.endswith("]"):
        words = shlex.join(each.strip() for each in argument[1:-1].split(","))
        raise OptionError(f"{argument}: write the values one after another, as in {words}")
    name = key.rpartition(".")[2]
    flag = flags.get(name) or flags.get(name.removesuffix("s"))
    if equals and flag and not key.startswith("-"):
        words = shlex.join(each.strip() for each in value.strip("[]").split(","))
        raise OptionError(f"{argument}: write {flag} {words}")
