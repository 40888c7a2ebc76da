"""Writes the regions of a kernel as loops over logical threads."""

from __future__ import annotations

from envs.kernels.fission import Construct, Item, Region, Split, Together
from envs.kernels.hidden import reason
from envs.kernels.syntax import LOOPS, Kernel, Node, declared, field, rewrite, span, text, walk
from envs.kernels.uniform import is_pragma, parts, uniform_declarators
from envs.kernels.variables import (
    Variable,
    array_declarator,
    declarators,
    qualifiers,
    type_text,
)

#: What stands for the variables of CUDA in generated code.
STANDS_FOR = {
    "threadIdx": "elastic_thread",
    "blockIdx": "elastic_block",
    "blockDim": "elastic_shard.threads",
    "gridDim": "elastic_shard.blocks",
}
_INDEX = "elastic_i"
#: Longer loops over logical threads are not unrolled.
_UNROLLED = 16


def builtins(node: Node) -> dict[tuple[int, int], str]:
    """Return the changes that put logical indices and sizes in the place of CUDA's."""
    return {
        span(each): STANDS_FOR[text(each)]
        for each in walk(node)
        if each.type == "identifier" and text(each) in STANDS_FOR
    }


class Emitter:
    """Writes one version of a split kernel.

    Args:
        kernel: the original.
        split: its regions.
        cover: logical threads that one physical thread stands for, at most.
    """

    def __init__(self, kernel: Kernel, split: Split, cover: int) -> None:
        self._kernel, self._split, self._cover = kernel, split, cover
        declarations = {
            span(declared(each.declarator)) for each in split.kept if each.declarator is not None
        }
        self._changes = builtins(kernel.body) | {
            where: f"{variable.name}[{_INDEX}]"
            for where, variable in split.variables.meaning.items()
            if variable in split.kept and where not in declarations
        }

    def body(self) -> str:
        """Return the statements of the function that works on one logical block."""
        return self._items(self._split.items, 1)

    def _items(self, items: list[Item], depth: int) -> str:
        return "".join(self._item(item, depth) for item in items)

    def _item(self, item: Item, depth: int) -> str:
        pad = "  " * depth
        if isinstance(item, Region):
            return self._region(item, depth)
        if isinstance(item, Together):
            written = rewrite(item.statement, self._changes).strip()
            if item.declarators:
                several = ", ".join(rewrite(each, self._changes) for each in item.declarators)
                written = f"{self._specifiers(item.statement)}{several};"
            return f"{'' if is_pragma(item.statement) else pad}{written}\n"
        return self._construct(item, depth)

    def _construct(self, item: Construct, depth: int) -> str:
        pad, node = "  " * depth, item.node
        bodies = [f"{{\n{self._items(body, depth + 1)}{pad}}}" for body in item.bodies]
        if node.type == "compound_statement":
            return f"{pad}{bodies[0]}\n"
        if node.type == "if_statement":
            otherwise = f" else {bodies[1]}" if len(bodies) > 1 else ""
            return f"{pad}if {self._part(node, 'condition')} {bodies[0]}{otherwise}\n"
        if node.type == "do_statement":
            return f"{pad}do {bodies[0]} while {self._part(node, 'condition')};\n"
        assert node.type in LOOPS
        head = rewrite(node, {**self._changes, span(parts(node)[0]): ""}).strip()
        return f"{pad}{head} {bodies[0]}\n"

    def _part(self, node: Node, name: str) -> str:
        found = field(node, name)
        assert found is not None
        return rewrite(found, self._changes)

    def _region(self, region: Region, depth: int) -> str:
        pad = "  " * depth
        kept = [each for s in region.statements for each in self._kept_of(s)]
        arrays = "".join(f"{pad}{self._array(each)}\n" for each in kept)
        inner = "".join(self._statement(each, depth + 2) for each in region.statements)
        unroll = "#pragma unroll\n" if self._cover <= _UNROLLED else ""
        thread = "elastic_place(elastic_linear, elastic_shard.threads)"
        return (
            f"{arrays}{unroll}"
            f"{pad}for (unsigned {_INDEX} = 0; {_INDEX} < {self._cover}; ++{_INDEX}) {{\n"
            f"{pad}  const unsigned elastic_linear = threadIdx.x + {_INDEX} * blockDim.x;\n"
            f"{pad}  if (elastic_linear < elastic_count) {{\n"
            f"{pad}    const uint3 elastic_thread = {thread};\n"
            f"{pad}    (void)elastic_thread;\n"
            f"{inner}{pad}  }}\n{pad}}}\n"
        )

    def _kept_of(self, statement: Node) -> list[Variable]:
        """Return the kept variables that a statement declares."""
        if statement.type != "declaration":
            return []
        places = [span(each) for each in declarators(statement)]
        return [
            each
            for each in self._split.variables.known
            if each in self._split.kept
            and each.declarator is not None
            and span(each.declarator) in places
        ]

    def _array(self, variable: Variable) -> str:
        """Return the declaration of a value per logical thread."""
        assert variable.declaration is not None
        assert variable.declarator is not None
        why = ""
        if any(each.type == "reference_declarator" for each in walk(variable.declarator)):
            why = f"reference `{variable.name}` lives across a barrier: use a pointer"
        elif "auto" in type_text(variable.declaration).split():
            why = f"`{variable.name}` lives across a barrier and has no written type"
        more = qualifiers(variable.declaration) - {"const", "constexpr", "volatile"}
        if more:
            why = f"`{variable.name}` lives across a barrier and has `{min(more)}`"
        if why:
            raise reason(self._kernel, variable.declaration, why)
        return f"{type_text(variable.declaration)} {array_declarator(variable, str(self._cover))};"

    def _statement(self, statement: Node, depth: int) -> str:
        pad = "  " * depth
        if is_pragma(statement):
            return text(statement).strip() + "\n"
        kept = self._kept_of(statement)
        together = uniform_declarators(statement, self._split.uniform)
        if not kept and not together:
            return f"{pad}{rewrite(statement, self._changes)}\n"
        by_place = {span(each.declarator): each for each in kept if each.declarator is not None}
        found = [each for each in declarators(statement) if each not in together]
        before = self._specifiers(statement)
        lines = [
            self._start(by_place[span(each)], each)
            if span(each) in by_place
            else f"{before}{rewrite(each, self._changes)};"
            for each in found
        ]
        return "".join(f"{pad}{each}\n" for each in lines if each)

    def _specifiers(self, declaration: Node) -> str:
        """Return what stands before the first declarator."""
        first = declarators(declaration)[0]
        return self._kernel.source.encode()[declaration.start_byte : first.start_byte].decode()

    def _start(self, variable: Variable, declarator: Node) -> str:
        """Return what gives a kept variable its first value; empty if it has none."""
        value = field(declarator, "value")
        if value is None:
            return ""
        if value.type == "argument_list" and len(value.named_children) != 1:
            raise reason(
                self._kernel,
                declarator,
                f"`{variable.name}` lives across a barrier: write its value with `=`",
            )
        written = rewrite(value, self._changes)
        name = f"{variable.name}[{_INDEX}]"
        sizes = _sizes(declarator, self._changes)
        if not sizes:
            return f"{name} = {written};"
        if "" in sizes:
            raise reason(
                self._kernel,
                declarator,
                f"`{variable.name}` lives across a barrier: write its size",
            )
        assert variable.declaration is not None
        counts = [f"elastic_{number}" for number in range(len(sizes))]
        loops = "".join(
            f"for (int {count} = 0; {count} < ({size}); ++{count}) "
            for count, size in zip(counts, sizes, strict=True)
        )
        index = "".join(f"[{count}]" for count in counts)
        shape = "".join(f"[{size}]" for size in sizes)
        inner = field(declarator, "declarator")
        assert inner is not None
        stars = "*" * sum(each.type == "pointer_declarator" for each in walk(inner))
        return (
            f"{{ {type_text(variable.declaration)} {stars}elastic_start{shape} = {written}; "
            f"{loops}{name}{index} = elastic_start{index}; }}"
        )


def _sizes(declarator: Node, changes: dict[tuple[int, int], str]) -> list[str]:
    """Return the sizes of an array's dimensions, the first one first; empty for a plain value."""
    inner = field(declarator, "declarator")
    found: list[str] = []
    while inner is not None:
        if inner.type == "array_declarator":
            size = field(inner, "size")
            found.insert(0, "" if size is None else rewrite(size, changes))
        inner = field(inner, "declarator")
    return found
