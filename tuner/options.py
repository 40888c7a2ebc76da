"""Options that several commands share, as plain dataclasses, and what is built from them."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Optional

from envs.arrays import Placements
from envs.errors import NetworkError, OptionError
from envs.graph.reading import read_network
from envs.spec.device import local_computer
from envs.spec.network import Network
from envs.spec.space import ConfigurationSpace
from envs.spec.workload import workload_of


def shipped(folder: str) -> Path:
    """A folder that comes with the project: at the top of a checkout, inside the package where it was installed."""
    inside = Path(__file__).resolve().parent / folder
    return inside if inside.is_dir() else inside.parent.parent / folder


@dataclass
class DeviceOptions:
    """The computer to serve on: which accelerators, and how many of its cores (None: all)."""

    accelerators: list[str] = field(default_factory=lambda: ["cpu_fp32", "cpu_int8"])
    cores: Optional[int] = None


@dataclass
class WorkloadOptions:
    """The networks to serve, one a tenant: ONNX files; Poisson rates (None: closed loop); and what an inference of each counts."""

    networks: list[str] = field(default_factory=list)
    rates_ips: Optional[list[float]] = None
    weights: Optional[list[float]] = None


@dataclass
class SpaceOptions:
    """What may be chosen: see `envs.spec.space.ConfigurationSpace`."""

    max_instances: int = 4
    batches: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    max_total_instances: Optional[int] = None


def servable(
    space: ConfigurationSpace, impossible: Mapping[tuple[int, int], NetworkError]
) -> Placements:
    """[N, T, A, 2], the configurations without the (tenant, accelerator) pairs for which no engine could be built; says on standard error which those are."""
    possible = space.catalogue
    for (tenant, place), error in impossible.items():
        print(
            f"without {space.device.accelerator_names[place]} for {space.workload.names[tenant]}: {error}",
            file=sys.stderr,
        )
        possible = possible[possible[:, tenant, place, 0] == 0]
    if not len(possible):
        raise OptionError(
            "nothing can be served here: no engine could be built for any accelerator"
        )
    return possible


def existing(paths: list[str]) -> list[Path]:
    """The ONNX files; NetworkError says how to make one that is missing."""
    if not paths:
        raise OptionError("workload.networks is empty: name at least one ONNX file")
    for path in paths:
        if not Path(path).exists():
            raise NetworkError(
                f"there is no file {path}: give an ONNX file, or write one with python -m tuner.networks {Path(path).stem}"
            )
    return [Path(path) for path in paths]


def read_networks(paths: list[str]) -> list[Network]:
    """What `existing` files describe."""
    return [read_network(path) for path in existing(paths)]


def live_space(
    device: DeviceOptions, workload: WorkloadOptions, space: SpaceOptions
) -> ConfigurationSpace:
    """The space of some networks on this computer."""
    return ConfigurationSpace(
        local_computer(tuple(device.accelerators), device.cores),
        workload_of(read_networks(workload.networks), workload.rates_ips, workload.weights),
        space.max_instances,
        tuple(space.batches),
        space.max_total_instances,
    )


def versions() -> dict[str, str]:
    """Versions of what a measurement or a training depends on."""
    packages = (
        "orin-tuner",
        "numpy",
        "onnx",
        "onnxruntime",
        "torch",
        "stable-baselines3",
        "gymnasium",
    )
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def cache_folder() -> Path:
    """Where quantised graphs are kept: `orin-tuner` in the user's cache folder (XDG_CACHE_HOME, ~/.cache where it is not set)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "orin-tuner"


def plain(value: Any) -> Any:
    """Dataclasses, and what is in them, as JSON- and YAML-ready data."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value
