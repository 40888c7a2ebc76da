"""Values that all threads of a block agree on, and statements that they must run together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from envs.kernels.functions import PURE
from envs.kernels.refusals import has_barrier
from envs.kernels.syntax import LOOPS, PRAGMA, Kernel, Node, called, field, text, walk
from envs.kernels.variables import Variable, Variables, declarators, is_shared

_ESCAPES = ("break_statement", "continue_statement", "return_statement")
_SAME_FOR_ALL = ("blockIdx", "blockDim", "gridDim")
_MEMORY_READS = ("subscript_expression", "pointer_expression", "lambda_expression")


def statements(node: Node) -> list[Node]:
    """Return the statements of a body: those of a compound, or the one that stands there."""
    if node.type == "compound_statement":
        return [each for each in node.named_children if each.type != "comment"]
    if node.type == "else_clause":
        return [each for each in node.named_children if each.type != "comment"]
    return [node]


def joint(node: Node) -> bool:
    """Return True for a statement that the threads of a block run together.

    It has a barrier, or leaves a loop or the kernel, which must not be done by one logical thread
    out of the loop over logical threads.
    """
    return has_barrier(node) or any(_escapes(each, node) for each in walk(node))


def parts(node: Node) -> list[Node]:
    """Return the bodies of a joint statement: of a branch, a loop or a compound."""
    if node.type == "compound_statement":
        return [node]
    names = ("consequence", "alternative") if node.type == "if_statement" else ("body",)
    return [found for name in names if (found := field(node, name)) is not None]


def block_level(body: Node) -> Iterator[Node]:
    """Yield the statements of a body that are not within a statement of single threads."""
    for statement in statements(body):
        yield statement
        if statement.type in ("compound_statement", "if_statement", *LOOPS) and joint(statement):
            for part in parts(statement):
                yield from block_level(part)


def uniform_variables(kernel: Kernel, variables: Variables) -> frozenset[Variable]:
    """Return variables of which one copy serves the block: all threads give them the same value.

    They are declared and assigned in statements that all threads run together, and their values
    depend on nothing of a single thread. The set is the largest one: it starts with all candidates
    and loses those that depend on others.
    """
    level = list(block_level(kernel.body))
    places = {id_of(each) for each in level}
    places |= {id_of(h) for each in level if joint(each) for h in header(each)}
    found = {each for each in variables.known if _candidate(each, places)}
    while True:
        lost = {
            each
            for each in found
            if not all(is_uniform(kernel, variables, found, write) for write in each.writes)
        }
        if not lost:
            return frozenset(found)
        found -= lost


def is_uniform(
    kernel: Kernel, variables: Variables, known: set[Variable] | frozenset[Variable], node: Node
) -> bool:
    """Return True if all threads of a block give an expression the same value.

    What is read from memory may differ: another thread may have written it in between.
    """
    for each in walk(node):
        if each.type in _MEMORY_READS or (each.type == "field_expression" and "->" in text(each)):
            return False
        if each.type == "call_expression" and not _is_pure(kernel, each):
            return False
        if each.type == "identifier":
            variable = variables.of(each)
            if variable is None and not _named_for_all(kernel, each):
                return False
            if variable is not None and variable not in known:
                return False
    return True


def _is_pure(kernel: Kernel, call: Node) -> bool:
    """Return True for a function of CUDA, or a cast to a number, that depends on values alone."""
    name = called(call)
    if name.startswith("static_cast<"):
        return not set("&*") & set(name)
    known = name in PURE and name not in kernel.functions
    return known or call.children[0].type == "primitive_type"


def header(loop: Node) -> list[Node]:
    """Return what stands in the head of a loop: its start and its step."""
    names = ("initializer", "update")
    found = [part for name in names if (part := field(loop, name)) is not None]
    return [each for part in found for each in _without_commas(part)]


def _without_commas(node: Node) -> list[Node]:
    if node.type != "comma_expression":
        return [node]
    return [each for part in node.named_children for each in _without_commas(part)]


def id_of(node: Node) -> tuple[int, int]:
    """Return the byte range of a node, by which it is known."""
    return node.start_byte, node.end_byte


def assigns_only(statement: Node) -> Node | None:
    """Return the assignment that a statement consists of; None if it is another one."""
    if statement.type in ("assignment_expression", "update_expression"):
        return statement
    if statement.type != "expression_statement" or not statement.named_children:
        return None
    inner = statement.named_children[0]
    return inner if inner.type in ("assignment_expression", "update_expression") else None


def _candidate(variable: Variable, places: set[tuple[int, int]]) -> bool:
    if variable.taken or variable.opaque or variable.shared or not variable.scalar:
        return False
    declaration = variable.declaration
    if declaration is not None and id_of(declaration) not in places:
        return False
    return all(_stands_alone(write, places) for write in variable.writes)


def _stands_alone(write: Node, places: set[tuple[int, int]]) -> bool:
    """Return True if a write is a whole statement, or a step of a loop, that all run together."""
    parent = write.parent
    if parent is None:
        return False
    if write.type == "init_declarator":
        return id_of(parent) in places
    if any(
        each.type in ("assignment_expression", "update_expression")
        for inner in write.children
        for each in walk(inner)
    ):
        return False
    target = field(write, "left") or field(write, "argument")
    if target is None or target.type != "identifier":
        return False
    return id_of(write) in places or (
        parent.type == "expression_statement" and id_of(parent) in places
    )


def _named_for_all(kernel: Kernel, identifier: Node) -> bool:
    name = text(identifier)
    if name in kernel.macros:
        return _macro_is_constant(kernel, name)
    return name in kernel.constants or name in _SAME_FOR_ALL or name in (*PURE, "static_cast")


def _macro_is_constant(kernel: Kernel, name: str) -> bool:
    """Return True for a macro made of numbers, operators and constants."""
    written = kernel.macros[name]
    words = set(re.findall(r"\b[A-Za-z_]\w*", written)) - {"int", "unsigned", "float", "sizeof"}
    return "[" not in written and words <= {*kernel.macros, *kernel.constants}


def _escapes(node: Node, outermost: Node) -> bool:
    """Return True for a jump whose target is outside `outermost`."""
    if node.type not in _ESCAPES:
        return False
    if node.type == "return_statement":
        return True
    targets = LOOPS if node.type == "continue_statement" else (*LOOPS, "switch_statement")
    at: Node | None = node
    while at is not None and id_of(at) != id_of(outermost):
        at = at.parent
        if at is not None and at.type in targets:
            return False
    return not (at is not None and at.type in targets)


def uniform_declarators(statement: Node, uniform: frozenset[Variable]) -> list[Node]:
    """Return the declarators of a declaration that are those of uniform variables."""
    places = {id_of(each.declarator) for each in uniform if each.declarator is not None}
    return [each for each in declarators(statement) if id_of(each) in places]


def is_declaration_of(statement: Node, wanted: frozenset[Variable]) -> bool:
    """Return True for a declaration of uniform variables only, or of shared memory."""
    if statement.type != "declaration":
        return False
    found = uniform_declarators(statement, wanted)
    return is_shared(statement) or len(found) == len(declarators(statement))


def is_pragma(statement: Node) -> bool:
    """Return True for a pragma, which belongs to the statement after it."""
    return statement.type == PRAGMA
