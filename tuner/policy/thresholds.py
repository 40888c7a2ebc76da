"""Every tuned number of the controller and of the policy beside a service, in one record.

Each field says what it does and, after "Chosen by", which benchmark or source chose its value:

- "soak": `python -m benchmarks.soak`, half an hour under control on a computer.
- "offline soak": the windows of recorded soaks, resampled through the controller over 20 to 40
  seeds, comparing broken limits and throughput.
- "faults": `python -m benchmarks.faults`, which breaks things on purpose.
- "assumed": no benchmark chose it.
"""

from dataclasses import dataclass, fields

from envs.errors import require_positive


@dataclass(frozen=True)
class Thresholds:
    """All thresholds of the controller, each with the benchmark or source that chose it."""

    # Monitors of the controller.

    #: Windows in a row with the very same power, to the last bit, after which a sensor counts as
    #: stuck. Chosen by: faults.
    stuck_power_windows: int = 3
    #: Share by which arrivals must differ from the assumed rate to have changed. Assumed.
    arrivals_share: float = 0.25
    #: Standard deviations of Poisson arrivals by which they must differ as well. Chosen by: its
    #: false alarms, fewer than 1 in 1,000 windows (tests/tuner/control/monitors).
    arrivals_sigmas: float = 4.0
    #: Factor beyond which a change of arrivals is believed at once; a smaller one must be seen in
    #: two windows in a row, for traffic comes in bursts. Assumed.
    arrivals_factor: float = 2.0
    #: Change of the board's temperature, in degrees, after which measurements no longer count.
    #: Assumed.
    temperature_change_c: float = 15.0
    #: Surprising broken limits, of configurations that kept the limits before, after which
    #: measurements no longer count. Chosen by: soak.
    surprising_breaks: int = 2
    #: A surprising broken limit counts as many as this many broken limits within the noise.
    #: Chosen by: soak.
    surprise_weight: int = 3
    #: A broken limit counts this many times less beside a neighbour, which may be gone in the next
    #: window. Chosen by: offline soak (broken limits 1.62 -> 1.21 % and 1.40 -> 1.26 %).
    neighbour_discount: int = 2
    #: Periods in a row without a neighbour after which it counts as gone, or with one while the
    #: limits are kept after which it counts as part of the device. Chosen by: soak.
    neighbour_periods: int = 3
    #: Periods in a row without any measurement after which a new process is the better try (a
    #: broken CUDA context stays broken). Assumed.
    failed_periods: int = 10
    #: Failures of an accelerator in a row after which it is no choice. Assumed: the first may be
    #: an accident and the second its aftermath; each further one would cost another period.
    drop_after_failures: int = 3
    #: Periods after which what is no choice is tried again. Assumed: half an hour of periods of
    #: 3 s, of which an accelerator that still fails costs `drop_after_failures`, 0.5 %.
    retry_periods: int = 600
    #: Periods without experiments after a broken limit. Chosen by: faults.
    cooldown_periods: int = 3

    # What the decider asks for.

    #: Share of a new shortlist that may be configurations that were measured before; the rest is
    #: new. Assumed.
    recalled_share: float = 0.5
    #: Times in a row that nothing is worth measuring after which the search ends, until a limit
    #: breaks or conditions change. Chosen by: `python -m benchmarks.controlling` (decision time).
    searches_until_settled: int = 3
    #: Periods with the same configuration after which to ask again whether another one is faster.
    #: Chosen by: offline soak (soaks with every phase at 95 % or more: 44 -> 56 of 80).
    recheck_periods: int = 10

    # What the online tuner measures, and what it serves.

    #: Chance to keep the limits with which a new configuration may be measured although nothing
    #: says that it is faster: the model may be wrong. Chosen by: soak.
    safe_chance: float = 0.95
    #: Log score by which such a configuration may be worse than the best. Chosen by: soak.
    safe_loss_log: float = 0.3
    #: Chance to keep the limits that is high enough to serve; a higher one is worth nothing more.
    #: Chosen by: offline soak.
    enough_chance: float = 0.99
    #: A configuration whose chance is lower than that of the best by this much is not returned to.
    #: Chosen by: offline soak (breaks after a return: 0.09 -> 0.05 % of periods).
    return_chance_gap: float = 0.1
    #: Chance to keep the limits that a faster configuration must have to be measured. Chosen by:
    #: offline soak.
    try_chance: float = 0.8
    #: Broken limits a period that looking again at faster configurations may cost; a less certain
    #: one waits longer. Chosen by: offline soak (mean throughput of a busy run: 96.1 -> 97.3 %).
    recheck_risk: float = 0.0025
    #: Ratio of learned to assumed variance of windows beyond which the belief is learned anew.
    #: Chosen by: offline soak.
    reweigh_ratio: float = 2.0
    #: Log score that another configuration must gain over the one that serves: a window
    #: cannot show a smaller gain, and a change disturbs. Assumed.
    change_gain_log: float = 0.03

    # The meaning of windows.

    #: Latest windows of a configuration that are kept. Assumed.
    remembered_windows: int = 100
    #: Windows that the believed chance to keep the limits counts as. Chosen by: soak.
    believed_windows: int = 10
    #: Latest windows whose mean a new problem starts from: enough to average, few enough to be of
    #: now. Assumed.
    latest_windows: int = 10
    #: Standard errors by which a chance may be better than it looks, so that bad luck in a few
    #: windows does not end in something much slower. Chosen by: soak.
    benefit_sigmas: float = 0.5
    #: Windows over which the noise of a configuration is learned, about. Assumed.
    noise_windows: int = 30
    #: Windows that the noise expected beforehand counts as. Assumed.
    assumed_windows: int = 2
    #: Standard deviations beyond which a window is surprising. Chosen by: convention (3 sigma).
    surprise_sigmas: float = 3.0
    #: Share of the others' variance that a configuration without windows is expected to have (half
    #: of the standard deviation). At 1, nothing new would ever be tried. Chosen by: soak.
    others_variance_share: float = 0.25
    #: Windows over which the share of the last error that the next window repeats is learned.
    #: Chosen by: offline soak.
    carried_windows: int = 60
    #: Largest such share. Assumed.
    most_carried_share: float = 0.9

    def __post_init__(self) -> None:
        require_positive("thresholds", self, *(field.name for field in fields(self)))


#: The values that everything uses unless it is given others.
DEFAULT_THRESHOLDS = Thresholds()
