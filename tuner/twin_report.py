"""Say how well the twin of a recorded device explains its recording."""

import json
from pathlib import Path

from envs.files import write_text
from envs.problems.twin import Twin
from tuner.console import table


def twin_sentence(twin: Twin) -> str:
    """Say what was simulated, and how far that is off on held-out rows."""
    errors = ", ".join(f"{100 * each.median:.1f} % in {each.quantity}" for each in twin.held_out)
    tested = f"median error on held-out rows {errors}" if errors else "no row could be held out"
    return (
        f"SIMULATED by the device model over all {twin.space:,} configurations of the space,"
        f" conditioned on {twin.rows} of the {twin.recorded} recorded ones; {tested}"
    )


def show_twin(twin: Twin, name: str) -> None:
    """Print what the twin is, its errors on held-out rows, and which parameters moved.

    Args:
        twin: to report on.
        name: of the recording.
    """
    print(f"twin of {name}: {twin_sentence(twin)}")
    if twin.held_out:
        table(
            [
                "held-out rows",
                "rows",
                "median error [%]",
                "worst [%]",
                "within the 90 % interval [%]",
                "median error without the recording [%]",
            ],
            [
                [
                    each.quantity,
                    str(each.rows),
                    *(
                        f"{100 * share:.1f}"
                        for share in (each.median, each.worst, each.covered, each.median_before)
                    ),
                ]
                for each in twin.held_out
            ],
        )
    if twin.moved:
        table(
            ["moved", "before", "after", "unit", "by [sigma]", "variance removed [%]"],
            [
                [
                    each.name,
                    f"{each.before:.3g}",
                    f"{each.after:.3g}",
                    each.unit,
                    f"{each.sigmas:.1f}",
                    f"{100 * each.certainty:.0f}",
                ]
                for each in twin.moved
            ],
        )


def write_twin(path: Path, twin: Twin) -> Path:
    """Write the report as JSON and return its path."""
    return write_text(path, json.dumps(twin.to_dict(), indent=2) + "\n")
