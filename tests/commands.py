"""The commands, run as a terminal would: in this process, since loading torch anew for every wrong option would take most of the time."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from tuner.cli import run_command

COMMANDS = {
    "train": "TrainCommand",
    "record": "RecordCommand",
    "evaluate": "EvaluateCommand",
    "tune": "TuneCommand",
    "export": "ExportCommand",
}


@dataclass(frozen=True)
class Told:
    """What a command said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def call(name: str, *arguments: object) -> Told:
    """python -m tuner.NAME ARGUMENTS"""
    module = importlib.import_module(f"tuner.{name}")
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", [f"tuner.{name}", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            if name in COMMANDS:
                run_command(name, getattr(module, COMMANDS[name]), module.main)
            else:
                code = module.main([str(each) for each in arguments])
        except SystemExit as ended:
            code = ended.code or 0
    return Told(code if isinstance(code, int) else 1, out.getvalue(), err.getvalue())
