"""Variables of a kernel: which identifier means which declaration, and who assigns to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from envs.kernels.syntax import Kernel, Node, declared, rewrite, span, text, walk
from envs.kernels.syntax import field as child
from envs.kernels.uses import Uses

_SCOPES = ("compound_statement", "for_statement", "while_statement", "if_statement", "do_statement")


@dataclass(eq=False)
class Variable:
    """A parameter or a local variable.

    Attributes:
        name: as written.
        declaration: node of the declaration; None for a parameter.
        declarator: the part of it that is this variable's.
        writes: assignments, updates and initialised declarators of it.
        uses: every identifier that means it, its own declaration's among them.
        taken: True if its address is taken, so that others may write it.
        opaque: True if its type has members or operators that may write it.
    """

    name: str
    declaration: Node | None = None
    declarator: Node | None = None
    writes: list[Node] = field(default_factory=list)
    uses: list[Node] = field(default_factory=list)
    taken: bool = False
    opaque: bool = False

    @property
    def shared(self) -> bool:
        """Return True for a `__shared__` variable."""
        return self.declaration is not None and is_shared(self.declaration)

    @property
    def constant(self) -> bool:
        """Return True for a `constexpr` variable, the same for all threads by its meaning."""
        return self.declaration is not None and "constexpr" in specifiers(self.declaration)

    @property
    def dimensions(self) -> int:
        """Return the number of dimensions of an array, 0 of anything else."""
        if self.declarator is None:
            return 0
        return sum(each.type == "array_declarator" for each in _chain(self.declarator))

    @property
    def scalar(self) -> bool:
        """Return True for a plain value: neither array nor reference."""
        kinds = (
            set() if self.declarator is None else {each.type for each in _chain(self.declarator)}
        )
        return not kinds & {"array_declarator", "reference_declarator"}


@dataclass(frozen=True)
class Variables:
    """The variables of a kernel's body.

    Attributes:
        known: all of them, in the order of their declarations.
        meaning: variable of each identifier, by its byte range.
    """

    known: tuple[Variable, ...]
    meaning: dict[tuple[int, int], Variable]

    def of(self, node: Node) -> Variable | None:
        """Return the variable that an identifier means; None if it is no variable."""
        return self.meaning.get(span(node))

    def within(self, node: Node) -> set[Variable]:
        """Return the variables that a node mentions."""
        return {found for each in walk(node) if (found := self.of(each)) is not None}


def is_shared(declaration: Node) -> bool:
    """Return True for a declaration of `__shared__` memory."""
    return "__shared__" in specifiers(declaration)


def specifiers(declaration: Node) -> set[str]:
    """Return the words before the type of a declaration."""
    return {text(each) for each in declaration.children if each.type != "init_declarator"}


def type_text(declaration: Node) -> str:
    """Return the type of a declaration without const and storage."""
    kind = child(declaration, "type")
    assert kind is not None
    return " ".join([*(qualifiers(declaration) & {"volatile"}), text(kind)])


def qualifiers(declaration: Node) -> set[str]:
    """Return what qualifies the type of a declaration: const, volatile, an alignment."""
    return {text(each) for each in declaration.children if each.type == "type_qualifier"}


def declarators(declaration: Node) -> list[Node]:
    """Return the declarators of a declaration, with their initial values."""
    return declaration.children_by_field_name("declarator")


def array_declarator(variable: Variable, size: str) -> str:
    """Return a variable's declarator as an array of `size` of them, without const."""
    assert variable.declarator is not None
    changes = {span(declared(variable.declarator)): f"{variable.name}[{size}]"}
    inner = variable.declarator
    if inner.type == "init_declarator":
        found = child(inner, "declarator")
        assert found is not None
        inner = found
    changes |= {
        span(each): "" for part in _chain(inner) for each in part.children if text(each) == "const"
    }
    return rewrite(inner, changes)


def resolve(kernel: Kernel) -> Variables:
    """Return the variables of a kernel by the rules of C++ scopes."""
    rules = Uses.of(kernel)
    parameters = {
        name: Variable(name, opaque="const" not in whole.split() and rules.opaque(node, None))
        for name, whole, node in zip(kernel.names, kernel.parameters, kernel.nodes, strict=True)
    }
    found = list(parameters.values())
    meaning: dict[tuple[int, int], Variable] = {}

    def visit(node: Node, scopes: list[dict[str, Variable]]) -> None:
        if node.type in _SCOPES:
            scopes = [*scopes, {}]
        if node.type == "declaration":
            declare(node, scopes)
            return
        if node.type == "identifier":
            use(node, scopes)
            return
        for each in node.children:
            visit(each, scopes)

    def declare(node: Node, scopes: list[dict[str, Variable]]) -> None:
        for declarator in declarators(node):
            name = declared(declarator)
            opaque = rules.opaque(node, declarator)
            variable = Variable(text(name), node, declarator, uses=[name], opaque=opaque)
            found.append(variable)
            meaning[span(name)] = variable
            if declarator.type == "init_declarator":
                variable.writes.append(declarator)
            scopes[-1][variable.name] = variable
            for each in declarator.children:
                if span(each) != span(name):
                    visit(each, scopes)

    def use(node: Node, scopes: list[dict[str, Variable]]) -> None:
        if span(node) in meaning:
            return
        for scope in reversed(scopes):
            if text(node) in scope:
                variable = scope[text(node)]
                meaning[span(node)] = variable
                variable.uses.append(node)
                how, where = rules.note(node, variable.dimensions, variable.scalar)
                variable.taken = variable.taken or how == "taken"
                if where is not None:
                    variable.writes.append(where)
                return

    visit(kernel.body, [parameters])
    return Variables(tuple(found), meaning)


def _chain(declarator: Node) -> list[Node]:
    """Return a declarator and those within it, without initial values."""
    found, inner = [], declarator
    while True:
        found.append(inner)
        following = child(inner, "declarator")
        if following is None:
            following = next(
                (e for e in inner.named_children if e.type.endswith("declarator")), None
            )
        if following is None:
            return found
        inner = following
