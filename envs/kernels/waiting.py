"""Refuse loops that wait for another block: it may be in a later shard, which never begins."""

from __future__ import annotations

from envs.kernels.hidden import reason
from envs.kernels.syntax import Kernel, Node, called, declared, field, root_of, text, walk

_DECLARED = ("declaration", "parameter_declaration")


def check_waiting(kernel: Kernel, loop: Node) -> None:
    """Refuse a loop whose end depends on an atomic operation or on volatile memory.

    Raises:
        KernelError: the head of the loop, or a branch in it that leaves it, reads them.
    """
    volatile = _volatile_names(kernel)
    for condition in _conditions(loop):
        for node in walk(condition):
            word = text(node)
            if (
                (node.type == "call_expression" and called(node).startswith("atomic"))
                or (node.type == "identifier" and word in volatile)
                or (node.type == "type_qualifier" and word == "volatile")
            ):
                raise reason(
                    kernel, loop, "the loop waits for another block, which may be in a later shard"
                )


def _conditions(loop: Node) -> list[Node]:
    """Return the condition of a loop, and those of branches that leave it or its kernel."""
    found = [field(loop, "condition")]
    for node in walk(loop):
        if node.type == "if_statement" and any(
            each.type in ("break_statement", "return_statement") for each in walk(node)
        ):
            found.append(field(node, "condition"))
    return [each for each in found if each is not None]


def _volatile_names(kernel: Kernel) -> set[str]:
    """Return the names that the file declares volatile, in whatever scope."""
    return {
        text(declared(declarator))
        for node in walk(root_of(kernel.node))
        if node.type in _DECLARED
        and any(
            each.type == "type_qualifier" and text(each) == "volatile" for each in node.children
        )
        for declarator in node.children_by_field_name("declarator")
        if any(each.type == "identifier" for each in walk(declarator))
    }
