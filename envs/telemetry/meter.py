"""Reading a sensor from a thread of its own while a window is open."""

from __future__ import annotations

import threading
from types import TracebackType

from envs.errors import TunerError
from envs.telemetry.energy import PowerWindow, power_window
from envs.telemetry.protocol import BoardSample, Sensor

#: Longer than a sensor waits for its own sample, so that it is the one who says what is wrong.
ANSWER_S = 5.0


class PowerMeter:
    """The power of what happens inside its `with` block; ask for `window` after it.

    A sensor of watts is read every `interval_s`; for one that counts energy, the two ends are enough. A sensor that fails, hangs, or is
    stuck is told as such in the window and disturbs nothing else.
    """

    def __init__(self, sensor: Sensor, interval_s: float = 0.1) -> None:
        self._sensor = sensor
        self._interval_s = interval_s
        self._samples: list[BoardSample] = []
        self._fault = ""
        self._read_once = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="power", daemon=True)  # a read that hangs must not keep the program

    def __enter__(self) -> PowerMeter:
        self._thread.start()
        self._read_once.wait(ANSWER_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join(ANSWER_S if self._read_once.is_set() else 0.0)

    def window(self) -> PowerWindow:
        """From the reading before the block to the one after it."""
        fault = f"{self._sensor.name}: no answer within {ANSWER_S:g} s" if self._thread.is_alive() else self._fault
        return power_window(list(self._samples), self._sensor.has_power, fault)

    def _run(self) -> None:
        last = False
        while not last and not self._fault:
            last = self._stopping.is_set()
            self._take()
            self._read_once.set()
            self._stopping.wait(self._pause_s())

    def _take(self) -> None:
        try:
            sample = self._sensor.read()
        except TunerError as error:
            self._fault = str(error)
        except Exception as error:  # a driver's own; whatever it is, the window goes on without power
            self._fault = f"{self._sensor.name}: {type(error).__name__}: {error}"
        else:
            self._samples.append(sample)

    def _pause_s(self) -> float | None:
        """Until the next reading; None is until the end of the block."""
        first = self._samples[0] if self._samples else BoardSample()
        return self._interval_s if (self._sensor.has_power or first.rails_w) and not first.energy_j else None
