"""Read rows of `learning_curve.csv`, as `tuner.agents.learning_curve` writes them.

That module belongs to a room which needs torch, so the names are repeated here; a test compares
them.
"""

from tuner.watching.moments import LearningRow

#: The columns, and the name of the file in the folder of a run.
COLUMNS = ("steps", "episodes", "gain_per_episode", "broken_share", "seconds")
FILE = "learning_curve.csv"


def is_head(line: bytes) -> bool:
    """Return True if this is the first line of a learning curve."""
    return line.strip() == ",".join(COLUMNS).encode()


def learning_row(line: bytes) -> LearningRow | None:
    """Return the row in a line; None if it is cut or no row."""
    parts = line.split(b",")
    if len(parts) != len(COLUMNS):
        return None
    try:
        return LearningRow(*map(float, parts))
    except ValueError:
        return None
