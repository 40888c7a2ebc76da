"""Ask for a limit, its new value, and whether to write it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from envs.errors import ObjectiveError
from tuner.watching.new_limit import LimitNow, value_of


class LimitScreen(ModalScreen[tuple[LimitNow, float] | None]):
    """Three steps: choose a limit, type its value, confirm; Escape leaves at any of them.

    Args:
        limits: those that can be changed.
        path: of the file that will be written.
    """

    CSS = """
    LimitScreen { align: center middle; }
    #dialog {
        width: 64; max-width: 95%; height: auto; max-height: 90%; padding: 0 1;
        border: round $primary; background: $surface;
    }
    #dialog OptionList { height: auto; max-height: 10; border: none; padding: 0; }
    #said { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    def __init__(self, limits: Sequence[LimitNow], path: Path) -> None:
        super().__init__()
        self._choices, self._path = limits, path
        self._limit = limits[0]
        self._value = 0.0

    def compose(self) -> ComposeResult:
        """Yield a list, a field and a question, of which one is shown at a time."""
        with Vertical(id="dialog"):
            yield Static("Which limit? (Escape leaves)", id="said", markup=False)
            yield OptionList(*(Option(Content(_row(each))) for each in self._choices))
            yield Input(id="value")
            yield OptionList(Option("No, leave it"), Option("Yes, write it"), id="sure")

    def on_mount(self) -> None:
        """Show the list alone."""
        self.query_one("#value").display = False
        self.query_one("#sure").display = False
        self.query(OptionList).first().focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go on to the value, or end with the answer to the question."""
        if event.option_list.id == "sure":
            self.dismiss((self._limit, self._value) if event.option_index == 1 else None)
            return
        self._limit = self._choices[event.option_index]
        event.option_list.display = False
        self._say(f"{_row(self._limit)}; new value:")
        field = self.query_one("#value", Input)
        field.display = True
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go on to the question, unless the value is wrong."""
        try:
            self._value = value_of(self._limit, event.value)
        except ObjectiveError as error:
            self._say(f"{error}; new value:")
            return
        event.input.display = False
        self._say(self._limit.question(self._value, self._path))
        sure = self.query_one("#sure", OptionList)
        sure.display = True
        sure.focus()

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)

    def _say(self, sentence: str) -> None:
        self.query_one("#said", Static).update(Content(sentence))


def _row(limit: LimitNow) -> str:
    return f"{limit.words}: {limit.value:g} {limit.unit}".rstrip()
