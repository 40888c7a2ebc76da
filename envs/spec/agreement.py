"""Agreement: how far the answers of an accelerator are those of FP32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from envs.spec.configuration import Configuration
from envs.spec.measurement import Measurement
from envs.spec.space import ConfigurationSpace

#: The quantities that an agreement can be.
CLASSES, COSINE, EQUAL = "equal classes", "cosine similarity", "equal numbers"


@dataclass(frozen=True)
class Agreement:
    """Say how far the answers of a network on an accelerator are those of FP32.

    Attributes:
        value: between 0 and 1; NaN where it was not measured.
        quantity: what `value` is: `equal classes` (the share of samples whose largest of C numbers
            has the same place) for one output [N, C], `equal numbers` (their share) where all
            outputs are whole numbers, else `cosine similarity` (of all outputs the worst, with the
            mean over the samples).
        samples: the number of samples behind it; 0 for the network as it is, which all others are
            compared with.
        snr_db: the signal-to-noise ratio of the worst output; infinite for equal answers, NaN
            where it was not measured.
        synthetic: True if the samples were invented, not given.
        calibration: how the ranges of an INT8 network were found: `minmax`, `entropy` or
            `percentile`; empty where nothing was calibrated, `uncalibrated` for invented samples.
        calibrated_on: the number of samples that calibrated.
    """

    value: float
    quantity: str = ""
    samples: int = 0
    snr_db: float = math.nan
    synthetic: bool = False
    calibration: str = ""
    calibrated_on: int = 0

    @property
    def measured(self) -> bool:
        """Return True if there is a number."""
        return not math.isnan(self.value)

    def keeps(self, limit: float) -> bool:
        """Return True if it was measured and is at least `limit`."""
        return self.value >= limit

    def describe(self) -> str:
        """Return it as text, such as `0.991 (equal classes, 448 samples, SNR 31 dB)`."""
        if not self.measured:
            return "not measured"
        if not self.samples:
            return f"{self.value:.4g} ({self.quantity})"
        made = f"{'invented ' * self.synthetic}sample{'s' * (self.samples != 1)}"
        parts = [self.quantity, f"{self.samples} {made}"]
        if math.isfinite(self.snr_db):
            parts.append(f"SNR {self.snr_db:.0f} dB")
        if self.calibration:
            parts.append(f"{self.calibration} on {self.calibrated_on}")
        return f"{self.value:.4g} ({', '.join(parts)})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as data for JSON; what was not measured, and infinity, are None."""
        data = asdict(self)
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in data.items()
        }


#: What every output says of accelerators that the user allowed without samples.
UNCALIBRATED = (
    "uncalibrated INT8, as far as is known: nobody compared its answers with FP32, so that it is"
    " right for speed alone"
)

#: Of an accelerator whose answers were not compared.
NOT_MEASURED = Agreement(math.nan)

#: Agreements by (tenant, accelerator).
Agreements = Mapping[tuple[int, int], Agreement]


def with_agreement(
    measurement: Measurement, configuration: Configuration, agreements: Agreements
) -> Measurement:
    """Return a measurement with the agreement of each tenant: the worst of what serves it.

    It is NaN where one of the accelerators that serve the tenant was not judged.
    """
    tenants = []
    for tenant, measured in enumerate(measurement.tenants):
        used = [
            agreements.get((tenant, accelerator), NOT_MEASURED)
            for owner, accelerator, _, _ in configuration.slots()
            if owner == tenant
        ]
        if used and all(each.measured for each in used):
            worst = min(used, key=lambda each: (each.value, -each.samples))
            measured = replace(
                measured, agreement=worst.value, agreement_samples=float(worst.samples)
            )
        tenants.append(measured)
    return replace(measurement, tenants=tuple(tenants))


def below_limit(agreement: Agreement, limit: float) -> str:
    """Return why an accelerator whose answers agree less than that is no choice."""
    return (
        f"its answers agree with FP32 only to {agreement.describe()}, below min_agreement={limit:g}"
    )


def narrowed(space: ConfigurationSpace, agreements: Agreements, limit: float) -> ConfigurationSpace:
    """Return the space without the pairs whose agreement was measured below a limit."""
    known = list(agreements.items())  # more may be added meanwhile, by the thread that judges
    below = {pair for pair, each in known if each.measured and not each.keeps(limit)}
    return replace(space, unavailable=space.unavailable | below) if below else space
