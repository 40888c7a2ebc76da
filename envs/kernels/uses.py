"""Say how a kernel uses a variable where its name stands: reads it, writes it, or lets it out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from envs.kernels.functions import CASTS, MEMORY, PURE, TYPES, WARP
from envs.kernels.hidden import array_members, plain_types
from envs.kernels.syntax import Kernel, Node, field, root_of, text, walk

#: Assignments (and no comparisons), steps, and addresses, which may also be a bitwise and.
_WRITES = re.compile(r"(?<![=!<>])=(?!=)|<<=|>>=|\+\+|--|(?<!&)&(?!&)")
_PASSES = ("init_declarator", "argument_list", "initializer_list", "return_statement")


@dataclass(frozen=True)
class Uses:
    """Hold what a kernel's file says of types, functions and members.

    Attributes:
        kernel: the kernel.
        plain: types that are numbers, or structures of numbers.
        members: dimensions of members that are arrays, by name.
    """

    kernel: Kernel
    plain: frozenset[str]
    members: dict[str, int]

    @classmethod
    def of(cls, kernel: Kernel) -> Uses:
        """Return what the file of a kernel says."""
        return cls(kernel, frozenset(plain_types(kernel)), dict(array_members(kernel)))

    def opaque(self, declaration: Node, declarator: Node | None) -> bool:
        """Return True if variables of this type may change where no text says so."""
        inner = None if declarator is None else field(declarator, "declarator") or declarator
        if inner is not None and any(each.type == "pointer_declarator" for each in walk(inner)):
            return False
        kind = field(declaration, "type")
        if kind is None or kind.type in ("primitive_type", "sized_type_specifier"):
            return False
        if kind.type == "placeholder_type_specifier":
            return any(each.type == "call_expression" for each in walk(declaration))
        name = text(field(kind, "name") or kind)
        return not (name in self.plain or TYPES.fullmatch(name))

    def note(self, node: Node, dimensions: int, pointer: bool) -> tuple[str, Node | None]:
        """Return how a variable is used where its name stands.

        Args:
            node: the name.
            dimensions: of the variable, 0 if it is no array.
            pointer: True for a plain value, whose index leads to what it points to.

        Returns:
            `written` with the assignment, `taken` where others may write it, or `read`.
        """
        at, parent, missing, odd, member = node, node.parent, dimensions, False, False
        while parent is not None:
            kind = parent.type
            if kind == "subscript_expression":
                if not _first(parent, at) or (pointer and not member):
                    return "read", None
                missing -= 1
            elif kind == "field_expression":
                operator = field(parent, "operator")
                if operator is not None and text(operator) == "->":
                    return ("taken" if missing > 0 else "read"), None
                name = field(parent, "field")
                member = True
                missing += self.members.get("" if name is None else text(name), 0)
            elif (
                (kind == "cast_expression" and "&" in text(parent.named_children[0]))
                or (kind == "conditional_expression" and not _first(parent, at))
                or (kind == "comma_expression" and not _first(parent, at))
            ):
                odd = True
            elif kind != "parenthesized_expression":
                break
            at, parent = parent, parent.parent
        if parent is None or missing > 0:
            return ("taken" if missing > 0 else "read"), None
        return self._ends(at, parent, odd)

    def _ends(self, at: Node, parent: Node, odd: bool) -> tuple[str, Node | None]:
        kind = parent.type
        if kind == "update_expression" or (kind == "assignment_expression" and _first(parent, at)):
            return ("taken", None) if odd else ("written", parent)
        address = kind == "pointer_expression" and text(parent).startswith("&")
        passed = kind in _PASSES
        if address or (passed and self._may_bind(parent)):
            return "taken", None
        return "read", None

    def _may_bind(self, parent: Node) -> bool:
        """Return True if a reference may be bound to a variable here."""
        owner: Node | None = parent
        while owner is not None and owner.type in ("initializer_list", "argument_list"):
            if owner.type == "argument_list" and (
                owner.parent is not None and owner.parent.type == "call_expression"
            ):
                return self._call_binds(owner.parent)
            owner = owner.parent
        if owner is None or owner.type != "init_declarator":
            return owner is not None and owner.type != "return_statement"
        declaration = owner.parent
        return (
            any(each.type == "reference_declarator" for each in walk(owner))
            or declaration is None
            or self.opaque(declaration, owner)
        )

    def _call_binds(self, call: Node) -> bool:
        function = field(call, "function")
        name = "" if function is None else text(function)
        if name in self.kernel.functions:
            return any(self._has_reference(each) for each in self.kernel.functions[name])
        if name.partition("<")[0] in CASTS:
            return "&" in name
        primitive = function is not None and function.type == "primitive_type"
        known = name in PURE or name in MEMORY or WARP.fullmatch(name) is not None
        if name in self.kernel.macros:
            return self._macro_writes(self.kernel.macros[name])
        return not (known or primitive)

    def _macro_writes(self, written: str) -> bool:
        """Return True if a macro assigns, takes an address, or calls what takes a reference."""
        called = set(re.findall(r"\w+", written)) & set(self.kernel.functions)
        return _WRITES.search(written) is not None or any(
            self._has_reference(each) for name in called for each in self.kernel.functions[name]
        )

    def _has_reference(self, function: Node) -> bool:
        """Return True if a function takes a reference, or a type that may be one."""
        header = field(function, "declarator")
        if header is None or any(each.type == "reference_declarator" for each in walk(header)):
            return True
        parameters = [each for each in walk(header) if each.type == "parameter_declaration"]
        aliases = {name for name in _aliases(self.kernel) if name not in self.plain}
        return any(
            each.type == "type_identifier" and text(each) in aliases
            for parameter in parameters
            for each in walk(parameter)
        )


def _aliases(kernel: Kernel) -> set[str]:
    return {
        text(each)
        for node in walk(root_of(kernel.node))
        if node.type in ("type_definition", "alias_declaration")
        for each in walk(node)
        if each.type == "type_identifier"
    }


def _first(parent: Node, node: Node) -> bool:
    """Return True if a node stands in the first part of an expression."""
    first = parent.named_children[0]
    return first.start_byte <= node.start_byte < first.end_byte
