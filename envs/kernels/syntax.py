"""CUDA C++ source as a syntax tree: parsed by tree-sitter, never by regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from envs.errors import TunerError
from envs.optional import optional_import

#: Nodes that stand beside statements and are none.
PRAGMA = "preproc_call"
LOOPS = ("for_statement", "while_statement", "do_statement")
_OUTSIDE = ("translation_unit", "namespace_definition", "declaration_list", "linkage_specification")
_CONSTANT = ("const", "constexpr", "__constant__")


class KernelError(TunerError):
    """A kernel cannot be made elastic, compiled or run; the sentence says why."""


class Node(Protocol):
    """Declare what is used of a node of the tree (`tree_sitter.Node`)."""

    type: str
    is_named: bool
    has_error: bool
    start_byte: int
    end_byte: int
    start_point: tuple[int, int]
    parent: Node | None

    @property
    def text(self) -> bytes:
        """Return the source text."""
        ...

    @property
    def children(self) -> list[Node]:
        """Return what is directly below, punctuation too."""
        ...

    @property
    def named_children(self) -> list[Node]:
        """Return what is directly below and has a name in the grammar."""
        ...

    def child_by_field_name(self, name: str) -> Node | None:
        """Return the child in a field of the grammar."""
        ...

    def children_by_field_name(self, name: str) -> list[Node]:
        """Return the children in a field of the grammar."""
        ...


@dataclass(frozen=True)
class Kernel:
    """One `__global__` function.

    Attributes:
        name: of the function.
        node: its definition; `body` is the compound statement.
        parameters: text of each parameter, `names` of them, and `nodes`.
        functions: other functions that the file defines, by name; several if it is overloaded.
        constants: names of the file's constants.
        globals: names that the file declares outside functions, constants among them.
        macros: text of the file's macros by name, with the text of macros that they use.
        source: text of the whole file.
    """

    name: str
    node: Node
    body: Node
    parameters: tuple[str, ...]
    names: tuple[str, ...]
    nodes: tuple[Node, ...]
    functions: Mapping[str, tuple[Node, ...]]
    constants: frozenset[str]
    globals: frozenset[str]
    macros: Mapping[str, str]
    source: str


def parse(source: str) -> Node:
    """Return the root of the tree of CUDA C++ source.

    Raises:
        DependencyError: tree-sitter or its CUDA grammar is not installed.
    """
    library = optional_import("tree_sitter", "kernels")
    grammar = optional_import("tree_sitter_cuda", "kernels")
    parser = library.Parser(library.Language(grammar.language()))
    root: Node = parser.parse(source.encode()).root_node
    return root


def kernels(source: str) -> tuple[Kernel, ...]:
    """Return the `__global__` functions that a source defines, in its order.

    Raises:
        KernelError: the source is compiled code, or defines none.
        DependencyError: the parser is not installed.
    """
    root = parse(source)
    functions: dict[str, tuple[Node, ...]] = {}
    found = []
    for node in walk(root):
        name = function_name(node) if node.type == "function_definition" else ""
        if name and _is_global(node):
            found.append((name, node))
        elif name:
            functions[name] = (*functions.get(name, ()), node)
    if not found:
        raise KernelError("the source defines no __global__ function, so nothing is made elastic")
    constants, declared_names = _names(root)
    shared = functions, constants, declared_names, macros_of(root), source
    return tuple(_kernel(name, node, *shared) for name, node in found)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node) -> str:
    """Return the source text of a node."""
    return node.text.decode()


def line(node: Node) -> int:
    """Return the line on which a node begins, counted from 1."""
    return node.start_point[0] + 1


def rewrite(node: Node, changes: Mapping[tuple[int, int], str]) -> str:
    """Return a node's text with the parts at these byte ranges replaced."""
    out, at = [], node.start_byte
    whole = node.text
    for (first, last), new in sorted(changes.items()):
        if first < at or last > node.end_byte:
            continue
        out.append(whole[at - node.start_byte : first - node.start_byte].decode())
        out.append(new)
        at = last
    out.append(whole[at - node.start_byte :].decode())
    return "".join(out)


