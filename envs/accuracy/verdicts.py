"""Keep what was found out about the batches of a network, so that the next start runs nothing."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples
from envs.errors import StorageError
from envs.files import parse_json, read_small, write_text
from envs.optional import optional_import
from envs.spec import Network

logger = logging.getLogger(__name__)

#: Part of the key of a verdict: another one wherever batches are looked at in another way.
FORMAT = 1


def verdict_path(cache: Path, network: Network, samples: Samples | None) -> Path:
    """Return the file of a verdict, which depends on the network, the samples and ONNX Runtime."""
    version = optional_import("onnxruntime", "networks").__version__
    given = "" if samples is None else samples.sha256
    key = f"{FORMAT} {version} {network.sha256} {given}"
    return cache / f"batches-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def kept_verdict(path: Path) -> str | None:
    """Return why batches above one are wrong, empty if they are right; None if nobody knows."""
    try:
        reason = parse_json(read_small(path))["single_because"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return reason if isinstance(reason, str) and reason.isprintable() else None


def keep_verdict(path: Path, reason: str) -> None:
    """Keep a verdict, see `keep`."""
    keep(path, {"single_because": reason})


def keep(path: Path, data: dict[str, Any]) -> None:
    """Keep what was found out; where that is impossible, the next start finds it out again."""
    try:
        write_text(path, json.dumps(data))
    except StorageError as error:
        logger.debug("%s", error)
