"""What people see while they wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from envs.optional import optional_import


@contextmanager
def progress_bar(title: str, total: int, completed: int = 0) -> Iterator[Callable[..., None]]:
    """A bar with the time left. Gives `advance(text, step=1)`; off a terminal it draws only at the end."""
    rich = optional_import("rich.progress", "tune")
    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(elapsed_when_finished=False),
        rich.TextColumn("{task.fields[text]}"),
    )
    with rich.Progress(*columns, speed_estimate_period=600) as progress:
        task = progress.add_task(title, total=total, completed=completed, text="")
        yield lambda text="", step=1: progress.update(task, advance=step, text=text)


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print a table, numbers to the right."""
    rich_table = optional_import("rich.table", "tune").Table(
        box=optional_import("rich.box", "tune").SIMPLE
    )
    literal = optional_import(
        "rich.markup", "tune"
    ).escape  # or "[s]" would strike out what follows
    for column, title in enumerate(head):
        number = all(
            row[column].replace(".", "").replace("-", "").replace("%", "").strip().isdigit()
            for row in rows
            if row[column]
        )
        rich_table.add_column(
            literal(title), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        rich_table.add_row(*map(literal, row))
    console = optional_import("rich.console", "tune").Console()
    if not console.is_terminal:  # a file or a pipe has no width to keep to
        console.width = 160
    console.print(rich_table)
