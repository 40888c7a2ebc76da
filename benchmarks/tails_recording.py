"""Record windows of the same configuration again and again: they tell how p99 scatters.

Each window waits until nothing else uses the computer, and the configurations take turns, so that a
slow drift of the computer is in all of them alike.
"""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks.setup import invented_samples
from envs.catalog.architectures import build
from envs.files import replacing
from envs.runtimes.protocol import try_configuration
from envs.runtimes.serving.interference import DISTURBED_SHARE, foreign_share, read_cpu
from envs.spec import Configuration, Measurement, processor_name
from tuner.console import progress_bar
from tuner.device import Device, open_device

#: What is recorded: an architecture, the pixels along each side of its image, and (instances,
#: batch) in FP32. On two cores one batch takes from half a millisecond to 10 ms.
CASES = (
    ("squeezenet1_1", 64, (1, 1)),
    ("squeezenet1_1", 64, (2, 8)),
    ("densenet121", 32, (1, 1)),
    ("squeezenet1_1", 224, (1, 1)),
)

#: How long nothing else may run before a window begins [s], and the pause before looking again.
QUIET_S, PAUSE_S = 0.2, 0.5


@dataclass(frozen=True)
class Window:
    """One window of a recording.

    Attributes:
        series: names the windows of one configuration.
        window_s: its length.
        requests: answered in it.
        throughput_ips, p50_ms, p99_ms, p99_low_ms, p99_high_ms: as measured.
        foreign_share: share of the cores' time that other programs used; NaN where nobody says.
        source: the computer it was recorded on, or who published it.
    """

    series: str
    window_s: float
    requests: float
    throughput_ips: float
    p50_ms: float
    p99_ms: float
    p99_low_ms: float
    p99_high_ms: float
    foreign_share: float
    source: str

    @property
    def calm(self) -> bool:
        """Return True if hardly anything else used the computer, or nobody says how much."""
        return not self.foreign_share > DISTURBED_SHARE


def record(count: int, window_s: float, patience_s: float, keep: Callable[[Window], object]) -> int:
    """Record calm windows of each of `CASES`, those that were disturbed beside them.

    Args:
        count: calm windows of each.
        window_s: length of a window.
        patience_s: seconds after which the recording ends with what it has.
        keep: called with each window.

    Returns:
        The number of calm windows.
    """
    until_s, calm, quiet = time.monotonic() + patience_s, Counter[str](), False
    with contextlib.ExitStack() as stack:
        services = dict(_services(stack))
        with progress_bar("calm windows", count * len(services)) as advance:
            while time.monotonic() < until_s:
                series = min(services, key=lambda each: calm[each])
                if calm[series] >= count:
                    break
                if not (quiet or _quiet()):
                    time.sleep(PAUSE_S)
                    continue
                quiet = False
                device, configuration = services[series]
                found = try_configuration(device.runtime, configuration, window_s)
                if isinstance(found, Measurement):
                    window = _window(series, found)
                    keep(window)
                    if quiet := window.calm:
                        calm[series] += 1
                        advance(series)
    return calm.total()


def _services(stack: contextlib.ExitStack) -> Iterator[tuple[str, tuple[Device, Configuration]]]:
    """Open a device for each case, by its name."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for name, size, (instances, batch) in CASES:
        path = folder / f"{name}_{size}.onnx"
        path.write_bytes(build(name, image_size=size).SerializeToString())
        device = open_device(
            path,
            max_instances=instances,
            batches=[batch],
            accelerators=["cpu_fp32"],
            **invented_samples(path, folder),
        )
        configuration = Configuration((((instances, batch),),))
        yield f"{path.stem} {instances}x{batch}", (stack.enter_context(device), configuration)


def _quiet() -> bool:
    """Return True if nothing else used the computer for a moment."""
    before = read_cpu()
    time.sleep(QUIET_S)
    return foreign_share(before, read_cpu()) <= DISTURBED_SHARE


def _window(series: str, found: Measurement) -> Window:
    tenant = found.tenants[0]
    numbers = (
        *(tenant.requests, tenant.throughput_ips, tenant.p50_ms),
        *(tenant.p99_ms, tenant.p99_low_ms, tenant.p99_high_ms, found.foreign_share),
    )
    rounded = (round(value, 4) for value in (found.window_s, *numbers))
    return Window(series, *rounded, processor_name())


def write_windows(windows: list[Window], path: Path) -> None:
    """Write windows as CSV in one step."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [each.name for each in fields(Window)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in windows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def read_windows(path: Path) -> list[Window]:
    """Read what `write_windows` wrote."""
    texts = ("series", "source")
    with path.open(newline="") as file:
        return [
            Window(**{name: text if name in texts else float(text) for name, text in row.items()})
            for row in csv.DictReader(file)
        ]
