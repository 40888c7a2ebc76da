"""Events of a control period: what was noticed, as a kind that programs read and a sentence."""

from dataclasses import dataclass
from enum import Enum


class EventKind(str, Enum):
    """Kinds of events; `Controller` says what follows from each."""

    LIMITS_CHANGED = "limits_changed"
    LIMITS_REFUSED = "limits_refused"
    POWER_MODE_CHANGED = "power_mode_changed"
    TEMPERATURE_CHANGED = "temperature_changed"
    TENANTS_CHANGED = "tenants_changed"
    ARRIVALS_CHANGED = "arrivals_changed"
    DEVICE_CHANGED = "device_changed"
    NEIGHBOUR_GONE = "neighbour_gone"
    POWER_UNREADABLE = "power_unreadable"
    POWER_READABLE = "power_readable"
    MEASUREMENT_FAILED = "measurement_failed"
    ENGINE_READY = "engine_ready"
    ENGINE_REFUSED = "engine_refused"
    ACCELERATOR_DROPPED = "accelerator_dropped"
    ACCELERATOR_TRIED_AGAIN = "accelerator_tried_again"
    MEMORY_ENDED = "memory_ended"
    LAST_RESORT = "last_resort"
    PROPOSAL_REFUSED = "proposal_refused"
    POLICY_FAILED = "policy_failed"
    NOT_STORED = "not_stored"
    CLIENT_ENDED = "client_ended"
    REMARK = "remark"


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        kind: for programs.
        text: for people, one sentence.
    """

    kind: EventKind
    text: str

    def as_dict(self) -> dict[str, str]:
        """Return the event ready for JSON."""
        return {"kind": self.kind.value, "text": self.text}
