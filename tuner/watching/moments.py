"""The data of the view: a moment is one period of a service, or one row of a recording."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """Instances of a tenant on one accelerator."""

    accelerator: str
    instances: int
    batch: int


@dataclass(frozen=True)
class TenantMoment:
    """One tenant in one moment; NaN for what was not measured.

    Attributes:
        name: of the tenant.
        slots: where it runs.
        throughput_ips: inferences a second.
        p99_ms: 99th percentile of latency.
        p99_limit_ms: the limit on it; infinite for no limit.
        least_ips: the least inferences a second that are asked for; 0 for none.
        agreement: with the answers of FP32, 0..1.
    """

    name: str
    slots: tuple[Slot, ...] = ()
    throughput_ips: float = math.nan
    p99_ms: float = math.nan
    p99_limit_ms: float = math.inf
    least_ips: float = 0.0
    agreement: float = math.nan


@dataclass(frozen=True)
class Notice:
    """Something that a service noticed: a kind that programs read, and a sentence."""

    clock: str
    kind: str
    text: str


@dataclass(frozen=True)
class Moment:
    """One period of a service, or one row of a recording; NaN for what was not measured.

    Attributes:
        number: of the period or row, from 1.
        clock: time of day as text; empty where it is not written.
        at_s: time since the start; NaN where it is not written.
        phase: why this configuration serves, such as `holding`; empty where there is none.
        why: the same, as a sentence; empty where it is not written.
        goal: throughput, energy or latency; empty where it is not written.
        score: what the goal makes large; NaN where it is not written.
        tenants: in the order of the service.
        kept: True if every limit was kept; None where nothing was judged.
        power_w: of the board.
        power_limit_w: the limit on it; infinite for no limit.
        min_agreement: the least agreement that is asked for; 0 for none.
        temperature_c: of the hottest place.
        throttled: what held the clocks back; None where nobody wrote it.
        origin: measured, simulated or replayed.
        failure: why nothing was measured; empty for a measurement.
        remark: what else is wrong with the measurement, such as a sensor that gave nothing.
        notices: what the service noticed before or in this period.
    """

    number: int
    clock: str = ""
    at_s: float = math.nan
    phase: str = ""
    why: str = ""
    goal: str = ""
    score: float = math.nan
    tenants: tuple[TenantMoment, ...] = ()
    kept: bool | None = None
    power_w: float = math.nan
    power_limit_w: float = math.inf
    min_agreement: float = 0.0
    temperature_c: float = math.nan
    throttled: tuple[str, ...] | None = None
    origin: str = ""
    failure: str = ""
    remark: str = ""
    notices: tuple[Notice, ...] = ()

    @property
    def throughput_ips(self) -> float:
        """Return the throughput of all tenants together; NaN where none was measured."""
        known = [each.throughput_ips for each in self.tenants if each.throughput_ips >= 0]
        return sum(known) if known else math.nan

    def tenant(self, name: str) -> TenantMoment | None:
        """Return the tenant of this name; None if there is none."""
        return next((each for each in self.tenants if each.name == name), None)


@dataclass(frozen=True)
class LearningRow:
    """One update of a policy in training, as `learning_curve.csv` has it."""

    steps: float
    episodes: float
    gain: float
    broken_share: float
    seconds: float


@dataclass(frozen=True)
class News:
    """Hold what a poll of a source found.

    Attributes:
        moments: new ones, the oldest first.
        rows: new rows of a training.
        unread: lines that are no period or row: cut, or of another program.
        skipped: there was more than a poll reads, and what is older was left out.
        age_s: seconds since the source last changed; infinite if it never did.
        problem: why nothing can be read, as a sentence; empty if it can.
        ended: the source says that it is complete.
        total: rows that there will be; 0 where nobody knows.
        anew: what was read before belongs to another file, and is to be forgotten.
    """

    moments: Sequence[Moment] = ()
    rows: Sequence[LearningRow] = ()
    unread: int = 0
    skipped: bool = False
    age_s: float = math.inf
    problem: str = ""
    ended: bool = False
    total: int = 0
    anew: bool = False
