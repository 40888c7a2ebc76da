"""Refuse what cannot be made elastic, with one sentence that says why and on which line."""

from __future__ import annotations

from envs.kernels.functions import (
    BARRIER,
    BUILTINS,
    CASTS,
    CONSTANTS,
    MEMORY,
    PURE,
    VOTES,
    WARP,
)
from envs.kernels.hidden import (
    check_hidden_code,
    check_place,
    check_types,
    lockstep,
    reason,
)
from envs.kernels.macros import check_macros, free_names, functions_in_macros
from envs.kernels.syntax import (
    LOOPS,
    Kernel,
    KernelError,
    Node,
    called,
    declared,
    field,
    line,
    text,
    walk,
)
from envs.kernels.waiting import check_waiting

#: Prefix of names in generated code.
PREFIX = "elastic_"

#: Scopes in which the stand-ins for CUDA's variables cannot be named.
BUILTINS_HIDDEN_IN = ("lambda_expression", "struct_specifier", "class_specifier")

_GROUPS = ("cooperative_groups", "this_grid", "this_thread_block", "grid_group", "this_cluster")


def refuse_binary(source: str | bytes) -> str:
    """Return the text of a source, and refuse what was compiled already.

    Raises:
        KernelError: a TensorRT plan, a cubin or another file that is not text.
    """
    if isinstance(source, str):
        return source
    if source[:4] in (b"ptrt", b"ftrt"):
        raise KernelError(
            "this is a TensorRT plan: its kernels are compiled and opaque, "
            "and elastic kernels are made from CUDA C++ source"
        )
    try:
        decoded = source.decode()
        if "\0" not in decoded:
            return decoded
    except UnicodeDecodeError:
        pass
    raise KernelError(
        "this file is not text (a TensorRT plan, a cubin or a library?), "
        "and elastic kernels are made from CUDA C++ source"
    )


def check(kernel: Kernel) -> str:
    """Refuse a kernel that cannot be made elastic.

    Returns:
        Why its block must keep its number of threads; empty if it may be narrowed.

    Raises:
        KernelError: the kernel cannot be made elastic; the message names the line.
    """
    _check_definition(kernel)
    check_place(kernel)
    check_hidden_code(kernel)
    barriers = has_barrier(kernel.body)
    fixed = ""
    reached = _reached(kernel)
    for function in (kernel.node, *reached):
        for node in walk(function):
            _check_node(kernel, node)
            fixed = fixed or _warp_use(node)
        _check_known(kernel, function)
        check_types(kernel, function, declared_names(function))
        check_macros(kernel, function, jumps=not barriers or function is not kernel.node)
        fixed = fixed or lockstep(kernel, function)
    for function in reached:
        _check_function(kernel, function)
    if barriers:
        _check_barriers(kernel)
        _check_names(kernel)
    return fixed


def is_barrier(node: Node) -> bool:
    """Return True for a call of `__syncthreads()`."""
    return node.type == "call_expression" and called(node) == BARRIER


def has_barrier(node: Node) -> bool:
    """Return True if a barrier is in or below a node."""
    return any(is_barrier(each) for each in walk(node))


def _reached(kernel: Kernel) -> list[Node]:
    """Return the functions of the file that the kernel calls, directly or through others."""
    found: dict[str, tuple[Node, ...]] = {}
    todo = [kernel.body]
    while todo:
        function = todo.pop()
        names = functions_in_macros(kernel, function)
        for node in walk(function):
            if node.type == "call_expression" and field(node, "function") is not None:
                names.add(called(node).partition("<")[0])
        for name in sorted(names & set(kernel.functions) - set(found)):
            found[name] = kernel.functions[name]
            todo += found[name]
    return [each for overloads in found.values() for each in overloads]


def _check_node(kernel: Kernel, node: Node) -> None:
    """Refuse constructs that are wrong wherever they stand."""
    if node.type == "ERROR" or (node.has_error and not node.children):
        raise reason(kernel, node, f"`{text(node)[:40]}` cannot be parsed")
    if node.type in ("gnu_asm_expression", "asm_statement"):
        raise reason(kernel, node, "inline assembly may read any register, the block's among them")
    if node.type in ("identifier", "namespace_identifier", "type_identifier"):
        word = text(node)
        if word in _GROUPS:
            raise reason(
                kernel, node, f"`{word}` of cooperative groups may wait for threads of other blocks"
            )
        if word.startswith(PREFIX):
            raise reason(kernel, node, f"names with `{PREFIX}` are those of generated code")
        macro = kernel.macros.get(word, "")
        if any(name in macro for name in (*BUILTINS, BARRIER, "asm")) or WARP.search(macro):
            raise reason(kernel, node, f"macro `{word}` hides threads or barriers: write it out")
    if node.type == "call_expression":
        _check_call(kernel, node)
    if node.type in LOOPS:
        check_waiting(kernel, node)
    if node.type in BUILTINS_HIDDEN_IN and _names_builtin(node):
        raise reason(
            kernel, node, "a lambda without [&] or [=], or a type, reads a thread's index within it"
        )


