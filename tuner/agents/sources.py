"""Sources of problems for a training: the device model, a recording, or a device."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from envs.errors import ConfigurationError, OptionError
from envs.problems.draw_options import DrawOptions
from envs.problems.limits import LimitRange, draw_objectives, uniforms_per_draw
from envs.problems.problem_batch import ProblemBatch
from envs.problems.runtime_world import RuntimeWorld
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.trace_world import TraceWorld
from envs.problems.world import World, default_of
from envs.spec import Measurement, Objective, Origin
from envs.traces.reader import Trace, find_trace, read_trace
from envs.traces.remark import remark
from tuner.agents.agent_options import AgentOptions
from tuner.console import progress_bar
from tuner.device import Device
from tuner.objectives import asked, objective_of
from tuner.options import ServeOptions, plain
from tuner.policy.device_twin import DeviceTwin

#: A training on a device that would take longer than this is refused: it is a wrong option.
MAX_DEVICE_HOURS = 48.0


class ProblemSource(Protocol):
    """A source of problems for a training.

    Attributes:
        sentence: names the source and the origin of its numbers.
        identity: equal only for the same source; a run continues only with the same.
        provenance: what a bundle tells of it.
        twin: what a bundle knows of one recorded device; None for most sources.
    """

    sentence: str
    identity: dict[str, Any]
    provenance: dict[str, Any]
    twin: DeviceTwin | None

    def world(self, run: Path) -> World:
        """Return the problems; what takes long to make is kept in the folder of the run."""
        ...


class DrawnProblems:
    """Problems drawn in the device model (simulated)."""

    twin: DeviceTwin | None = None

    def __init__(self, draw: DrawOptions, problems: int, seed: int, jobs: int) -> None:
        self._arguments = (draw, problems, seed, jobs)
        boards = ", ".join(draw.boards or ["all boards that are not held out"])
        self.sentence = f"training on {problems} problems in the device model (simulated): {boards}"
        self.identity = {"draw": plain(draw)}
        self.provenance = {"draw": plain(draw), "problems": problems}

    def world(self, run: Path) -> World:
        """Draw the problems, or read those that the run drew before."""
        draw, problems, seed, jobs = self._arguments
        return kept_or_drawn(
            run,
            problems,
            lambda progress: SimulatedWorld(draw, problems, seed, jobs, progress),
        )


class RecordedProblems:
    """Limits drawn on a recording (replayed).

    Args:
        name: of the recording, by name or path.
        problems, seed: of the draw.
        limits: the goal and the least rates of all of them, see `tuner.objectives.asked`; None for
            throughput alone.
    """

    twin: DeviceTwin | None = None

    def __init__(
        self, name: str, problems: int, seed: int, limits: Mapping[str, Any] | None = None
    ) -> None:
        self.trace: Trace = read_trace(find_trace(name))
        self.limits = asked() if limits is None else limits
        self._common = objective_of(self.limits, self.trace.space.workload)
        self.arguments = (problems, seed)
        path, served = self.trace.path, ", ".join(self.trace.space.workload.names)
        self.sentence = (
            f"training on {path.name}: {len(self.trace.rows)} configurations of {served},"
            f" measured on {self.trace.space.device.name}, replayed"
        )
        self.identity = {"trace_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        if self.limits != asked():
            self.identity |= {"limits": plain(self.limits)}
        told = {key: self.trace.metadata.get(key) for key in ("machine", "started", "versions")}
        self.provenance = {"trace": {"name": path.name, **told}}
        if remark(self.trace):
            self.sentence += f"\n{remark(self.trace)}"
            self.provenance["trace"]["remark"] = remark(self.trace)

    def world(self, run: Path) -> World:
        """Draw limits of the training split on the recording."""
        problems, seed = self.arguments
        around = LimitRange.of(self.trace.batch)
        return TraceWorld(
            self.trace, seed=seed, objectives=drawn_around(around, problems, seed, self._common)
        )


def kept_or_drawn(
    run: Path, problems: int, draw: Callable[[Callable[[int], object]], SimulatedWorld]
) -> SimulatedWorld:
    """Read the problems that the run drew before, or draw them, which takes long, and keep them."""
    kept = run / "problems.npz"
    if kept.exists():
        return SimulatedWorld.of(ProblemBatch.load(str(kept)))
    with progress_bar("drawing problems", problems) as advance:
        world = draw(lambda new: advance("", new))
    world.problems.save(str(kept))
    return world


@dataclass
class DeviceProblems:
    """Limits on one device, whose runtime answers every step of the training.

    Args:
        device: it stays open as long as the world is used.
        options: how it was opened.
        limits: goal and limits to learn for, see `tuner.objectives.asked`; where those on p99 and
            power are None, limits are drawn around what the default configuration gives.
        problems: limits to draw.
        window_s: length of a measurement [s].
    """

    device: Device
    options: ServeOptions
    limits: dict[str, Any]
    problems: int
    seed: int
    window_s: float
    twin: DeviceTwin | None = None

    def __post_init__(self) -> None:
        space = self.device.space
        served = ", ".join(space.workload.names)
        origin = self.device.runtime.origin.value
        self.sentence = f"training with {served} on {space.device.name} in the loop ({origin})"
        serve = {each.name: getattr(self.options, each.name) for each in fields(ServeOptions)}
        networks = [tenant.network.sha256 for tenant in space.workload.tenants]
        self.identity = plain({"serve": serve, "limits": self.limits, "networks": networks})
        self.identity |= {"machine": space.device.name, "window_s": self.window_s}
        self.provenance = {"runtime": self.options.runtime, "machine": space.device.to_dict()}

    def world(self, run: Path) -> World:
        """Draw limits from the training split, and give the device for everything else."""
        given = any(self.limits[key] is not None for key in ("p99_ms", "power_w"))
        device = self.device
        common = objective_of(self.limits, device.space.workload)
        objectives = [common] if given else self._drawn(common)
        return RuntimeWorld(
            device.runtime, self.window_s, objectives, device.model, device.candidates
        )

    @cached_property
    def default(self) -> tuple[Measurement, float]:
        """Return the measurement of the default configuration, made once, and its seconds.

        Raises:
            ConfigurationError: it cannot be measured.
        """
        began_s = time.perf_counter()
        start = default_of(self.device.space, self.device.candidates)
        outcome = self.device.measure(start, self.window_s)
        if not isinstance(outcome, Measurement):
            raise ConfigurationError(
                f"the default configuration cannot be measured ({outcome.reason}): there is"
                " nothing to start from"
            )
        return outcome, time.perf_counter() - began_s

    def check_time(self, agent: AgentOptions) -> str:
        """Return how long the training will take, by the default configuration's measurement.

        Raises:
            ConfigurationError: the default configuration cannot be measured.
            OptionError: it would take longer than `MAX_DEVICE_HOURS`.
        """
        each_s = self.default[1]
        # Every episode begins with a measurement of the default configuration, which is no step.
        hours = agent.steps * agent.budget / (agent.budget - 1) * each_s / 3600
        steps = f"{agent.steps:,} steps of about {each_s:.2g} s"
        if hours > MAX_DEVICE_HOURS:
            raise OptionError(
                f"agent.steps={agent.steps}: {steps} would take {hours / 24:.1f} days on this"
                " device: choose agent=fine_tune, or fewer steps"
            )
        return f"{steps} will take about {_duration(hours)}; stop it at any time, it goes on later"

    def _drawn(self, common: Objective) -> list[Objective]:
        around = LimitRange.around(self.default[0].p99_ms, self.default[0].power_w)
        objectives = drawn_around(around, self.problems, self.seed, common)
        if self.device.runtime.has_power:
            return objectives
        return [replace(each, power_w=math.inf) for each in objectives]


def drawn_around(around: LimitRange, count: int, seed: int, common: Objective) -> list[Objective]:
    """Draw limits of the training split.

    Args:
        around: what the device gives.
        count: objectives.
        seed: of the draw.
        common: has the goal and the least rates of all of them.
    """
    rng = np.random.default_rng(seed)
    uniforms = rng.random((count, uniforms_per_draw(len(common.p99_ms))))
    drawn = draw_objectives(around, uniforms, "train")
    return [
        replace(drawn.row(index), goal=common.goal, min_rate_ips=common.min_rate_ips)
        for index in range(count)
    ]


def _duration(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"


def is_live(world: World) -> bool:
    """Return True if every step of this world takes as long as a measurement."""
    return world.origin is Origin.MEASURED
