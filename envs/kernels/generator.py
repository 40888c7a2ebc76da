"""Makes elastic kernels from CUDA C++ source.

An elastic kernel runs a range of the original's blocks (a shard) on as many blocks as it is given,
each of as many threads as it is given. Its blocks stay until the shard is done: they take the
number of the next logical block from a counter in global memory. The arithmetic of a logical
thread is the original text, so results are equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envs.kernels.emit import Emitter, builtins
from envs.kernels.fission import split_kernel
from envs.kernels.macros import check_macros_apart
from envs.kernels.refusals import check, has_barrier, refuse_binary
from envs.kernels.syntax import Kernel, KernelError, is_dynamic, kernels, rewrite, root_of, walk

#: Logical threads for which one physical thread stands, in versions of kernels with barriers.
COVERS = (1, 2, 4, 8)
#: Threads of a block on every GPU of the project.
MAX_THREADS = 1024

_PRELUDE = """\
#ifndef ELASTIC_SHARD
#define ELASTIC_SHARD
/* Logical blocks [first, last) of a grid; `taken` counts those that were begun, from zero. */
struct ElasticShard {
  uint3 blocks;
  uint3 threads;
  unsigned first;
  unsigned last;
  unsigned *taken;
};
static __device__ __forceinline__ uint3 elastic_place(unsigned linear, uint3 size) {
  return make_uint3(linear % size.x, linear / size.x % size.y, linear / size.x / size.y);
}
#endif
"""

_LAUNCHED = """
extern "C" __global__ void {entry}({parameters}) {{
  __shared__ unsigned elastic_next;
  for (;;) {{
    if (threadIdx.x == 0) elastic_next = elastic_shard.first + atomicAdd(elastic_shard.taken, 1u);
    /* Also keeps shared memory of the last block until all threads have left it. */
    __syncthreads();
    const unsigned elastic_taken = elastic_next;
    __syncthreads();
    if (elastic_taken >= elastic_shard.last) break;
    const uint3 elastic_block = elastic_place(elastic_taken, elastic_shard.blocks);
    {work}
  }}
}}
"""


@dataclass(frozen=True)
class ElasticKernel:
    """An elastic kernel's source.

    Attributes:
        name: of the original.
        parameters: types and names of the original's parameters; the elastic one takes an
            `ElasticShard` after them.
        source: the file of the original.
        generated: what was made from it; stands right after the original, where names, macros
            and overloads mean what they mean to the original.
        end: byte of the source at which the original ends.
        entries: name of the function by `cover`; a kernel without barriers has one, under 0,
            which covers any number of threads.
        fixed_block: why the block keeps its number of threads; empty if it may be narrowed.
        dynamic: True if the source has shared memory whose size the launch gives.
    """

    name: str
    parameters: tuple[str, ...]
    source: str
    generated: str
    end: int
    entries: dict[int, str]
    fixed_block: str
    dynamic: bool = False

    @property
    def text(self) -> str:
        """Return a whole source: the original's file and what was made from it."""
        return joined([self])

    def entry(self, threads: int, logical_threads: int) -> str:
        """Return the function for blocks of `threads` threads.

        Raises:
            KernelError: no version covers the logical block with so few threads.
        """
        if not 1 <= threads <= MAX_THREADS:
            raise KernelError(f"a block has 1 to {MAX_THREADS} threads, not {threads}")
        if self.fixed_block and threads != logical_threads:
            raise KernelError(
                f"{self.name} needs blocks of {logical_threads} threads ({self.fixed_block})"
            )
        if 0 in self.entries:
            return self.entries[0]
        needed = -(-logical_threads // threads)
        fitting = [cover for cover in self.entries if cover >= needed]
        if not fitting:
            raise KernelError(
                f"{self.name}: {threads} threads would each cover {needed} of {logical_threads}, "
                f"and its versions cover up to {max(self.entries)}"
            )
        return self.entries[min(fitting)]


def elastic(
    source: str | bytes, name: str | None = None, covers: Sequence[int] = COVERS
) -> ElasticKernel:
    """Return the elastic version of a kernel.

    Args:
        source: CUDA C++ source of the file in which the kernel is.
        name: of the kernel; may be None if the file has one.
        covers: versions to write of a kernel with barriers, by the number of logical threads
            that one physical thread stands for.

    Raises:
        KernelError: it cannot be made elastic; the sentence says why.
        DependencyError: the parser is not installed.
    """
    kernel = _named(refuse_binary(source), name)
    fixed = check(kernel)
    barriers = has_barrier(kernel.body)
    if barriers:
        split = split_kernel(kernel)
        chosen = (1,) if fixed else tuple(sorted(set(covers)))
        entries = {cover: f"{kernel.name}_elastic_{cover}" for cover in chosen}
        functions = [
            _with_barriers(kernel, Emitter(kernel, split, cover).body(), entry)
            for cover, entry in entries.items()
        ]
    else:
        entries = {0: f"{kernel.name}_elastic"}
        functions = [_without_barriers(kernel, entries[0])]
    generated = "\n".join([_PRELUDE, *functions])
    dynamic = any(is_dynamic(node) for node in walk(root_of(kernel.node)))
    return ElasticKernel(
        kernel.name,
        kernel.parameters,
        kernel.source,
        generated,
        kernel.node.end_byte,
        entries,
        fixed,
        dynamic,
    )


def joined(made: Sequence[ElasticKernel]) -> str:
    """Return one source with several elastic kernels; a file of originals is in it once.

    Raises:
        KernelError: a macro of one file would change another.
    """
    sources = list(dict.fromkeys(each.source for each in made))
    check_macros_apart(sources)
    return "\n".join(_with_elastic(source, made) for source in sources)


def _with_elastic(source: str, made: Sequence[ElasticKernel]) -> str:
    out, at, whole = [], 0, source.encode()
    for each in sorted((each for each in made if each.source == source), key=lambda e: e.end):
        out += [whole[at : each.end].decode(), f"\n{each.generated}\n"]
        at = each.end
    return "".join([*out, whole[at:].decode()])


def _named(source: str, name: str | None) -> Kernel:
    listed = kernels(source)
    found = {kernel.name: kernel for kernel in listed}
    twice = [each for each in found if sum(kernel.name == each for kernel in listed) > 1]
    if twice and name in (None, *twice):
        raise KernelError(
            f"the source defines kernel {twice[0]} more than once (#if, or overloads): "
            "preprocess it, or give each a name of its own"
        )
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        raise KernelError(f"the source has the kernels {', '.join(found)}, and `{name}` is none")
    return found[name]


def _with_barriers(kernel: Kernel, body: str, entry: str) -> str:
    parameters = ", ".join(
        [*kernel.parameters, "const ElasticShard elastic_shard", "const uint3 elastic_block"]
    )
    count = "elastic_shard.threads.x * elastic_shard.threads.y * elastic_shard.threads.z"
    function = (
        f"static __device__ __forceinline__ void {entry}_block({parameters}) {{\n"
        f"  const unsigned elastic_count = {count};\n  (void)elastic_block;\n{body}}}\n"
    )
    arguments = ", ".join([*kernel.names, "elastic_shard", "elastic_block"])
    return function + _launched(kernel, entry, f"{entry}_block({arguments});")


def _without_barriers(kernel: Kernel, entry: str) -> str:
    names = ("const ElasticShard elastic_shard", "const uint3 elastic_block")
    parameters = ", ".join([*kernel.parameters, *names, "const uint3 elastic_thread"])
    function = (
        f"static __device__ __forceinline__ void {entry}_thread({parameters}) "
        f"{rewrite(kernel.body, builtins(kernel.body))}\n"
    )
    arguments = ", ".join([*kernel.names, "elastic_shard", "elastic_block"])
    work = (
        "const unsigned elastic_count =\n"
        "        elastic_shard.threads.x * elastic_shard.threads.y * elastic_shard.threads.z;\n"
        "    for (unsigned elastic_i = threadIdx.x; elastic_i < elastic_count; "
        "elastic_i += blockDim.x)\n"
        f"      {entry}_thread({arguments}, elastic_place(elastic_i, elastic_shard.threads));"
    )
    return function + _launched(kernel, entry, work)


def _launched(kernel: Kernel, entry: str, work: str) -> str:
    parameters = ", ".join([*kernel.parameters, "const ElasticShard elastic_shard"])
    return _LAUNCHED.format(entry=entry, parameters=parameters, work=work)