def _names_builtin(node: Node) -> bool:
    captures = field(node, "captures")
    if captures is not None and text(captures).replace(" ", "")[1:2] in ("&", "="):
        whole = text(captures).replace(" ", "")
        if whole[2:3] in ("]", ","):
            return False
    return any(each.type == "identifier" and text(each) in BUILTINS for each in walk(node))


def _check_known(kernel: Kernel, function: Node) -> None:
    """Refuse a name that is declared nowhere: a macro of another file may hide anything."""
    known = {*kernel.globals, *kernel.functions, *kernel.macros, *PURE, *MEMORY, *VOTES, *CONSTANTS}
    known |= {BARRIER, *BUILTINS, *CASTS, *declared_names(function)}
    for node in walk(function):
        if node.type == "identifier" and text(node) not in known and not _is_known(node):
            raise reason(
                kernel,
                node,
                f"`{text(node)}` is not defined in the source: what it is is not known",
            )


def _is_known(node: Node) -> bool:
    """Return True for a name of warps, and for one that is refused elsewhere or is a function's."""
    word, parent = text(node), node.parent
    return bool(
        WARP.fullmatch(word)
        or word in _GROUPS
        or (parent is not None and parent.type in ("function_declarator", "call_expression"))
        or (parent is not None and parent.type == "qualified_identifier")
    )


def declared_names(function: Node) -> set[str]:
    """Return names of the parameters and local variables of a function, in whatever scope."""
    kinds = ("declaration", "parameter_declaration", "optional_parameter_declaration")
    parent = function.parent
    template = parent is not None and parent.type == "template_declaration"
    return {
        text(declared(declarator))
        for node in walk(parent if template and parent is not None else function)
        if node.type in kinds
        for declarator in node.children_by_field_name("declarator")
        if declarator.type != "function_declarator" or node.type == "declaration"
    }


def _check_call(kernel: Kernel, node: Node) -> None:
    name = called(node).partition("<")[0]
    if any(each.type == "kernel_call_syntax" for each in node.children):
        raise reason(kernel, node, "it launches a kernel (dynamic parallelism)")
    if any(group in name for group in _GROUPS):
        raise reason(kernel, node, f"`{name}` may wait for threads of other blocks")
    if name in VOTES:
        raise reason(kernel, node, f"`{name}` counts the threads of the block while it waits")
    known = name == BARRIER or name in PURE or name in MEMORY or name in kernel.functions
    known = known or name in CASTS or node.children[0].type == "primitive_type"
    if not known and name not in kernel.macros and not WARP.fullmatch(name):
        raise reason(
            kernel, node, f"`{name}` is not defined in the source, so what it does is not known"
        )


def _warp_use(node: Node) -> str:
    """Return why a node needs the warps of the original block; empty if it does not."""
    if node.type == "identifier" and WARP.fullmatch(text(node)):
        return f"line {line(node)}: `{text(node)}` works on a warp of the original block"
    return ""


def _check_definition(kernel: Kernel) -> None:
    parent = kernel.node.parent
    if parent is not None and parent.type == "template_declaration":
        raise reason(kernel, kernel.node, "it is a template: write out the instance that is meant")
    for node in walk(kernel.body):
        if node.type.startswith("preproc_if"):
            raise reason(kernel, node, "#if within the kernel: preprocess the source first")
        if node.type == "storage_class_specifier" and text(node) == "static":
            raise reason(kernel, node, "a static variable is shared by all blocks")


def _check_function(kernel: Kernel, function: Node) -> None:
    for node in walk(function):
        if node.type == "identifier" and text(node) in BUILTINS:
            raise reason(
                kernel, node, f"a called function reads {text(node)}: pass what it needs to it"
            )
        if is_barrier(node):
            raise reason(kernel, node, "a barrier within a called function: move it to the kernel")


def _check_barriers(kernel: Kernel) -> None:
    """Refuse what the split at barriers does not follow."""
    unknown = {
        "lambda_expression": "a lambda",
        "goto_statement": "goto",
        "labeled_statement": "a label",
        "for_range_loop": "a loop over a range",
        "try_statement": "try",
        "struct_specifier": "a type declared within the kernel",
        "class_specifier": "a type declared within the kernel",
        "enum_specifier": "a type declared within the kernel",
        "type_definition": "a type declared within the kernel",
        "alias_declaration": "a type declared within the kernel",
        "using_declaration": "a using declaration",
        "structured_binding_declarator": "a structured binding",
    }
    for node in walk(kernel.body):
        if node.type in unknown and (
            not node.type.endswith("_specifier") or field(node, "body") is not None
        ):
            raise reason(kernel, node, f"{unknown[node.type]} in a kernel with barriers")


def _check_names(kernel: Kernel) -> None:
    """Refuse text in which a variable of the kernel is hidden from the parser."""
    names, free = declared_names(kernel.node), free_names(kernel)
    for node in walk(kernel.body):
        word = text(node)
        if node.type == "type_identifier" and word in names:
            raise reason(
                kernel, node, f"variable `{word}` reads as a type here (as in `int a(b);`): use `=`"
            )
        hidden = free.get(word, set()) & names
        if node.type == "identifier" and hidden:
            raise reason(
                kernel, node, f"macro `{word}` hides the variable `{min(hidden)}`: write it out"
            )
