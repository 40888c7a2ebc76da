"""Every tuned number of the controller and of the policy beside a service, in one record.

Each field says what it does and, after "Chosen by", which benchmark or source chose its value:

- "soak": `python -m benchmarks.soak`, half an hour under control on a computer.
- "soak_model": `python -m benchmarks.soak_model`, the same on many devices of the model.
- "faults": `python -m benchmarks.faults`, which breaks things on purpose.
- "assumed": no benchmark chose it.

What is not here is decided by the belief and the price of a broken limit: what is worth measuring,
when a search ends, and when to look again. `tests/tuner/policy/test_thresholds.py` counts the
numbers that remain, those of single modules included, and docs/architecture.md lists them.
"""

from dataclasses import dataclass, fields

from envs.errors import require_positive


@dataclass(frozen=True)
class Thresholds:
    """All thresholds of the controller, each with the benchmark or source that chose it."""

    # Monitors of the controller.

    #: So many times in a row are no accident: the very same power, to the last bit, which counts as
    #: a stuck sensor; windows without a neighbour, which is gone then, or with one beside which the
    #: limits are kept, which is part of the device then; failures of an accelerator, which is no
    #: choice then; surprising broken limits beside a neighbour. As many periods pass without
    #: experiments after a broken limit. Chosen by: faults.
    in_a_row: int = 3
    #: Share by which arrivals must differ from the assumed rate to have changed; they must differ
    #: by more than `surprise_sigmas` as well. Assumed.
    arrivals_share: float = 0.25
    #: Change of the board's temperature, in degrees, after which measurements no longer count.
    #: Assumed.
    temperature_change_c: float = 15.0
    #: Surprising windows beyond a limit that was kept before, after which measurements no longer
    #: count; others count by how unlikely they are. Chosen by: soak.
    surprising_breaks: int = 2
    #: Standard deviations beyond which a window is surprising; one that is farther off counts as
    #: one that far. Chosen by: convention (3 sigma).
    surprise_sigmas: float = 3.0
    #: Periods in a row without any measurement after which a new process is the better try (a
    #: broken CUDA context stays broken). Assumed.
    failed_periods: int = 10
    #: Periods after which what is no choice is tried again. Assumed: half an hour of periods of
    #: 3 s, of which an accelerator that still fails costs `in_a_row`, 0.5 %.
    retry_periods: int = 600

    # What serves, and the meaning of windows.

    #: Log score that another configuration must gain over the one that serves: a window
    #: cannot show a smaller gain, and a change disturbs. Assumed.
    change_gain_log: float = 0.03
    #: Windows that are remembered: the latest of each configuration, and as many, about, over which
    #: noise and the share of an error that the next window repeats are learned. Chosen by: soak.
    memory_windows: int = 60
    #: Latest windows whose mean a new problem starts from: enough to average, few enough to be of
    #: now. The believed chance to keep the limits counts as many. Chosen by: soak.
    latest_windows: int = 10
    #: Windows that the noise expected beforehand counts as. Assumed.
    assumed_windows: int = 2
    #: Ratio of learned to assumed variance of windows beyond which the belief is learned anew.
    #: Chosen by: soak.
    reweigh_ratio: float = 2.0

    def __post_init__(self) -> None:
        require_positive("thresholds", self, *(field.name for field in fields(self)))


#: The values that everything uses unless it is given others.
DEFAULT_THRESHOLDS = Thresholds()
