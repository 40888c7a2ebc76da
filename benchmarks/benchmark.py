"""One benchmark that `python -m benchmarks.results` runs, in a full or a short form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """One section of docs/results.md.

    Attributes:
        name: of the section and of the file with its result.
        module: in `benchmarks/`.
        measures: one plain sentence for the page.
        label: where its numbers come from: simulated, replayed, measured, or several of them.
        full: options of the full form.
        short: options of the short form; None where there is none.
        left_out: why there is no short form.
    """

    name: str
    module: str
    measures: str
    label: str
    full: tuple[str, ...] = ()
    short: tuple[str, ...] | None = ()
    left_out: str = ""

    def command(self, short: bool) -> list[str]:
        """Return the words after `python`."""
        chosen = self.short if short else self.full
        return ["-m", f"benchmarks.{self.module}", *(chosen or ())]


def options(text: str) -> tuple[str, ...]:
    """Return the options of a command line."""
    return tuple(text.split())
