"""Notice that somebody else has changed what the controller made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.kubernetes.names import GENERATION
from cluster.kubernetes.read import memory_mib

#: What others may change: clusters have policies that write other registries, and rules of their
#: own for what pods may do. The generation of an application tells when, and not what.
LEFT_TO_OTHERS = ("image", "imagePullPolicy", "securityContext", GENERATION)

#: What has nothing beside what the controller writes; elsewhere others may add to it.
COMPLETE = ("nodeSelector", "selector", "matchLabels", "containers")

#: Quantities, which the server writes in its own way.
QUANTITIES = ("cpu", "memory")


def unedited(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Return True if all that is wanted of an object is still in it; items of lists have no kind.

    Arguments as of `holds`.
    """
    return all(holds(wanted[part], found.get(part)) for part in ("metadata", "spec"))


def holds(wanted: Any, found: Any) -> bool:
    """Return True if all that is wanted of an object is still in it.

    Args:
        wanted: what the controller would write.
        found: what the API server has, with its defaults and with what others have added.
    """
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return not wanted and found is None
        return all(_field_holds(name, value, found.get(name)) for name, value in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        if not isinstance(found, Sequence):
            return not wanted and found is None
        if not any(isinstance(each, Mapping) for each in wanted):
            return list(wanted) == list(found)
        return all(any(holds(each, other) for other in found) for each in wanted)
    # What is empty, zero or false is not written by the server.
    return bool(wanted == found or (not wanted and found is None))


def _field_holds(name: str, wanted: Any, found: Any) -> bool:
    if name in LEFT_TO_OTHERS:
        return True
    if name in QUANTITIES and isinstance(wanted, str):
        return isinstance(found, str) and memory_mib(wanted) == memory_mib(found)
    if name in COMPLETE and len(found or ()) != len(wanted):
        return False
    return holds(wanted, found)
