"""Reading a sensor from a thread of its own while a window is open."""

from __future__ import annotations

import threading
from types import TracebackType

from envs.errors import SensorError, TunerError
from envs.telemetry.energy import PowerWindow, power_window, reading_fault
from envs.telemetry.protocol import BoardSample, Sensor

#: Longer than a sensor waits for its own sample, so that it is the one who says what is wrong.
ANSWER_S = 5.0


#: So many of a window's readings may fail: trapezoids bridge a gap. A service that is restarted costs one or two.
FAILED_SHARE = 0.1


class PowerMeter:
    """The power of what happens inside its `with` block; ask for `window` after it. One meter serves any number of windows, one by one.

    A sensor of watts is read every `interval_s`; for one that counts energy, the two ends are enough. A sensor that fails, hangs, or is
    stuck is told as such in the window and disturbs nothing else. While a reading of an earlier window has not come back, none is begun.
    """

    def __init__(self, sensor: Sensor, interval_s: float = 0.1) -> None:
        self.sensor = sensor
        self._interval_s = interval_s
        self._readings: _Readings | None = None
        self._hangs = False

    def __enter__(self) -> PowerMeter:
        self._hangs = self._readings is not None and self._readings.alive
        if not self._hangs:
            self._readings = _Readings(self.sensor, self._interval_s)
            self._readings.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._readings is not None and not self._hangs:
            self._readings.end()

    def window(self) -> PowerWindow:
        """From the reading before the block to the one after it."""
        has_power = self.sensor.has_power
        if self._hangs:
            return power_window(
                [],
                has_power,
                f"{self.sensor.name}: a reading that was begun in an earlier window has not come back",
            )
        if self._readings is None:
            return power_window([], has_power)
        return power_window(list(self._readings.samples), has_power, self._readings.fault())


class _Readings:
    """Of one window, by a thread of its own."""

    def __init__(self, sensor: Sensor, interval_s: float) -> None:
        self.samples: list[BoardSample] = []
        self._sensor = sensor
        self._interval_s = interval_s
        self._failed = 0
        self._complaint = ""  # of the last reading
        self._last_complaint = ""
        self._read_once = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="power", daemon=True
        )  # a read that hangs must not keep the program

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def begin(self) -> None:
        self._thread.start()
        self._read_once.wait(ANSWER_S)

    def end(self) -> None:
        self._stopping.set()
        self._thread.join(ANSWER_S if self._read_once.is_set() else 0.0)

    def fault(self) -> str:
        """Why they do not count: the last one failed, or too many did; nothing if they do."""
        if self.alive:
            return f"{self._sensor.name}: no answer within {ANSWER_S:g} s"
        few = self._failed <= FAILED_SHARE * (self._failed + len(self.samples))
        return self._complaint if few else self._last_complaint

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stopping.is_set()
            self._take()
            self._read_once.set()
            self._stopping.wait(self._pause_s())

    def _take(self) -> None:
        try:
            sample = self._sensor.read()
            if fault := reading_fault(sample, self._sensor.has_power):
                raise SensorError(f"{self._sensor.name}: {fault}")
            self.samples.append(sample)
            self._complaint = ""
            return
        except TunerError as error:
            self._complaint = str(error)
        except (
            Exception
        ) as error:  # a driver's own; whatever it is, the window goes on without power
            self._complaint = f"{self._sensor.name}: {type(error).__name__}: {error}"
        self._last_complaint = self._complaint
        self._failed += 1

    def _pause_s(self) -> float | None:
        """Until the next reading; None is until the end of the block."""
        first = self.samples[0] if self.samples else BoardSample()
        return (
            self._interval_s
            if (self._sensor.has_power or first.rails_w) and not first.energy_j
            else None
        )
