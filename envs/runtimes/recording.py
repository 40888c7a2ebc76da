"""Recording the measurements of any runtime, row by row."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from envs.errors import require_positive
from envs.runtimes.protocol import Runtime
from envs.spec import Configuration, ConfigurationFailed, Measurement, Outcome
from envs.traces.writer import TraceWriter


@dataclass
class RecordOptions:
    """Options of recording a configuration.

    Attributes:
        window_s: the shortest window.
        attempts: how many windows are taken at most while another program uses the computer; the
            least disturbed one is kept, with its mark.
        pause_s: the pause before the second window; it doubles before each further one.
    """

    window_s: float = 3.0
    attempts: int = 5
    pause_s: float = 2.0

    def __post_init__(self) -> None:
        require_positive("record", self, "window_s", "attempts")


def record(
    runtime: Runtime,
    configurations: Iterable[Configuration],
    writer: TraceWriter,
    options: RecordOptions,
    progress: Callable[[Configuration, Outcome], None] = lambda configuration, outcome: None,
) -> None:
    """Measure each configuration that `writer` does not hold yet, and write it."""
    for configuration in configurations:
        if configuration in writer:
            continue
        outcome, attempts = measure_undisturbed(runtime, configuration, options)
        writer.append(configuration, outcome, attempts, time.time())
        progress(configuration, outcome)


def measure_undisturbed(
    runtime: Runtime, configuration: Configuration, options: RecordOptions
) -> tuple[Outcome, int]:
    """Return the first undisturbed window, or the least disturbed one, and how many were taken."""
    best: Measurement | None = None
    apply_s, attempt, began_s = 0.0, 0, time.perf_counter()
    try:
        apply_s = runtime.apply(configuration).apply_s
        for attempt in range(1, options.attempts + 1):
            measurement = runtime.measure(options.window_s)
            if best is None or measurement.foreign_share < best.foreign_share:
                best = measurement
            if not measurement.disturbed:
                break
            if attempt < options.attempts:
                time.sleep(options.pause_s * 2 ** (attempt - 1))
    except ConfigurationFailed as error:
        if best is None:
            cost_s = error.failure.cost_s or time.perf_counter() - began_s
            return replace(error.failure, cost_s=cost_s), max(attempt, 1)
    assert best is not None, "attempts is at least 1"
    return replace(best, apply_s=apply_s), attempt
