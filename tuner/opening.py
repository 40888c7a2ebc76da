"""Open each runtime by name: find the device, read the networks, check, and build engines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from envs.catalog.boards import board
from envs.errors import OptionError
from envs.runtimes.replayed import ReplayedRuntime
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.known_devices import model_for
from envs.simulator.machine import device_of
from envs.spec import UNCALIBRATED, Agreement, Agreements, ConfigurationSpace
from envs.traces.reader import find_trace, read_trace
from envs.traces.remark import remark
from tuner.answers import (
    below,
    examined_networks,
    judge_copies,
    judged,
    no_choice,
    unjudged_pairs,
    warn_of_few,
    without,
)
from tuner.live import open_live
from tuner.mapped_space import groups_of, has_mappings, mapped_networks
from tuner.model_at import models_of
from tuner.options import ServeOptions
from tuner.parts import Demands, Parts, engines_of, narrowed_device, read_all
from tuner.recorded_answers import recorded

logger = logging.getLogger(__name__)


def open_parts(serve: ServeOptions, demands: Demands) -> Parts:
    """Return the parts of the device that options describe, which were checked already."""
    if serve.runtime == "replayed":
        if demands.optional:
            raise OptionError(
                "networks of a recording cannot come and go, since nobody measured them alone:"
                " leave --active out"
            )
        return _replayed(serve)
    if serve.runtime == "simulated":
        return _simulated(serve, demands)
    return open_live(serve, demands)


def _replayed(serve: ServeOptions) -> Parts:
    trace = read_trace(find_trace(serve.trace or ""))
    if trace.metadata.get("runtime") == "simulated":
        logger.warning("%s was recorded in the device model: nothing was measured", trace.path.name)
    if told := remark(trace):
        logger.warning("%s", told)
    layers, paths = None, serve.files()
    if serve.network:
        networks, layers = read_all(serve, paths)
        trace.check_networks(networks)
    space, candidates = recorded(trace, serve)
    groups = groups_of(paths) if serve.network and has_mappings(space) else ()
    return Parts(
        ReplayedRuntime(trace, space),
        models_of(space, layers, engines=trace.engines, groups=groups),
        candidates,
        min_agreement=serve.min_agreement,
    )


def _simulated(serve: ServeOptions, demands: Demands) -> Parts:
    module = board(serve.board or "agx_orin_64")
    device = device_of(module.name, serve.mode or next(iter(module.power_modes)))
    device = narrowed_device(device, serve)
    paths = serve.files()
    networks, layers = read_all(serve, paths)
    engines = engines_of(device, serve)
    bare = serve.space(device, networks)
    mapped = mapped_networks(
        serve, bare, paths, lambda groups: model_for(bare, layers, groups=groups, **engines).machine
    )
    examined = examined_networks(serve, paths, networks)
    space = mapped.of(serve.space(device, [each.network for each in examined]))
    space = demands.tenants(space)
    space = without(space, no_choice(space, examined, serve.allow_uncalibrated))
    space = replace(space, unjudged=unjudged_pairs(space, examined))
    space, agreements = _judged(
        space, judge_copies(space, examined, serve.cache_path), serve.min_agreement
    )
    model = model_for(space, layers, groups=mapped.groups, **engines)
    runtime = SimulatedRuntime(model, agreements=agreements)
    models = models_of(space, layers, engines=engines, groups=mapped.groups)
    return Parts(runtime, models, agreements=agreements, min_agreement=serve.min_agreement)


def _judged(
    space: ConfigurationSpace, judge_pair: Callable[[int, int], Agreement], limit: float
) -> tuple[ConfigurationSpace, Agreements]:
    """Return the space without the pairs whose answers are not right, and what was measured."""
    agreements, errors = judged(space, judge_pair)
    space = without(space, errors | below(space, agreements, limit))
    warn_of_few(space, agreements, limit)
    if unjudged := space.uncalibrated():
        logger.warning("%s: %s", UNCALIBRATED, ", ".join(unjudged))
    return space, agreements
