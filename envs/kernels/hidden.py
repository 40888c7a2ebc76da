"""Refuse what a file hides from a walk over the kernel: code that runs without a call, and types.

Constructors, operators, default arguments and specialisations run where no call names them; types
of other files may do anything when a variable of them is declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from envs.kernels.functions import (
    BARRIER,
    BUILTINS,
    TYPES,
    WARP,
)
from envs.kernels.syntax import (
    Kernel,
    KernelError,
    Node,
    called,
    field,
    function_name,
    line,
    root_of,
    text,
    walk,
)

_CLASSES = ("struct_specifier", "class_specifier", "union_specifier", "enum_specifier")


def reason(kernel: Kernel, node: Node, why: str) -> KernelError:
    """Return the error that names kernel, line and reason."""
    return KernelError(f"{kernel.name}, line {line(node)}: {why}")


def check_place(kernel: Kernel) -> None:
    """Refuse a kernel within a namespace or a class: its elastic version stands beside it."""
    parent = kernel.node.parent
    while parent is not None:
        if parent.type in ("namespace_definition", *_CLASSES):
            raise reason(
                kernel, kernel.node, "it stands in a namespace or a class: move it out of there"
            )
        parent = parent.parent


def check_hidden_code(kernel: Kernel) -> None:
    """Refuse a file whose code that runs without a call knows of threads or barriers.

    Raises:
        KernelError: a constructor, an operator, a default argument or a specialisation reads the
            index of a thread, waits, or calls a function that does.
    """
    todo, done = list(_uncalled(root_of(kernel.node))), set()
    for node in todo:
        word = text(node)
        if node.type == "identifier" and (word in (*BUILTINS, BARRIER) or WARP.fullmatch(word)):
            raise reason(
                kernel,
                node,
                f"`{word}` stands in code that runs without being called (a member, an operator, a "
                "default argument, a specialisation): write it out in the kernel",
            )
        if node.type in ("gnu_asm_expression", "asm_statement") and _on_device(node):
            raise reason(kernel, node, "inline assembly may read any register")
        if node.type == "call_expression" and _on_device(node):
            name = called(node).partition("<")[0]
            if name in kernel.functions and name not in done:
                done.add(name)
                todo += [each for function in kernel.functions[name] for each in walk(function)]


def check_types(kernel: Kernel, function: Node, variables: set[str]) -> None:
    """Refuse types that the file does not define: their constructors may do anything.

    A variable may read as a type, as in `int a(b);`.
    """
    known = file_types(kernel) | set(kernel.macros) | variables
    for node in walk(function):
        if node.type == "type_identifier" and text(node) not in known:
            word = text(node)
            if TYPES.fullmatch(word) is None:
                raise reason(
                    kernel, node, f"type `{word}` is not defined in the source: it may do anything"
                )


def file_types(kernel: Kernel) -> set[str]:
    """Return the names of types that the file defines, in whatever scope."""
    return {name for name, _ in _types(root_of(kernel.node))}


def plain_types(kernel: Kernel) -> set[str]:
    """Return names of numbers, enumerations, and structures of them without any functions."""
    root = root_of(kernel.node)
    operators = any(each.type in ("operator_name", "operator_cast") for each in walk(root))
    found = {
        name
        for name, node in _types(root)
        if node.type != "type_identifier"
        and not any(_is_opaque(each) for each in walk(node))
        and not (operators and any(each.type in _CLASSES[:3] for each in walk(node)))
    }
    while True:
        used = {
            name: {text(e) for e in walk(node) if e.type == "type_identifier"} - {name}
            for name, node in _types(root_of(kernel.node))
            if name in found
        }
        lost = {
            name
            for name, words in used.items()
            if any(word not in found and not TYPES.fullmatch(word) for word in words)
        }
        if not lost:
            return found
        found -= lost


def lockstep(kernel: Kernel, function: Node) -> str:
    """Return where volatile memory hints at threads of a warp that run in step; empty if nowhere.

    A volatile number of a single thread is none.
    """
    for node in walk(function):
        if node.type == "type_qualifier" and text(node) == "volatile" and _of_memory(node):
            return f"line {line(node)}: volatile memory hints at threads that run in step"
        hidden = kernel.macros.get(text(node), "") if not node.children else ""
        if "volatile" in hidden:
            return f"line {line(node)}: `{text(node)}` is volatile"
    for name, node in _types(root_of(kernel.node)):
        if "volatile" in text(node).split():
            return f"line {line(node)}: `{name}` is volatile"
    return ""


def array_members(kernel: Kernel) -> Mapping[str, int]:
    """Return the number of dimensions of members that are arrays, by their name."""
    found: dict[str, int] = {}
    for node in walk(root_of(kernel.node)):
        if node.type == "field_declaration":
            for each in node.children_by_field_name("declarator"):
                count = sum(inner.type == "array_declarator" for inner in walk(each))
                names = [text(inner) for inner in walk(each) if inner.type == "field_identifier"]
                found |= {name: max(count, found.get(name, 0)) for name in names if count}
    return found


def _uncalled(node: Node) -> Iterator[Node]:
    """Yield nodes outside kernels and outside functions that run only where they are called."""
    if node.type == "function_definition":
        parent = node.parent
        member = parent is not None and parent.type == "field_declaration_list"
        if any(child.type == "__global__" for child in walk(node)) or (
            function_name(node) and not member
        ):
            return
    if node.type in ("preproc_def", "preproc_function_def"):
        return
    yield node
    for child in node.children:
        yield from _uncalled(child)


def _on_device(node: Node) -> bool:
    """Return True if a node may stand in code of the GPU."""
    at: Node | None = node
    while at is not None:
        if at.type == "function_definition":
            return any(each.type == "__device__" for each in at.children) or "constexpr" in text(at)
        at = at.parent
    return True


def _types(root: Node) -> Iterator[tuple[str, Node]]:
    """Yield names of types with the node that defines each."""
    for node in walk(root):
        if node.type in _CLASSES or node.type == "alias_declaration":
            name = field(node, "name")
            if name is not None and (
                node.type == "alias_declaration" or field(node, "body") is not None
            ):
                yield text(name), node
        elif node.type == "type_definition":
            for each in node.children_by_field_name("declarator"):
                for inner in walk(each):
                    if inner.type == "type_identifier":
                        yield text(inner), node
        elif node.type == "template_parameter_list":
            for each in walk(node):
                if each.type == "type_identifier":
                    yield text(each), each


def _is_opaque(node: Node) -> bool:
    """Return True for what lets a type change, or lead to, something else than its own numbers."""
    return node.type.removeprefix("abstract_") in (
        "reference_declarator",
        "array_declarator",
        "function_definition",
        "function_declarator",
        "base_class_clause",
        "template_type",
    )


def _of_memory(qualifier: Node) -> bool:
    """Return True unless a qualifier is that of a plain local number."""
    owner = qualifier.parent
    if owner is None or owner.type != "declaration":
        return True
    if "__shared__" in text(owner).split():
        return True
    return any(
        each.type in ("pointer_declarator", "array_declarator", "reference_declarator")
        for declarator in owner.children_by_field_name("declarator")
        for each in walk(field(declarator, "declarator") or declarator)
    )
