"""Configurations as people give them: an answer of python -m tuner.tune, or a list of options.

They are checked before anything is written.
"""

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigurationError, OptionError
from envs.spec import (
    ACCELERATORS,
    MAX_BATCH,
    Configuration,
    ConfigurationSpace,
    DeviceSpec,
    Workload,
    accelerator,
)

#: An answer is a few hundred bytes; a much larger file is something else.
MAX_BYTES = 1 << 20

#: More instances than any accelerator holds, so that a mistyped number is found early.
MAX_INSTANCES = 1024

#: An accelerator with its instances and batch size, after the network where there are several.
PLACED = re.compile(r"(?:(.+):)?(\w+)=(\d+)x(\d+)", re.DOTALL)

NEEDED = {"accelerator", "instances", "batch"}


class Slot(NamedTuple):
    """The instances and the batch of one tenant (None: the only one) on one accelerator."""

    tenant: str | None
    accelerator: str
    instances: int
    batch: int


class SavedAnswer(NamedTuple):
    """The part of an answer file that an export needs."""

    slots: list[Slot]
    limits_kept: bool
    confirmed: bool


def read_answer(path: Path) -> SavedAnswer:
    """Read the configuration in a file that python -m tuner.tune wrote with --out.

    Raises:
        OptionError: there is no such file, it cannot be read, or it is not an answer.
        ConfigurationError: it holds no configuration.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        found = json.loads(content) if len(content) <= MAX_BYTES else None
    except FileNotFoundError:
        raise OptionError(
            f"there is no file {path}: write one with python -m tuner.tune --network my.onnx --out"
            f" {path}"
        ) from None
    except OSError as error:
        raise OptionError(
            f"{path} cannot be read ({error.strerror or error}): give an answer of python -m"
            " tuner.tune"
        ) from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "configuration" not in found:
        raise OptionError(
            f"{path} is no answer of python -m tuner.tune: write one with its flag --out"
        )
    return SavedAnswer(
        read_slots(found["configuration"], f"{path}: configuration"),
        found.get("limits_kept") is not False,
        found.get("complete") is not False and found.get("confirmation", True) is not None,
    )


def read_slots(entries: Any, where: str) -> list[Slot]:
    """Return slots from plain data; an error says which entry of `where` is wrong."""
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(
            f"{where} is no configuration: give a list such as"
            " [{accelerator: tensor, instances: 2, batch: 8}]"
        )
    return [_slot(entry, f"{where}[{position}]") for position, entry in enumerate(entries)]


def _slot(entry: Any, where: str) -> Slot:
    if (
        not isinstance(entry, dict)
        or not set(entry) >= NEEDED
        or not set(entry) <= NEEDED | {"tenant"}
    ):
        raise ConfigurationError(
            f"{where} must have accelerator, instances and batch, and tenant where there are"
            " several networks; nothing else"
        )
    tenant, name = entry.get("tenant"), entry["accelerator"]
    if not isinstance(name, str) or not isinstance(tenant, (str, type(None))):
        raise ConfigurationError(f"{where}: accelerator and tenant must be names")
    for key, most in (("instances", MAX_INSTANCES), ("batch", MAX_BATCH)):
        value = entry[key]
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ConfigurationError(
                f"{where}.{key}={value!r} must be a whole number from 1 to {most}"
            )
    if accelerator(name).segments > 1:
        raise ConfigurationError(
            f"{where}.accelerator={name}: no export runs a network in segments: give"
            f" {accelerator(name).whole}"
        )
    return Slot(tenant, accelerator(name).name, entry["instances"], entry["batch"])


def slot_of(text: str) -> dict[str, Any]:
    """Return `tensor=2x8` or `small:tensor=2x8` as data; ConfigurationError for other texts."""
    found = PLACED.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"configuration {text!r:.80} must be ACCELERATOR=INSTANCESxBATCH, as in tensor=2x8, or"
            " with several networks NETWORK:ACCELERATOR=INSTANCESxBATCH"
        )
    tenant, accelerator, instances, batch = found.groups()
    slot = {"accelerator": accelerator, "instances": int(instances), "batch": int(batch)}
    return slot | ({"tenant": tenant} if tenant else {})


def placed(slots: list[Slot], workload: Workload) -> tuple[ConfigurationSpace, Configuration]:
    """Return the slots as a valid configuration of a space just large enough for them.

    Memory is not judged, because the configuration runs elsewhere.

    Raises:
        ConfigurationError: a tenant is unknown, left out, or twice on an accelerator; or the
            configuration is invalid.
    """
    given = dict.fromkeys(slot.accelerator for slot in slots)
    used = [name for name in ACCELERATORS if name in given]
    used += [name for name in given if name not in ACCELERATORS]  # mappings
    placements = np.zeros((len(workload.tenants), len(used), 2), dtype=np.int16)
    for slot in slots:
        tenant, column = _tenant(slot, workload), used.index(slot.accelerator)
        if placements[tenant, column, 0]:
            raise ConfigurationError(
                f"the configuration has {workload.names[tenant]!r} twice on {slot.accelerator}:"
                " give the instances together"
            )
        placements[tenant, column] = slot.instances, slot.batch
    space = ConfigurationSpace(
        DeviceSpec("the configuration", tuple(accelerator(name) for name in used), 1, math.inf),
        workload,
        max(slot.instances for slot in slots),
        tuple(sorted({slot.batch for slot in slots})),
    )
    configuration = Configuration.of(placements)
    space.check(configuration)
    return space, configuration


def _tenant(slot: Slot, workload: Workload) -> int:
    given = ", ".join(map(repr, workload.names))
    if slot.tenant is None:
        if len(workload.tenants) > 1:
            raise ConfigurationError(
                f"the configuration must say which tenant runs on {slot.accelerator}: tenant is"
                f" one of {given}"
            )
        return 0
    if slot.tenant not in workload.names:
        raise ConfigurationError(
            f"the configuration serves the tenant {slot.tenant!r}, and --network gives {given}:"
            " give the network files it was found for"
        )
    return workload.names.index(slot.tenant)
