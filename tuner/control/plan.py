"""Say what a service would begin with: its device, limits and first configurations."""

from envs.spec import UNCALIBRATED
from tuner.control.build import Assembled
from tuner.device import Device


def plan(device: Device, made: Assembled) -> str:
    """Describe the device, the limits and the first configurations."""
    space, good = device.space, made.guard.good
    first = made.controller.first_choice().configuration
    proposed = made.decider.experiment() if made.decider else None
    answers = [
        f"{space.workload.names[tenant]} on {space.device.accelerator_names[column]}:"
        f" {found.describe()}"
        for (tenant, column), found in sorted(device.agreements.items())
        if found.samples
    ]
    readiness = device.readiness
    left = 0 if readiness is None else len(readiness.places()) - len(readiness.ready)
    building = f" ({left} engines are made ready while it serves)" if left else ""
    count = space.combinations if device.candidates is None else len(device.candidates)
    return "\n".join(
        [
            f"device: {space.device.name} ({device.runtime.origin.value})",
            f"goal and limits: {made.limits.describe()}",
            *(f"agreement with FP32, {each}" for each in answers),
            *(f"caution: {UNCALIBRATED}: {each}" for each in space.uncalibrated()),
            f"configurations: {count:,}{building}",
            f"safe default: {space.describe(made.guard.safe)}",
            *(
                [f"last resort: {space.describe(device.reserve)}"]
                if device.reserve is not None
                else []
            ),
            f"last good: {space.describe(good) if good else 'none kept'}",
            f"first measurement: {space.describe(first)}",
            "the policy's first proposal, while nothing is measured:"
            f" {space.describe(proposed) if proposed else 'none'}",
        ]
    )
