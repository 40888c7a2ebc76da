"""Talk to people in a terminal: errors, warnings, a progress bar, and tables."""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from envs.errors import TunerError
from envs.optional import optional_import
from tuner.stopping import stopped_by_sigterm

#: Cells up to this length are never folded; in a console below `WIDE` the head above them is.
WORD_WIDTH, WIDE = 10, 120

#: Messages that are shown, by the package that they come from.
LOGGERS = {"cluster": logging.INFO, "tuner": logging.INFO, "envs": logging.WARNING}

#: Width of a progress bar, without the words beside it.
BAR_WIDTH = 16


def exit_code(task: Callable[[], int | None]) -> int:
    """Run a task and return its exit code; an error becomes one line on standard error.

    SIGTERM ends it as Ctrl-C does.
    """
    try:
        with stopped_by_sigterm():
            return task() or 0
    except KeyboardInterrupt:
        print("interrupted; what was completed is kept", file=sys.stderr)
        return 130
    except TunerError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


class _StandardError(logging.Handler):
    """Writes messages to the `sys.stderr` of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def show_log() -> None:
    r"""Show messages of this project on standard error: of `envs` warnings, of the others all.

    Letters that the terminal's encoding does not have are shown as `\u043d`, and end nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for name in ("cluster", "tuner"):
        logging.getLogger(name).setLevel(logging.INFO)
    for name, level in LOGGERS.items():
        logger = logging.getLogger(name)
        if not any(isinstance(each, _StandardError) for each in logger.handlers):
            logger.addHandler(_StandardError(level))


@contextmanager
def progress_bar(title: str, total: int, completed: int = 0) -> Iterator[Callable[..., None]]:
    """Draw a bar with the time left; off a terminal it is drawn only at the end.

    Yields:
        `advance(text, step=1)`.
    """
    rich = optional_import("rich.progress", "tune")
    console = optional_import("rich.console", "tune").Console()
    column = optional_import("rich.table", "tune").Column
    # In a narrow terminal the text is cut, not the times.
    others = len(f"{title} {total}/{total} 0:00:00 left 0:00:00 ") + BAR_WIDTH + 1
    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=BAR_WIDTH),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(elapsed_when_finished=False),
        rich.TextColumn(
            "{task.fields[text]}",
            markup=False,
            table_column=column(no_wrap=True, max_width=max(console.width - others, BAR_WIDTH)),
        ),
    )
    with rich.Progress(*columns, console=console, speed_estimate_period=600) as progress:
        task = progress.add_task(title, total=total, completed=completed, text="")
        yield lambda text="", step=1: progress.update(task, advance=step, text=text)


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print a table with numbers aligned to the right; only long cells are folded."""
    boxes = optional_import("rich.box", "tune")
    console = optional_import("rich.console", "tune").Console()
    if not console.is_terminal:  # a file or a pipe has no width
        console.width = 160
    drawn = optional_import("rich.table", "tune").Table(
        box=boxes.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0)
    )
    # Without escaping, rich would take "[s]" for a style.
    literal = optional_import("rich.markup", "tune").escape
    for column, title in enumerate(head):
        cells = [row[column] for row in rows if row[column] not in ("", "-")]
        number = all(re.fullmatch(r"-?[\d.,]+ ?[%*]?", each.strip()) for each in cells)
        short = max(map(len, cells), default=0) <= WORD_WIDTH
        narrow = short and console.width < WIDE
        drawn.add_column(
            literal("\n".join(title.split()) if narrow else title),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=short,
        )
    for row in rows:
        drawn.add_row(*map(literal, row))
    console.print(drawn)
