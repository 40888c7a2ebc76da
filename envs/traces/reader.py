"""Reading traces. A trace answers only for configurations that were recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.arrays import Placements
from envs.errors import TraceError, TunerError, one_line
from envs.files import parse_json
from envs.optional import optional_import
from envs.spec.measurement import Failure, FailureKind, MeasurementBatch, Outcome
from envs.spec.network import Network
from envs.spec.space import Configuration, ConfigurationSpace
from envs.traces.schema import (
    FORMAT,
    METADATA_KEY,
    Row,
    check_names,
    number_columns,
    outcome_of,
    placement_columns,
    text_columns,
)

BUILT_IN = Path(__file__).parent / "data"

#: More than anybody measures. A file of some kilobytes can claim any number of rows, and texts of any length.
MAX_ROWS, MAX_BYTES = 500_000, 1 << 30


@dataclass(frozen=True)
class Trace:
    """Recorded measurements and where they came from.

    Attributes:
        metadata: machine, versions, plan, seeds, time, command.
        rows: [R], in the order of recording.
    """

    path: Path
    space: ConfigurationSpace
    metadata: dict[str, Any]
    rows: list[Row]

    @cached_property
    def placements(self) -> Placements:
        """[R, T, A, 2]"""
        columns = placement_columns(self.space)
        return np.array(
            [[row[name] for name in columns] for row in self.rows], dtype=np.int16
        ).reshape(-1, *self.space.shape, 2)

    @cached_property
    def batch(self) -> MeasurementBatch:
        """All rows as arrays."""
        return MeasurementBatch.of(
            [outcome_of(self.space, row) for row in self.rows], self.space.shape[0]
        )

    @cached_property
    def _positions(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        codes = self.space.codes(self.placements)
        order = np.argsort(codes)
        return codes[order], order

    def find(self, placements: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Rows of placements [B, T, A, 2], -1 where a configuration was not recorded."""
        codes, order = self._positions
        wanted = self.space.codes(placements)
        at = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        return np.where(codes[at] == wanted, order[at], -1)

    def outcome(self, configuration: Configuration) -> Outcome:
        """What was recorded; a typed failure where nothing was."""
        row = int(self.find(configuration.array()[None])[0])
        if row < 0:
            return Failure(
                FailureKind.NOT_RECORDED,
                f"{self.space.describe(configuration)} is not in {self.path.name}",
            )
        return outcome_of(self.space, self.rows[row])

    def check_networks(self, networks: list[Network]) -> None:
        """TraceError unless these are the networks that were recorded, by content."""
        recorded = [tenant.network for tenant in self.space.workload.tenants]
        if [network.sha256 for network in networks] != [network.sha256 for network in recorded]:
            ours, theirs = (
                ", ".join(f"{network.name} ({network.sha256[:8]})" for network in some)
                for some in (networks, recorded)
            )
            raise TraceError(
                f"{self.path.name} was recorded with {theirs}, not with {ours}: record one with python -m tuner.record"
            )


#: What a trace says about itself beside its space, in objects.
GROUPS = ("machine", "versions", "plan", "record", "serving")


def built_in_traces() -> list[str]:
    """Names of the traces that come with the project."""
    return sorted(path.stem for path in BUILT_IN.glob("*.parquet"))


def find_trace(name: str) -> Path:
    """A file, or the name of a built-in trace; TraceError if it is neither."""
    path = Path(name)
    if not path.is_file():
        path = BUILT_IN / f"{name}.parquet"
    if not path.is_file():
        raise TraceError(
            f"there is no trace {name!r}: give a Parquet file of python -m tuner.record, or one of {', '.join(built_in_traces())}"
        )
    return path


def read_trace(path: Path) -> Trace:
    """Read and check a trace; TraceError says what is wrong with the file."""
    arrow = optional_import("pyarrow", "train")
    parquet = optional_import("pyarrow.parquet", "train")
    try:
        with parquet.ParquetFile(path, memory_map=False) as file:
            claimed = sum(
                file.metadata.row_group(group).total_byte_size
                for group in range(file.metadata.num_row_groups)
            )
            if file.metadata.num_rows > MAX_ROWS or claimed > MAX_BYTES:
                raise TraceError(
                    f"{path} claims {file.metadata.num_rows:,} rows of {claimed:,} bytes, which is no recording: record it again"
                )
            table = file.read()
    except FileNotFoundError:
        raise TraceError(
            f"there is no file {path}: give a Parquet file of python -m tuner.record"
        ) from None
    except (arrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise TraceError(
            f"{path} is truncated or no Parquet file ({one_line(error)}): record it again"
        ) from error
    metadata = (table.schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise TraceError(
            f"{path} is a Parquet file but no trace of this project: record one with python -m tuner.record"
        )
    try:
        facts = parse_json(metadata)
        if facts["format"] != FORMAT:
            raise TraceError(
                f"{path} has trace format {facts['format']!r:.20}, this version reads {FORMAT}: record it again"
            )
        if not all(isinstance(facts.get(key, {}), dict) for key in GROUPS):
            raise TypeError("a group of facts is no object")
        if not str(facts.get("started", "")).isprintable():
            raise ValueError("started is no printable text")
        space = ConfigurationSpace.from_dict(facts["space"])
        check_names(space)
        rows = table.to_pylist()
        trace = Trace(path, space, facts, rows)
        _check_rows(trace, set(table.column_names))
    except TunerError as error:
        raise (
            error
            if isinstance(error, TraceError)
            else TraceError(f"{path} has damaged contents: {error}")
        ) from error
    except (
        Exception
    ) as error:  # what a file may hold in place of a trace ends in errors without a common base
        raise TraceError(
            f"{path} has damaged contents ({type(error).__name__}: {one_line(error)}): record it again"
        ) from error
    return trace


def _check_rows(trace: Trace, columns: set[str]) -> None:
    needed = {
        *placement_columns(trace.space),
        *number_columns(trace.space),
        *text_columns(),
        "disturbed",
    }
    if needed - columns:
        raise TraceError(
            f"{trace.path} lacks the column {sorted(needed - columns)[0]!r}: record it again"
        )
    if not trace.rows:
        raise TraceError(f"{trace.path} has no rows: record it again")
    if any(row[name] is None for row in trace.rows for name in needed):
        raise TraceError(f"{trace.path} has empty cells: record it again")
    codes = trace.space.codes(trace.placements)
    if (codes < 0).any():
        raise TraceError(
            f"{trace.path} holds a configuration outside its own space: record it again"
        )
    if len(np.unique(codes)) < len(codes):
        raise TraceError(f"{trace.path} holds a configuration twice: record it again")
    numbers = np.array(
        [[row[name] for name in number_columns(trace.space)] for row in trace.rows],
        dtype=np.float64,
    )
    if np.isinf(numbers).any():
        raise TraceError(f"{trace.path} holds an infinite number: record it again")
    if (numbers < 0).any():
        raise TraceError(f"{trace.path} holds a number below zero: record it again")
    if trace.batch.failed.all():
        raise TraceError(
            f"{trace.path} holds no configuration that could be measured: record it again"
        )
    for quantity in ("throughput_ips", "p99_ms"):
        if any(
            not row["failure"]
            and not all(row[f"{name}.{quantity}"] > 0 for name in trace.space.workload.names)
            for row in trace.rows
        ):
            raise TraceError(
                f"{trace.path} holds a {quantity} that is not above zero in a row that did not fail: record it again"
            )
