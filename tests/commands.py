"""Run commands in this process: loading torch in a process for each would take minutes."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from tuner.cli import run_command

#: Commands whose options Hydra reads.
COMPOSED = {"train": "TrainCommand", "evaluate": "EvaluateCommand"}


@dataclass(frozen=True)
class CommandResult:
    """The exit code of a command and its output."""

    returncode: int
    stdout: str
    stderr: str


def call(name: str, *arguments: object) -> CommandResult:
    """Run `python -m tuner.NAME ARGUMENTS`."""
    module = importlib.import_module(f"tuner.{name}")
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", [f"tuner.{name}", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            if name in COMPOSED:
                run_command(name, getattr(module, COMPOSED[name]), module.main)
            else:
                code = module.main([str(each) for each in arguments])
        except SystemExit as ended:
            code = ended.code or 0
    return CommandResult(code if isinstance(code, int) else 1, out.getvalue(), err.getvalue())
