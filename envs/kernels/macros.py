"""Refuse macros that hide something: they have no tree that could be walked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from envs.kernels.functions import (
    BARRIER,
    BUILTINS,
    CASTS,
    CONSTANTS,
    KEYWORDS,
    MEMORY,
    PURE,
    TYPES,
    WARP,
)
from envs.kernels.hidden import file_types, reason
from envs.kernels.syntax import (
    Kernel,
    KernelError,
    Node,
    field,
    macros_of,
    parse,
    root_of,
    text,
    walk,
)

#: Words of macros that jump out of what the parser sees.
_JUMPS = re.compile(r"\b(?:return|break|continue|goto|case|default)\b")
_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
_WORD = re.compile(r"(?<![\w.])(?<!->)[A-Za-z_]\w*")


def check_macros(kernel: Kernel, function: Node, jumps: bool) -> None:
    """Refuse macros that make names, jump, or use what the file does not define.

    Args:
        kernel: the kernel.
        function: it, or a function that it calls.
        jumps: True if macros may jump: nothing is split there.
    """
    free = free_names(kernel)
    for node in walk(function):
        if node.type in ("preproc_def", "preproc_function_def") or (
            node.type == "preproc_call" and not text(node).lstrip().startswith("#pragma")
        ):
            raise reason(
                kernel, node, "the kernel changes a macro within itself: do so before the kernel"
            )
        written = kernel.macros.get(text(node), "") if not node.children else ""
        if not written:
            continue
        name, plain = text(node), _STRINGS.sub(" ", written)
        if "##" in plain:
            raise reason(kernel, node, f"macro `{name}` makes names (`##`): write it out")
        if not jumps and (found := _JUMPS.search(plain)):
            raise reason(
                kernel, node, f"macro `{name}` hides `{found[0]}` from the split: write it out"
            )
        for word in sorted(free[name]):
            if not _known_word(kernel, function, word):
                raise reason(
                    kernel,
                    node,
                    f"macro `{name}` uses `{word}`, which is not defined in the source",
                )


def free_names(kernel: Kernel) -> dict[str, set[str]]:
    """Return the names that each macro uses and that are no parameters of it or of one it uses."""
    own: dict[str, set[str]] = {}
    for node in walk(root_of(kernel.node)):
        if node.type in ("preproc_def", "preproc_function_def"):
            written = field(node, "name")
            listed, value = field(node, "parameters"), field(node, "value")
            taken = set() if listed is None else {text(each) for each in listed.named_children}
            words = "" if value is None else _STRINGS.sub(" ", text(value))
            if written is not None:
                own.setdefault(text(written), set()).update(set(_WORD.findall(words)) - taken)
    found = {}
    for name in own:
        reached, todo = {name}, [name]
        while todo:
            used = own[todo.pop()] & set(own) - reached
            reached |= used
            todo += used
        found[name] = set().union(*(own[each] for each in reached))
    return found


def check_macros_apart(sources: Sequence[str]) -> None:
    """Refuse to join files of which a macro of one would change the text of a later one."""
    roots = [parse(each) for each in sources]
    macros = [macros_of(each) for each in roots]
    for later, root in enumerate(roots):
        used = {text(node) for node in walk(root) if node.type.endswith("identifier")}
        for earlier in macros[:later]:
            for name in sorted(used & set(earlier)):
                if macros[later].get(name) != earlier[name]:
                    raise KernelError(
                        f"macro `{name}` of one file would change another one: join them apart"
                    )


def functions_in_macros(kernel: Kernel, function: Node) -> set[str]:
    """Return the functions of the file that macros within a function name."""
    macros = [kernel.macros.get(text(node), "") for node in walk(function) if not node.children]
    return {word for each in macros if each for word in _WORD.findall(each)} & set(kernel.functions)


def _known_word(kernel: Kernel, function: Node, word: str) -> bool:
    known = {*kernel.globals, *kernel.functions, *kernel.macros, *PURE, *MEMORY, *CONSTANTS}
    known |= {*KEYWORDS, *CASTS, *BUILTINS, BARRIER, *file_types(kernel), *kernel.names}
    if word in known or TYPES.fullmatch(word) or WARP.fullmatch(word):
        return True
    return any(each.type == "identifier" and text(each) == word for each in walk(function))
