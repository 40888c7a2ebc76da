"""Read a cluster and its applications from a YAML or JSON file."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cluster.placement.nodes import Application, Node
from cluster.profiles.boards import board_kind
from envs.catalog.boards import board, board_names
from envs.catalog.reference_networks import reference_names
from envs.errors import OptionError
from envs.optional import optional_import

#: The keys of an entry under `nodes` and under `applications`; the first ones must be there.
NODE_KEYS = ("board", "mode", "count", "name")
APPLICATION_KEYS = ("network", "rate_ips", "p99_ms", "name", "count", "replicas", "priority")
NEEDED = {"nodes": 1, "applications": 3}

#: Things that one entry may stand for.
MOST = 1_000_000


class Described(NamedTuple):
    """Hold what a file says.

    Attributes:
        nodes: of the cluster.
        applications: that want to be hosted, in the order of the file.
    """

    nodes: tuple[Node, ...]
    applications: tuple[Application, ...]


def read_cluster(path: Path, precision: str) -> Described:
    """Read a file.

    Args:
        path: of the file; JSON where its name ends so, otherwise YAML.
        precision: of the boards' engines, `fp16` or `int8`.

    Raises:
        OptionError: it cannot be read, or an entry is wrong; the sentence names both.
    """
    found = _parsed(path)
    if not isinstance(found, dict) or not {"nodes", "applications"} == set(found):
        raise OptionError(f"{path} must have the two lists nodes and applications, nothing else")
    applications = _applications(path, _entries(path, found, "applications", APPLICATION_KEYS))
    networks = tuple(sorted({each.network for each in applications}))
    nodes = _nodes(path, _entries(path, found, "nodes", NODE_KEYS), networks, precision)
    return Described(nodes, applications)


def _parsed(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    read, wrong, language = (
        (_json, ValueError, "JSON") if path.suffix == ".json" else (_yaml, _yaml_error(), "YAML")
    )
    try:
        return read(text)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from None
    except RecursionError:
        raise OptionError(f"{path} is nested too deeply: it needs two lists of entries") from None
    except wrong as error:
        raise OptionError(f"{path} is not {language}: {' '.join(str(error).split())}") from None


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _check_keys([key for key, _ in pairs])
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)


def _yaml(text: str) -> Any:
    yaml = optional_import("yaml", "kubernetes")

    class Loader(yaml.SafeLoader):  # type: ignore[misc,name-defined]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            _check_keys([str(key.value) for key, _ in node.value])
            return super().construct_mapping(node, deep)

    return yaml.load(text, Loader)


def _yaml_error() -> type[Exception]:
    found: type[Exception] = optional_import("yaml", "kubernetes").YAMLError
    return found


def _check_keys(keys: list[str]) -> None:
    """Refuse a key that is there twice: readers of both languages take the last one silently."""
    twice = next((key for key, count in Counter(keys).items() if count > 1), None)
    if twice is not None:
        raise OptionError(f"the key {twice!r} is there twice in one place: leave one of them out")


def _entries(
    path: Path, found: Mapping[str, Any], part: str, keys: tuple[str, ...]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries of a list with words that name each; their keys are right."""
    if not isinstance(found[part], list) or not found[part]:
        raise OptionError(f"{path}: {part} must be a list with one entry at least")
    entries = []
    for number, entry in enumerate(found[part], start=1):
        where = f"{path}: entry {number} of {part}"
        if not isinstance(entry, dict):
            raise OptionError(f"{where} must have keys such as {', '.join(keys[:2])}")
        for key in entry:
            if key not in keys:
                raise OptionError(f"{where} has the key {key!r}: {_choices(str(key), keys)}")
        for key in keys[: NEEDED[part]]:
            if key not in entry:
                raise OptionError(f"{where} lacks {key}")
        entries.append((where, entry))
    return entries


def _applications(path: Path, entries: list[tuple[str, dict[str, Any]]]) -> tuple[Application, ...]:
    known, found = reference_names(), list[Application]()
    for where, entry in entries:
        network = _text(where, entry, "network", "")
        if network not in known:
            said = _choices(network, known)
            raise OptionError(f"{where}: there is no reference network {network!r}: {said}")
        rate, limit_ms = (_number(where, entry, key) for key in ("rate_ips", "p99_ms"))
        replicas = _whole(where, entry, "replicas", 1, least=1)
        priority = _whole(where, entry, "priority", 0)
        for name in _names(where, entry, network):
            found.append(Application(name, network, rate, limit_ms / 1e3, replicas, priority))
    _check_once(path, "applications", [each.name for each in found])
    return tuple(found)


def _nodes(
    path: Path, entries: list[tuple[str, dict[str, Any]]], networks: tuple[str, ...], precision: str
) -> tuple[Node, ...]:
    found: list[Node] = []
    for where, entry in entries:
        name = _text(where, entry, "board", "")
        if name not in board_names():
            said = _choices(name, board_names())
            raise OptionError(f"{where}: there is no board {name!r}: {said}")
        modes = board(name).power_modes
        mode = _text(where, entry, "mode", next(iter(modes)))
        if mode not in modes:
            said = _choices(mode, modes)
            raise OptionError(f"{where}: {name} has no power mode {mode!r}: {said}")
        kind = board_kind(name, mode, networks, precision)
        found += [Node(each, kind) for each in _names(where, entry, name)]
    _check_once(path, "nodes", [each.name for each in found])
    return tuple(found)


def _names(where: str, entry: Mapping[str, Any], default: str) -> list[str]:
    """Return the names of an entry's things: its name, numbered where there are several."""
    name = _text(where, entry, "name", default)
    count = _whole(where, entry, "count", 1, least=1)
    if count > MOST:
        raise OptionError(f"{where}: count={count} must be {MOST:,} or less")
    return [name] if entry.get("count") is None else [f"{name}-{number}" for number in range(count)]


def _number(where: str, entry: Mapping[str, Any], key: str) -> float:
    value = entry[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
        raise OptionError(f"{where}: {key}={value!r} must be a number above zero")
    return float(value)


def _whole(
    where: str, entry: Mapping[str, Any], key: str, default: int, least: int | None = None
) -> int:
    value = default if entry.get(key) is None else entry[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"{where}: {key}={value!r} must be a whole number")
    if least is not None and value < least:
        raise OptionError(f"{where}: {key}={value} must be {least} or more")
    return value


def _text(where: str, entry: Mapping[str, Any], key: str, default: str) -> str:
    """Return a name: a text, or a number that stands for one, such as a board's; never empty."""
    value = default if entry.get(key) is None else entry[key]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise OptionError(f"{where}: {key} must be a name, and is {type(value).__name__}")
    if not str(value).isprintable() or not str(value).strip():
        raise OptionError(f"{where}: {key}={str(value)!r} must be a name of printable characters")
    return str(value)


def _check_once(path: Path, part: str, names: list[str]) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise OptionError(
            f"{path}: two {part} have the name {twice}: give each entry a name of its own"
        )


def _choices(given: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(given, known, 1, 0.6)
    return f"did you mean {close[0]}?" if close else f"choose from {_all(known)}"


def _all(names: Collection[str]) -> str:
    return ", ".join(names)
