"""Write how a training goes, as a CSV file with a row for each update of the policy."""

import csv
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.arrays import FloatArray
from envs.errors import StorageError, TraceError, one_line
from envs.files import read_small, write_text

#: Environment steps, finished episodes and seconds so far; of the episodes since the row before,
#: the mean gain and the share of the measurements that broke a limit.
COLUMNS = ("steps", "episodes", "gain_per_episode", "broken_share", "seconds")

#: The file's name in the folder of a run.
FILE = "learning_curve.csv"

#: A row has some 40 bytes, and no run a million updates.
MAX_BYTES = 1 << 26


class LearningCurve:
    """Writes a row for each update; a run that goes on after `steps` keeps the rows until then.

    Args:
        path: of the file.
        steps: environment steps that were made before. Later rows of a run that was stopped hard
            tell what its checkpoint does not know, and are dropped.

    Raises:
        TraceError: the file of an earlier part of the run is damaged.
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self._path = path
        known = read_curve(path) if steps and path.exists() else np.empty((0, len(COLUMNS)))
        kept = known[known[:, 0] <= steps]
        _, episodes, _, _, seconds = kept[-1] if len(kept) else np.zeros(len(COLUMNS))
        self._episodes = int(episodes)
        self._began_s = time.perf_counter() - seconds
        write_text(path, ",".join(COLUMNS) + "\n" + "".join(map(_line, kept)))

    def add(self, steps: int, gains: Sequence[float], broken_shares: Sequence[float]) -> None:
        """Write the row of an update; none where no episode finished.

        Args:
            steps: environment steps so far.
            gains: of each episode that finished since the row before.
            broken_shares: of each, the share of its measurements that broke a limit.

        Raises:
            StorageError: the disk is full.
        """
        if not gains:
            return
        self._episodes += len(gains)
        means = float(np.mean(gains)), float(np.mean(broken_shares))
        row = (steps, self._episodes, *means, time.perf_counter() - self._began_s)
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(_line(row))
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(
                f"cannot write {self._path}: {reason}; free some space and run the same command"
                " again to go on"
            ) from error


def _line(row: Sequence[float] | FloatArray) -> str:
    steps, episodes, gain, broken, seconds = row
    return f"{steps:.0f},{episodes:.0f},{gain:.5f},{broken:.5f},{seconds:.1f}\n"


def read_curve(path: Path) -> FloatArray:
    """Return the rows of a curve, [rows, COLUMNS]; a last row that was cut off is left out.

    Raises:
        TraceError: the file is damaged.
    """
    try:
        text = read_small(path, MAX_BYTES).decode()
        head, *rows = csv.reader(text[: text.rfind("\n") + 1].splitlines())
        if tuple(head) != COLUMNS:
            raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS))
    except (OSError, ValueError) as error:
        raise TraceError(
            f"{path} is damaged ({one_line(error)}): remove it, and the curve begins anew"
        ) from error