def root_of(node: Node) -> Node:
    """Return the root of the tree that a node is in."""
    while node.parent is not None:
        node = node.parent
    return node


def is_dynamic(node: Node) -> bool:
    """Return True for a declaration of shared memory whose size the launch gives."""
    words = {text(each) for each in node.children} if node.type == "declaration" else set()
    return {"extern", "__shared__"} <= words


def span(node: Node) -> tuple[int, int]:
    """Return the byte range of a node."""
    return node.start_byte, node.end_byte


def called(node: Node) -> str:
    """Return the name of the function that a call expression calls; its text if it is no name."""
    return text(_field(node, "function"))


def declared(declarator: Node) -> Node:
    """Return the identifier that a declarator declares."""
    inner: Node | None = declarator
    while inner is not None and inner.type != "identifier":
        following = inner.child_by_field_name("declarator")
        if following is None:
            following = next((each for each in inner.named_children if _declares(each)), None)
        inner = following
    if inner is None:
        raise KernelError(f"line {line(declarator)}: `{text(declarator)}` declares no plain name")
    return inner


def field(node: Node, name: str) -> Node | None:
    """Return the child in a field, or None."""
    return node.child_by_field_name(name)


def _field(node: Node, name: str) -> Node:
    found = node.child_by_field_name(name)
    if found is None:
        raise KernelError(f"line {line(node)}: `{text(node)[:40]}` cannot be parsed")
    return found


def _declares(node: Node) -> bool:
    return node.type == "identifier" or node.type.endswith("declarator")


def function_name(node: Node) -> str:
    """Return the plain name of a function that is defined; empty if it has none."""
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator")
    inner = declarator.child_by_field_name("declarator") if declarator is not None else None
    return text(inner) if inner is not None and inner.type == "identifier" else ""


def _is_global(node: Node) -> bool:
    return any(child.type == "__global__" for child in node.children) or any(
        child.type == "__global__"
        for each in node.children
        if each.type != "compound_statement"
        for child in each.children
    )


def _names(root: Node) -> tuple[frozenset[str], frozenset[str]]:
    """Return names that the file declares outside functions: constants, and all."""
    constants, found = set(), set()
    for node in walk(root):
        if node.type == "enumerator":
            constants.add(text(_field(node, "name")))
        parent = node.parent
        if node.type == "declaration" and parent is not None and parent.type in _OUTSIDE:
            names = {text(declared(each)) for each in node.children_by_field_name("declarator")}
            found |= names
            if any(text(child) in _CONSTANT for child in node.children):
                constants |= names
    return frozenset(constants), frozenset(found | constants)


def macros_of(root: Node) -> dict[str, str]:
    """Return the text of each macro, with that of macros that it uses."""
    own: dict[str, str] = {}
    for node in walk(root):
        if node.type in ("preproc_def", "preproc_function_def"):
            name = text(_field(node, "name"))
            written = " ".join(text(child) for child in node.children[2:])
            own[name] = f"{own.get(name, '')} {written}"
    whole = {}
    for name in own:
        reached, todo = {name}, [name]
        while todo:
            words = set(re.findall(r"\w+", own[todo.pop()])) & set(own) - reached
            reached |= words
            todo += words
        whole[name] = " ".join(own[each] for each in sorted(reached))
    return whole


def _kernel(
    name: str,
    node: Node,
    functions: dict[str, tuple[Node, ...]],
    constants: frozenset[str],
    declared_names: frozenset[str],
    macros: dict[str, str],
    source: str,
) -> Kernel:
    declarator = _field(node, "declarator")
    listed: list[Any] = [
        each for each in _field(declarator, "parameters").named_children if each.type != "comment"
    ]
    for each in listed:
        if each.type != "parameter_declaration" or field(each, "declarator") is None:
            raise KernelError(
                f"{name}, line {line(each)}: parameter `{text(each)}` has no plain type and name"
            )
    return Kernel(
        name=name,
        node=node,
        body=_field(node, "body"),
        parameters=tuple(text(each) for each in listed),
        names=tuple(text(declared(_field(each, "declarator"))) for each in listed),
        nodes=tuple(listed),
        functions=functions,
        constants=constants,
        globals=declared_names,
        macros=macros,
        source=source,
    )
