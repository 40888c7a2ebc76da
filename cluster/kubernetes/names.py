"""Labels, annotations and names of what the controller makes: the same input, the same name."""

from __future__ import annotations

import hashlib
import re

from cluster.kubernetes.resource import GROUP

#: Labels of nodes, which whoever runs the cluster writes.
BOARD, MODE = f"{GROUP}/board", f"{GROUP}/power-mode"

HOSTNAME = "kubernetes.io/hostname"

#: Labels of what the controller makes.
MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "orin-tuner-controller"
APPLICATION_UID, SERVER = f"{GROUP}/application-uid", f"{GROUP}/server"

#: Annotations of a server.
APPLICATION, NODE, PLACE, BATCH = (
    f"{GROUP}/{each}" for each in ("application", "node", "place", "batch")
)
SERVES, GENERATION, REPLACES, DIGEST = (
    f"{GROUP}/{each}" for each in ("serves", "generation", "replaces", "digest")
)

#: Selects the pods of what the controller made.
SELECTOR = f"{MANAGED_BY}={MANAGER}"

#: The longest name of a Service and of a label's value.
LONGEST = 63


def server_name(application: str, node: str) -> str:
    """Return the name of the Deployment that serves an application on a node."""
    return f"{_short(application, 28)}-{_short(node, 25)}-{_hash(f'{application}/{node}')}"


def service_name(application: str) -> str:
    """Return the name of an application's Service: its own, if a Service may have it."""
    if re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", application) and len(application) <= LONGEST:
        return application
    return f"app-{_short(application, 40)}-{_hash(application)}"


def digest(text: str) -> str:
    """Return a short digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hash(text: str) -> str:
    return digest(text)[:8]


def _short(name: str, length: int) -> str:
    return re.sub(r"[^a-z0-9-]", "-", name.lower())[:length].strip("-") or "x"
