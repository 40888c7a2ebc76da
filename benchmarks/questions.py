"""Answer four questions with the device model: when a second instance, a DLA, a larger batch helps.

python -m benchmarks.questions                  tables with units, simulated, a few seconds
python -m benchmarks.questions --plots docs/    the plots as well, and the tables of docs/model.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import questions_batches, questions_boards, questions_dlas, questions_instances
from benchmarks.questions_setup import Answer
from benchmarks.results_page import between_marks, markdown_table
from envs.files import replacing
from tuner.console import exit_code, table

#: The page whose tables are written again, in the folder of the plots.
PAGE = "model.md"

QUESTIONS = (
    questions_instances.answer,
    questions_dlas.answer,
    questions_batches.answer,
    questions_boards.answer,
)


def in_page(found: Answer) -> str:
    """Return an answer in Markdown: its sentences and its table."""
    sentences = "\n".join(f"- {sentence}" for sentence in found.sentences)
    return f"{sentences}\n\n{markdown_table(found.head, found.rows)}".rstrip()


def write(answers: list[Answer], folder: Path) -> None:
    """Write the plots into a folder, and the answers into its `PAGE` if there is one."""
    for found in answers:
        drawing = found.plot().replace('width="100%"', 'width="960"', 1)
        with replacing(folder / f"{found.name}.svg") as file:
            file.write(f"{drawing}\n".encode())
    page = folder / PAGE
    if page.exists():
        text = page.read_text(encoding="utf-8")
        for found in answers:
            text = between_marks(text, found.name, in_page(found))
        with replacing(page) as file:
            file.write(text.encode())


def main(argv: list[str] | None = None) -> int:
    """Print the answers, write the plots and the page, and return the exit code."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.questions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--plots", type=Path, help="folder for the plots and its model.md")
    given = arguments.parse_args(argv)
    answers = [ask() for ask in QUESTIONS]
    for found in answers:
        print(f"\n{found.question}")
        for sentence in found.sentences:
            print(f"- {sentence}")
        table(found.head, found.rows)
    if given.plots:
        write(answers, given.plots)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
