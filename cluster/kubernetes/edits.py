"""Notice that somebody else has changed a server's Deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cluster.kubernetes.names import DIGEST, RUNS, digest


def running(deployment: Mapping[str, Any]) -> str:
    """Return a digest of what decides what is served, and where.

    These are its number of pods, their node, and the command with its arguments. The image is no
    part of it: clusters have policies that write another registry into it.
    """
    spec = deployment.get("spec") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = [
        [each.get("name"), each.get("command"), each.get("args")]
        for each in pod.get("containers") or ()
    ]
    parts = [spec.get("replicas"), pod.get("nodeSelector"), containers]
    return digest(json.dumps(parts, sort_keys=True))


def unedited_digest(deployment: Mapping[str, Any]) -> str:
    """Return the digest that a Deployment was made with; empty if it was changed since."""
    notes = deployment["metadata"].get("annotations") or {}
    return str(notes.get(DIGEST, "")) if notes.get(RUNS) == running(deployment) else ""
