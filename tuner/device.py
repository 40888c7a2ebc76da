"""The one way to a device: `open_device` reads options and returns a device ready to measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from envs.arrays import Placements
from envs.errors import OptionError
from envs.problems.problem import Problem, problem_of
from envs.runtimes.protocol import Closing, Runtime, try_configuration
from envs.runtimes.serving.readiness import Readiness
from envs.simulator.device_model import DeviceModel
from envs.simulator.window_noise import WINDOW_S
from envs.spec import Agreements, Configuration, ConfigurationSpace, Objective, Outcome
from tuner.model_at import ModelAt, rates_of
from tuner.opening import open_parts
from tuner.options import ServeOptions
from tuner.parts import PAIRS, Demands, nothing_more
from tuner.placement.active_parts import ActiveReadiness

#: Fields of `ServeOptions` that are lists of texts.
TEXT_LISTS = frozenset(
    {"network", "accelerators", "mappings", "precisions", "samples", "shape", "fix", "criticality"}
)

#: (instances, batch) by accelerator for one network; by network, then accelerator, for several.
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Device(Closing):
    """A device that serves: a runtime, its space, and the model of it. A context manager.

    Attributes:
        runtime: applies configurations and measures them.
        model_at: gives the device model at arrival rates [T], infinite for a closed loop.
        candidates: [N, T, A, 2], the configurations of a recording; None where every valid
            configuration of the space can be tried.
        remarks: gives sentences about the instances that serve now.
        agreements: how far answers are those of FP32, by (tenant, accelerator).
        min_agreement: the limit on it.
        readiness: tells which engines are ready; None where all of them are.
        reserve: a configuration outside the space that serves when nothing else can; None for none.
    """

    runtime: Runtime
    model_at: ModelAt
    candidates: Placements | None = None
    remarks: Callable[[], list[str]] = list
    agreements: Agreements = field(default_factory=dict)
    min_agreement: float = 0.0
    readiness: Readiness | ActiveReadiness | None = None
    reserve: Configuration | None = None

    @property
    def space(self) -> ConfigurationSpace:
        """Return the configurations that can be chosen."""
        return self.runtime.space

    @property
    def model(self) -> DeviceModel:
        """Return the device model at the arrival rates of the workload."""
        return self.model_at(rates_of(self.space))

    def problem(self, objective: Objective) -> Problem:
        """Return the problem of finding the best configuration here for an objective."""
        problem = problem_of(self.model, objective, self.candidates)
        is_built = None if self.readiness is None else self.readiness.built
        return replace(problem, agreements=self.agreements, is_built=is_built)

    def configuration(self, given: Configuration | Given) -> Configuration:
        """Return a configuration from `{"cpu_fp32": (2, 4)}`, (instances, batch) by accelerator.

        Args:
            given: for several networks, such a mapping by network. A Configuration stays as it is.

        Raises:
            OptionError: a network or an accelerator is unknown, or a value is not such a pair.
        """
        if isinstance(given, Configuration):
            return given
        names, accelerators = self.space.workload.names, self.space.device.accelerator_names
        several = all(isinstance(value, Mapping) for value in given.values())
        placements = np.zeros((*self.space.shape, 2), dtype=np.int16)
        for name, row in given.items() if several else [(names[0], given)]:
            for accelerator, pair in row.items():
                tenant = _position("network", name, names)
                column = _position("accelerator", accelerator, accelerators)
                placements[tenant, column] = _instances_and_batch(accelerator, pair)
        return Configuration.of(placements)

    def measure(self, given: Configuration | Given, window_s: float = WINDOW_S) -> Outcome:
        """Apply a configuration and measure it.

        Args:
            given: see `configuration`.
            window_s: length of the window [s].

        Returns:
            A Measurement, or a Failure where the configuration cannot be served.
        """
        return try_configuration(self.runtime, self.configuration(given), window_s)

    def provenance(self) -> dict[str, Any]:
        """Return what is known of the answers, as data for JSON, for what is kept of this device.

        `agreements` has them by network and accelerator; `uncalibrated` names the pairs that serve
        although nobody judged their answers.
        """
        space, found = self.space, dict[str, dict[str, Any]]()
        for (tenant, column), each in self.agreements.items():
            row = found.setdefault(space.workload.names[tenant], {})
            row[space.device.accelerator_names[column]] = each.to_dict()
        return {
            "agreements": found,
            "min_agreement": self.min_agreement,
            "uncalibrated": space.uncalibrated(),
        }

    def close(self) -> None:
        """Stop all instances and release the device; a second call does nothing."""
        self.runtime.close()


def open_device(
    networks: ServeOptions | str | Path | Sequence[str | Path] = (),
    /,
    *,
    power_w: float | None = None,
    needs_model: bool = False,
    engines: str = PAIRS,
    reserve: bool = False,
    optional: bool = False,
    check: Callable[[ConfigurationSpace, bool], None] = nothing_more,
    **options: Any,
) -> Device:
    """Open the device that options describe: check, read, build, and make ready to measure.

    Example:
        >>> with open_device("my.onnx") as device:  # doctest: +SKIP
        ...     outcome = device.measure({"cpu_fp32": (2, 4)})

    Args:
        networks: ONNX files, or all options as one `ServeOptions`.
        power_w: a power limit that will be set; it is refused here, before engines are built, where
            no power is measured.
        needs_model: refuse a device without a model before engines are built; otherwise only
            `Device.model` refuses it, since measuring needs no model.
        engines: which of TensorRT are ready at the return: `first` (one that serves), `pairs` (one
            of each network on each accelerator) or `all`; others are built when they are needed.
        reserve: let the processor's cores serve where nothing else can.
        optional: let networks be without an instance, as they come and go.
        check: gets the space, and whether power is measured, before engines are built.
        options: fields of `ServeOptions` by name.

    Raises:
        OptionError, NetworkError, DependencyError, SensorError, ObjectiveError, TraceError: one
            sentence that names the error and the remedy, before anything is built.
    """
    serve = serve_options(networks, **options)
    serve.check()
    return Device(
        *open_parts(serve, Demands(power_w, needs_model, engines, reserve, check, optional))
    )


def serve_options(
    networks: ServeOptions | str | Path | Sequence[str | Path], /, **options: Any
) -> ServeOptions:
    """Return options from ONNX files and fields of `ServeOptions` by name.

    One file or name will do where a field is a list of them, as in `samples="inputs.npz"`.

    Raises:
        OptionError: there is no such field.
    """
    if isinstance(networks, ServeOptions):
        base = networks
    else:
        paths = [networks] if isinstance(networks, (str, Path)) else networks
        base = ServeOptions([str(path) for path in paths])
    names = [each.name for each in fields(base)]
    for name in options:
        if name not in names:
            raise OptionError(f"there is no option {name!r}: choose from {', '.join(names)}")
    return replace(base, **{name: _listed(name, value) for name, value in options.items()})


def _listed(name: str, value: Any) -> Any:
    """Return a list of texts where an option takes one, also of a single text or path."""
    if name not in TEXT_LISTS or value is None:
        return value
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return [str(each) for each in (value if several else [value])]


def _position(kind: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise OptionError(f"there is no {kind} {name!r} here: choose from {', '.join(names)}")
    return names.index(name)


def _instances_and_batch(accelerator: str, pair: Any) -> tuple[int, int]:
    try:
        instances, batch = pair
        if not (0 <= instances < 2**15 and 0 <= batch < 2**15):
            raise ValueError
        return int(instances), int(batch)
    except (TypeError, ValueError):
        raise OptionError(
            f"{accelerator}={pair!r:.80} must be (instances, batch), as in (2, 4)"
        ) from None
