"""Agreement: how far the answers of an accelerator are those of FP32."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

#: The quantities that an agreement can be.
CLASSES, COSINE = "equal classes", "cosine similarity"


@dataclass(frozen=True)
class Agreement:
    """How far the answers of one network on one accelerator are those of FP32.

    Attributes:
        value: between 0 and 1; NaN where it was not measured.
        quantity: what `value` is: `equal classes` (the share of samples whose largest of C numbers
            has the same place) for one output [N, C], else `cosine similarity` (of all outputs the
            worst, with the mean over the samples).
        samples: the number of samples behind it.
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
        made = "invented samples" if self.synthetic else "samples"
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


#: Of an accelerator whose answers were not compared.
NOT_MEASURED = Agreement(math.nan)
