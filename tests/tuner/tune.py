"""Calls of the tune command with short windows."""

from __future__ import annotations

from tests.commands import CommandResult, call

QUICK = ("--window-s", "0.1")
SMALL = ("--max-instances", 2, "--batches", 1, 4)
CPU = ("--accelerators", "cpu_fp32", "--max-instances", 2, "--batches", 1, 4)


def tune(*arguments: object) -> CommandResult:
    return call("tune", *QUICK, *arguments)
