"""A configuration of a trace, measured again, and the sentence about it."""

import math
from dataclasses import dataclass

#: A second measurement within this share of the recorded one agrees with it.
AGREEMENT = 0.10


@dataclass(frozen=True)
class LiveCheck:
    """One configuration as the trace has it, and as it was measured again.

    Attributes:
        trace_ips, live_ips: throughput of all tenants.
        trace_p99_ms, live_p99_ms: the largest p99 latency.
        same_machine: True if it ran on the machine that the trace was recorded on.
        disturbed: True if other processes used too much of the machine to trust the window.
        label: the configuration in words.
    """

    trace_ips: float
    live_ips: float
    trace_p99_ms: float
    live_p99_ms: float
    same_machine: bool
    disturbed: bool
    label: str = ""

    def sentence(self) -> str:
        """Say whether the trace still holds."""
        throughput = self.live_ips / self.trace_ips - 1
        latency = self.live_p99_ms / self.trace_p99_ms - 1
        worst = max(abs(throughput), abs(latency))
        numbers = (
            f"{self.live_ips:,.1f} inferences/s and p99 {self.live_p99_ms:,.1f} ms live,"
            f" {self.trace_ips:,.1f} and {self.trace_p99_ms:,.1f} ms in the trace"
        )
        if not math.isfinite(worst):
            return f"nothing can be said: {numbers}."
        moved = f"{100 * throughput:+.0f} % throughput, {100 * latency:+.0f} % p99"
        if not self.same_machine:
            verdict = (
                f"measured on another machine than the trace ({moved}); numbers of one machine do"
                " not carry over to another"
            )
        elif worst <= AGREEMENT:
            verdict = f"within {100 * AGREEMENT:.0f} % ({moved})"
        else:
            verdict = f"the machine drifted by {100 * worst:.0f} % ({moved})"
        warning = (
            "; something else used the machine meanwhile, so do not trust this window"
            if self.disturbed
            else ""
        )
        return f"{verdict}: {numbers}{warning}."
