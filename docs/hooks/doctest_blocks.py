"""Show the doctests of docstrings as blocks of code: Markdown reads `>>>` as quotes in quotes."""

from __future__ import annotations

import re
from typing import Any

import griffe

#: A prompt and all lines below it up to an empty one, with their indentation.
DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
FLAG = re.compile(r" *# doctest: .*$", re.MULTILINE)


class DoctestBlocks(griffe.Extension):
    """Put fences around doctests, and leave out what only doctest reads."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(_fenced, obj.docstring.value)


def _fenced(found: re.Match[str]) -> str:
    indent = found[1]
    return f"{indent}```pycon\n{FLAG.sub('', found[0])}\n{indent}```"
