"""Options of the command line as Hydra's grammar takes them: names of files get quotes.

Hydra refuses most letters outside quotes, and a shell takes the quotes away: of
`network=["größe.onnx"]` it leaves `network=[größe.onnx]`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

#: Options that are lists of files; one file needs no brackets.
FILE_LISTS = ("network", "samples")

#: A value that is quoted already.
_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)

#: A value that means the same to Hydra with and without quotes.
_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_/.-]*")


def quoted_overrides(arguments: Sequence[str], parses: Callable[[str], bool]) -> list[str]:
    """Return the arguments with quotes around the values that Hydra would not take as they are.

    Args:
        arguments: of the command line, `key=value` among them.
        parses: returns True if Hydra reads an argument as one value.
    """
    sweep = any(each in ("-m", "--multirun") for each in arguments)
    return [each if sweep else _quoted_override(each, parses) for each in arguments]


def _quoted_override(argument: str, parses: Callable[[str], bool]) -> str:
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals or not value or _PLAIN.fullmatch(value):
        bare = key in FILE_LISTS and _PLAIN.fullmatch(value) and value != "null"
        return f"{key}=[{value}]" if bare else argument
    in_brackets = value.startswith("[") and value.endswith("]")
    if key in FILE_LISTS:
        return f"{key}=[{_quoted_list(value[1:-1] if in_brackets else value)}]"
    if not _exists(value) and parses(argument):
        return argument
    return f"{key}=[{_quoted_list(value[1:-1])}]" if in_brackets else f"{key}={quoted(value)}"


def _quoted_list(inner: str) -> str:
    """Quote the values between two brackets; a comma may belong to the name of a file."""
    pieces, found = inner.split(",") if inner.strip() else [], []
    while pieces:
        joined = [",".join(pieces[:end]).strip() for end in range(1, len(pieces) + 1)]
        files = [end for end, text in enumerate(joined, start=1) if _exists(text)]
        in_quotes = [end for end, text in enumerate(joined, start=1) if _QUOTED.fullmatch(text)]
        end = files[-1] if files else in_quotes[0] if in_quotes else 1
        found.append(quoted(joined[end - 1]))
        pieces = pieces[end:]
    return ",".join(found)


def quoted(text: str) -> str:
    """Return a value in single quotes, unless it has quotes already and is no file."""
    if _QUOTED.fullmatch(text) and not _exists(text):
        return text
    if _exists(text):
        text = text.replace("${", r"\${")  # the name of a file refers to no other option
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    backslashes = len(text) - len(text.rstrip("\\"))
    return "'" + text + "\\" * backslashes + "'"


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False
