"""Read a sensor in a thread of its own while a window is open."""

from __future__ import annotations

import threading

from envs.errors import SensorError, TunerError
from envs.telemetry.energy import PowerWindow, power_window, reading_fault
from envs.telemetry.protocol import BoardSample, Sensor

#: How long a reading may take. It is longer than the timeouts of sensors, whose own errors say
#: more.
ANSWER_S = 5.0

#: Share of a window's readings that may fail; trapezoids bridge the gaps. The restart of a service
#: costs one or two readings.
FAILED_SHARE = 0.1


class PowerMeter:
    """Measures the power during its `with` block; `window` returns the result afterwards.

    One meter serves any number of windows, one after the other. A sensor of power is read every
    `interval_s`; a sensor that counts energy is read at both ends. If a sensor fails, hangs, or is
    stuck, the window has a fault and nothing else is disturbed. No reading starts while a reading
    of an earlier window has not returned.
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

    def __exit__(self, *exception: object) -> None:
        if self._readings is not None and not self._hangs:
            self._readings.end()

    def window(self) -> PowerWindow:
        """Return the power from the reading before the block to the reading after it."""
        has_power = self.sensor.has_power
        if self._hangs:
            return power_window(
                [],
                has_power,
                f"{self.sensor.name}: a reading of an earlier window has not returned",
            )
        if self._readings is None:
            return power_window([], has_power)
        return power_window(list(self._readings.samples), has_power, self._readings.fault())


class _Readings:
    def __init__(self, sensor: Sensor, interval_s: float) -> None:
        self.samples: list[BoardSample] = []
        self._sensor = sensor
        self._interval_s = interval_s
        self._failed = 0
        self._error = ""  # of the last reading; empty if it succeeded
        self._last_error = ""
        self._read_once = threading.Event()
        self._stopping = threading.Event()
        # A daemon: a reading that hangs must not keep the program alive.
        self._thread = threading.Thread(target=self._run, name="power", daemon=True)

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
        """Return why the readings cannot be used; "" if they can.

        They cannot if the last reading failed, or too many did.
        """
        if self.alive:
            return f"{self._sensor.name}: no answer within {ANSWER_S:g} s"
        few_failed = self._failed <= FAILED_SHARE * (self._failed + len(self.samples))
        return self._error if few_failed else self._last_error

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
            self._error = ""
            return
        except TunerError as error:
            self._error = str(error)
        except Exception as error:  # of a driver: the window continues without power
            self._error = f"{self._sensor.name}: {type(error).__name__}: {error}"
        self._last_error = self._error
        self._failed += 1

    def _pause_s(self) -> float | None:
        """Return the pause until the next reading; None lasts until the end of the block."""
        first = self.samples[0] if self.samples else BoardSample()
        measures_power = (self._sensor.has_power or first.rails_w) and not first.energy_j
        return self._interval_s if measures_power else None
