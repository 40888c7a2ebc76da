"""Read the options `shape` and `fix`: sizes and values of inputs, by their names."""

import re

from envs.errors import OptionError

_SIZES = re.compile(r"[1-9][0-9]{0,8}([xX][1-9][0-9]{0,8})*")


def parse_shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the option `shape` by name of the input.

    Args:
        texts: such as `images:1x3x640x640`; a name may contain a colon.

    Raises:
        OptionError: a text has another form, or an input is named twice.
    """
    shapes = {}
    for text, name, sizes in _parted("shape", texts, "images:1x3x640x640"):
        if not _SIZES.fullmatch(sizes):
            raise OptionError(
                f"shape={text}: {sizes!r} are not sizes: write shape=INPUT:SIZExSIZE, "
                "for example shape=images:1x3x640x640"
            )
        shapes[name] = tuple(map(int, sizes.lower().split("x")))
    return shapes


def parse_values(texts: list[str]) -> dict[str, float | int]:
    """Return the values of the option `fix` by name of the input.

    Args:
        texts: such as `sr:16000`; `true` and `false` are 1 and 0. A name may contain a colon.

    Raises:
        OptionError: a text has another form, or an input is named twice.
    """
    values: dict[str, float | int] = {}
    for text, name, written in _parted("fix", texts, "sr:16000"):
        try:
            values[name] = _number(written)
        except ValueError:
            raise OptionError(
                f"fix={text}: {written!r} is not a number: write fix=INPUT:NUMBER, "
                "for example fix=sr:16000"
            ) from None
    return values


def _parted(option: str, texts: list[str], example: str) -> list[tuple[str, str, str]]:
    """Return (text, name, rest) of each option; the last colon ends the name."""
    parted = []
    for text in texts:
        name, colon, rest = str(text).rpartition(":")
        if not (name and colon and rest):
            raise OptionError(f"{option}={text} names no input: for example {option}={example}")
        parted.append((str(text), name, rest.strip()))
    names = [name for _, name, _ in parted]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"{option}: input {name!r} is named twice: name it once")
    return parted


def _number(text: str) -> float | int:
    if text.lower() in ("true", "false"):
        return int(text.lower() == "true")
    return int(text) if re.fullmatch("[+-]?[0-9]+", text) else float(text)
