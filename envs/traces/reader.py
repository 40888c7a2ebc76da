"""Read and check traces."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from envs.arrays import IntArray, Placements, Rows
from envs.errors import TraceError, TunerError, one_line
from envs.files import parse_json
from envs.optional import optional_import
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    FailureKind,
    MeasurementBatch,
    Network,
    Outcome,
)
from envs.traces.schema import (
    FORMAT,
    METADATA_KEY,
    P99,
    STAND_INS,
    Row,
    check_names,
    extra_columns,
    later_columns,
    number_columns,
    outcome_of,
    placement_columns,
    text_columns,
)

BUILT_IN = Path(__file__).parent / "data"

#: Upper bounds, for a file of some kilobytes can claim any number of rows and texts of any length.
MAX_ROWS, MAX_BYTES = 500_000, 1 << 30


@dataclass(frozen=True)
class Trace:
    """Recorded measurements and their provenance.

    Attributes:
        path: the file.
        space: the space of the configurations.
        metadata: machine, versions, plan, seeds, time, command; of published measurements also
            their sources, and what was not measured (`envs.traces.remark` puts it into words).
        rows: [N] in the order of recording.
    """

    path: Path
    space: ConfigurationSpace
    metadata: dict[str, Any]
    rows: list[Row]

    @cached_property
    def placements(self) -> Placements:
        """Return the configurations [N, T, A, 2] of the rows."""
        columns = placement_columns(self.space)
        return np.array(
            [[row[name] for name in columns] for row in self.rows], dtype=np.int16
        ).reshape(-1, *self.space.shape, 2)

    @cached_property
    def batch(self) -> MeasurementBatch:
        """Return all rows as arrays."""
        return MeasurementBatch.of(
            [outcome_of(self.space, row, self.latency) for row in self.rows], self.space.shape[0]
        )

    @property
    def latency(self) -> str:
        """Return the column that latency limits are about, see `envs.traces.schema.STAND_INS`."""
        return str(self.metadata.get("latency_quantity", P99))

    @property
    def engines(self) -> dict[str, Any]:
        """Return what the metadata says of the engines, as `model_for` takes it.

        Those for Tensor Cores are INT8 unless it says FP16; those for a DLA leave nothing to the
        GPU unless it says so.
        """
        precision = self.metadata.get("precision", {}).get("tensor")
        return {
            "precision": "fp16" if precision == "fp16" else "int8",
            "dla_native": not self.metadata.get("dla_fallback", False),
        }

    @property
    def has_power(self) -> bool:
        """Return True if power was recorded."""
        return bool((self.batch.power_w > 0).any())

    @cached_property
    def _positions(self) -> tuple[Rows, Rows]:
        codes = self.space.codes(self.placements)
        order = np.argsort(codes)
        return codes[order], order

    def find(self, placements: IntArray) -> Rows:
        """Return the rows [B] of placements [B, T, A, 2]; -1 for one that was not recorded."""
        codes, order = self._positions
        wanted = self.space.codes(placements)
        found = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        return np.where(codes[found] == wanted, order[found], -1)

    def outcome(self, configuration: Configuration) -> Outcome:
        """Return the recorded outcome; a failure of kind NOT_RECORDED if there is none."""
        row = int(self.find(configuration.array()[None])[0])
        if row < 0:
            return Failure(
                FailureKind.NOT_RECORDED,
                f"{self.space.describe(configuration)} is not in {self.path.name}",
            )
        return outcome_of(self.space, self.rows[row], self.latency)

    def check_networks(self, networks: list[Network]) -> None:
        """Check that these are the recorded networks, by content; raise TraceError if not."""
        recorded = [tenant.network for tenant in self.space.workload.tenants]
        if "published" in self.metadata:
            raise TraceError(
                f"{self.path.name} holds published measurements of"
                f" {', '.join(network.name for network in recorded)}, whose ONNX files are not"
                " known: leave network out"
            )
        if [network.sha256 for network in networks] != [network.sha256 for network in recorded]:
            given, expected = (
                ", ".join(f"{network.name} ({network.sha256[:8]})" for network in group)
                for group in (networks, recorded)
            )
            raise TraceError(
                f"{self.path.name} was recorded with {expected}, not with {given}: "
                "record one with python -m tuner.record"
            )


#: Parts of the metadata that are objects, besides the space.
GROUPS = ("machine", "versions", "plan", "record", "serving", "published", "precision")


def built_in_traces() -> list[str]:
    """Return the names of the traces that come with the project."""
    return sorted(path.stem for path in BUILT_IN.glob("*.parquet"))


def find_trace(name: str) -> Path:
    """Return the path of a trace from a path or the name of a built-in trace.

    Raises:
        TraceError: there is neither.
    """
    path = Path(name)
    if not path.is_file():
        path = BUILT_IN / f"{name}.parquet"
    if not path.is_file():
        raise TraceError(
            f"there is no trace {name!r}: give a Parquet file of python -m tuner.record, "
            f"or one of {', '.join(built_in_traces())}"
        )
    return path


def read_trace(path: Path) -> Trace:
    """Read and check a trace; raise TraceError, which says what is wrong with the file."""
    arrow = optional_import("pyarrow", "tune")
    parquet = optional_import("pyarrow.parquet", "tune")
    try:
        with parquet.ParquetFile(path, memory_map=False) as file:
            claimed = sum(
                file.metadata.row_group(group).total_byte_size
                for group in range(file.metadata.num_row_groups)
            )
            if file.metadata.num_rows > MAX_ROWS or claimed > MAX_BYTES:
                raise TraceError(
                    f"{path} claims {file.metadata.num_rows:,} rows of {claimed:,} bytes, "
                    "which is not a recording: record it again"
                )
            table = file.read()
    except FileNotFoundError:
        raise TraceError(
            f"there is no file {path}: give a Parquet file of python -m tuner.record"
        ) from None
    except (arrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise TraceError(
            f"{path} is truncated or not a Parquet file ({one_line(error)}): record it again"
        ) from error
    metadata = (table.schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise TraceError(
            f"{path} is a Parquet file but not a trace of this project: "
            "record one with python -m tuner.record"
        )
    try:
        facts = parse_json(metadata)
        if facts["format"] != FORMAT:
            raise TraceError(
                f"{path} has trace format {facts['format']!r:.20}, this version reads {FORMAT}: "
                "record it again"
            )
        _check_facts(facts)
        space = ConfigurationSpace.from_dict(facts["space"])
        check_names(space)
        unread = dict.fromkeys(later_columns(space), math.nan)
        trace = Trace(path, space, facts, [unread | row for row in table.to_pylist()])
        _check_rows(trace, set(table.column_names))
    except TraceError:
        raise
    except TunerError as error:
        raise TraceError(f"{path} has damaged contents: {error}") from error
    except Exception as error:  # foreign contents end in errors without a common base
        raise TraceError(
            f"{path} has damaged contents ({type(error).__name__}: {one_line(error)}): "
            "record it again"
        ) from error
    return trace


def _check_facts(facts: dict[str, Any]) -> None:
    """Raise a TypeError or a ValueError unless the facts that are used can be used."""
    if not all(isinstance(facts.get(key, {}), dict) for key in GROUPS):
        raise TypeError("a group of facts is not an object")
    told = [facts.get("started", ""), *facts.get("published", {}).get("origin", [])]
    if not all(str(each).isprintable() for each in told):
        raise ValueError("started, or the origin of what was published, is not printable text")
    if facts.get("latency_quantity", P99) not in (P99, *STAND_INS):
        raise ValueError("latency_quantity is no column of a latency")
    if not isinstance(facts.get("dla_fallback", False), bool):
        raise TypeError("dla_fallback is neither true nor false")
    if not set(facts.get("precision", {}).values()) <= {"fp32", "fp16", "int8"}:
        raise ValueError("a precision is none of fp32, fp16 and int8")


def _check_rows(trace: Trace, columns: set[str]) -> None:
    space, rows = trace.space, trace.rows
    extra = extra_columns(space, columns)
    if not all(name.isprintable() for name in extra):
        _refuse(trace, "holds a rail whose name is not printable text")
    numeric = [*number_columns(space), *extra]
    needed = {*placement_columns(space), *numeric, *text_columns(), "disturbed"}
    missing = sorted(needed - columns - set(later_columns(space)))
    if missing:
        _refuse(trace, f"lacks the column {missing[0]!r}")
    if not rows:
        _refuse(trace, "has no rows")
    if any(row[name] is None for row in rows for name in needed):
        _refuse(trace, "has empty cells")
    codes = space.codes(trace.placements)
    if (codes < 0).any():
        _refuse(trace, "holds a configuration outside its own space")
    if len(np.unique(codes)) < len(codes):
        _refuse(trace, "holds a configuration twice")
    numbers = np.array([[row[name] for name in numeric] for row in rows], dtype=np.float64)
    if np.isinf(numbers).any():
        _refuse(trace, "holds an infinite number")
    if (numbers < 0).any():
        _refuse(trace, "holds a number below zero")
    if trace.batch.failed.all():
        _refuse(trace, "holds no configuration that could be measured")
    measured = [row for row in rows if not row["failure"]]
    # A recorder counts answers; those who publish a rate need not say how many there were.
    counted = () if "published" in trace.metadata else ("requests",)
    for quantity in ("throughput_ips", trace.latency, *counted):
        names = [f"{tenant}.{quantity}" for tenant in space.workload.names]
        if not all(row[name] > 0 for row in measured for name in names):
            _refuse(trace, f"holds a {quantity} that is not above zero in a row that did not fail")


def _refuse(trace: Trace, reason: str) -> NoReturn:
    raise TraceError(f"{trace.path} {reason}: record it again")
