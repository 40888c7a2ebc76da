"""Splits a kernel at its barriers into regions that are repeated for every logical thread.

A barrier waits for all threads of a block. When one physical thread stands for several logical
ones, everything between two barriers (a region) becomes a loop over them, and the barrier stays
outside the loop. Loops and branches around barriers stay outside too, so their conditions must be
the same for all threads. The method is that of MCUDA (Stratton et al., LCPC 2008) and of POCL
(Jaaskelainen et al., IJPP 2015).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from envs.kernels.hidden import reason
from envs.kernels.refusals import has_barrier, is_barrier
from envs.kernels.syntax import LOOPS, Kernel, Node, line, text, walk
from envs.kernels.syntax import field as child
from envs.kernels.uniform import (
    assigns_only,
    header,
    id_of,
    is_declaration_of,
    is_pragma,
    is_uniform,
    joint,
    parts,
    statements,
    uniform_declarators,
    uniform_variables,
)
from envs.kernels.variables import Variable, Variables, resolve

_JUMPS = ("break_statement", "continue_statement", "return_statement")


@dataclass(eq=False)
class Region:
    """Statements without barriers, repeated for every logical thread."""

    statements: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class Together:
    """A statement that every physical thread runs once: a barrier, a jump, a uniform value.

    Attributes:
        declarators: those of a declaration that are meant; empty for all.
    """

    statement: Node
    declarators: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class Construct:
    """A branch, loop or compound around barriers; `bodies` are its parts in their order."""

    node: Node
    bodies: list[list[Item]]


Item = Region | Together | Construct


@dataclass(frozen=True)
class Split:
    """A kernel that has been split at its barriers.

    Attributes:
        items: the body, in order.
        variables: of the kernel.
        uniform: variables of which one copy serves all threads.
        kept: variables that need a value per logical thread: they live across regions.
    """

    items: list[Item]
    variables: Variables
    uniform: frozenset[Variable]
    kept: frozenset[Variable]


def split_kernel(kernel: Kernel) -> Split:
    """Return the regions of a kernel with barriers.

    Raises:
        KernelError: a barrier or a jump stands where threads of a block may differ.
    """
    variables = resolve(kernel)
    _check_moved(kernel, variables)
    uniform = uniform_variables(kernel, variables)
    items = _Splitter(kernel, variables, uniform).items(statements(kernel.body))
    for variable in variables.known:
        changed = variable.writes or variable.taken
        if variable.declaration is None and variable not in uniform and changed:
            raise reason(
                kernel,
                (variable.writes or variable.uses)[0],
                f"parameter `{variable.name}` is changed by single threads: use a variable",
            )
    return Split(items, variables, uniform, _kept(items, variables, uniform))


def _check_moved(kernel: Kernel, variables: Variables) -> None:
    """Refuse a name that means something else before its declaration, which may move up."""
    for variable in variables.known:
        declaration = variable.declaration
        scope = None if declaration is None else declaration.parent
        if declaration is None or scope is None:
            continue
        for node in walk(scope):
            if (
                node.type in ("identifier", "type_identifier")
                and node.start_byte < declaration.start_byte
                and text(node) == variable.name
                and not _declared_within(scope, variables.of(node))
            ):
                raise reason(
                    kernel,
                    node,
                    f"`{variable.name}` means something else here than in line "
                    f"{line(declaration)}: rename one of them",
                )


def _declared_within(scope: Node, variable: Variable | None) -> bool:
    declaration = None if variable is None else variable.declaration
    return declaration is not None and declaration.start_byte >= scope.start_byte


def regions(items: list[Item]) -> Iterator[Region]:
    """Yield the regions of a body, those of nested bodies among them."""
    for item in items:
        if isinstance(item, Region):
            yield item
        elif isinstance(item, Construct):
            for body in item.bodies:
                yield from regions(body)


def _kept(
    items: list[Item], variables: Variables, uniform: frozenset[Variable]
) -> frozenset[Variable]:
    """Return variables that are used in more than one region, or to which a pointer exists."""
    seen: dict[Variable, set[int]] = {}
    local: set[Variable] = set()
    for number, region in enumerate(regions(items)):
        for statement in region.statements:
            for variable in variables.within(statement):
                seen.setdefault(variable, set()).add(number)
            if statement.type == "declaration":
                local |= {v for v in variables.known if v.declaration and _same(v, statement)}
    return frozenset(
        variable
        for variable in local - uniform
        if variable.taken or variable.opaque or len(seen[variable]) > 1
    )


def _same(variable: Variable, statement: Node) -> bool:
    return variable.declaration is not None and id_of(variable.declaration) == id_of(statement)


@dataclass(frozen=True)
class _Splitter:
    kernel: Kernel
    variables: Variables
    uniform: frozenset[Variable]

    def items(self, body: list[Node]) -> list[Item]:
        """Return the items of a list of statements.

        Values that are the same for all threads go before the open region, which reads none of
        what they change; so they do not cut it in two.
        """
        items: list[Item] = []
        region = Region()
        for index, statement in enumerate(body):
            pragma = is_pragma(statement)
            target = self._assigned(statement)
            if is_declaration_of(statement, self.uniform) or (
                target is not None
                and not any(target in self.variables.within(each) for each in region.statements)
            ):
                items.append(Together(statement))
            elif target is not None or (
                joint(body[index + 1]) if pragma and index + 1 < len(body) else joint(statement)
            ):
                if region.statements:
                    items.append(region)
                    region = Region()
                items.append(Together(statement) if pragma or target else self._joint(statement))
            else:
                shared = uniform_declarators(statement, self.uniform)
                if shared:
                    items.append(Together(statement, shared))
                region.statements.append(statement)
        if region.statements:
            items.append(region)
        return items

    def _assigned(self, statement: Node) -> Variable | None:
        """Return the uniform variable that a whole statement assigns to, if it does."""
        assignment = assigns_only(statement)
        if assignment is None:
            return None
        target = child(assignment, "left") or child(assignment, "argument")
        found = self.variables.of(target) if target is not None else None
        return found if found in self.uniform else None

    def _joint(self, statement: Node) -> Item:
        if statement.type in _JUMPS:
            return Together(statement)
        if statement.type == "expression_statement" and is_barrier(statement.named_children[0]):
            return Together(statement)
        if statement.type == "compound_statement":
            return Construct(statement, [self.items(statements(statement))])
        if statement.type not in ("if_statement", *LOOPS):
            raise reason(
                self.kernel, statement, "a barrier or a jump in a place that is not followed"
            )
        self._check_head(statement)
        return Construct(statement, [self.items(statements(part)) for part in parts(statement)])

    def _check_head(self, statement: Node) -> None:
        """Refuse a head of a branch or loop on which threads of a block may differ."""
        condition = child(statement, "condition")
        if condition is not None and not self._agreed(condition):
            thing = "a barrier" if has_barrier(statement) else "a jump"
            raise reason(
                self.kernel,
                condition,
                f"{thing} under a condition on which threads of a block may differ",
            )
        for each in header(statement):
            declared_here = is_declaration_of(each, self.uniform)
            if not declared_here and self._assigned(each) is None:
                raise reason(
                    self.kernel, each, "a loop around a barrier counts in a way that may differ"
                )

    def _agreed(self, condition: Node) -> bool:
        changes = ("assignment_expression", "update_expression", "declaration")
        return is_uniform(self.kernel, self.variables, self.uniform, condition) and not any(
            each.type in changes for each in walk(condition)
        )
