"""What cannot be made elastic is refused with a sentence that names the line and the reason."""

from __future__ import annotations

import pytest

from envs.kernels import KernelError, elastic


def kernel(body: str, before: str = "", parameters: str = "float *out, int n") -> str:
    return f'{before}\nextern "C" __global__ void k({parameters}) {{\n{body}\n}}\n'


#: Body, what stands before the kernel, and words of the sentence.
REFUSED = {
    "branch": (
        "if (threadIdx.x < n) __syncthreads();",
        "",
        "a barrier under a condition on which threads of a block may differ",
    ),
    "loop": (
        "for (int i = 0; i < threadIdx.x; ++i) { __syncthreads(); }",
        "",
        "a barrier under a condition on which threads",
    ),
    "bound from memory": (
        "for (int i = 0; i < out[0]; ++i) { __syncthreads(); }",
        "",
        "a barrier under a condition on which threads",
    ),
    "bound that a thread sets": (
        "int m = 3; if (threadIdx.x == 0) { m = 4; } while (m > 0) { __syncthreads(); --m; }",
        "",
        "a barrier under a condition on which threads",
    ),
    "bound that depends on another": (
        "int a = threadIdx.x; int m = a; for (int i = 0; i < m; ++i) { __syncthreads(); }",
        "",
        "a barrier under a condition on which threads",
    ),
    "bound written through a pointer": (
        "int m = 3; int *p = &m; *p = threadIdx.x; if (m) { __syncthreads(); }",
        "",
        "a barrier under a condition on which threads",
    ),
    "bound written by a function": (
        "int m = 3; set(m, threadIdx.x); if (m) { __syncthreads(); }",
        "__device__ void set(int &where, int what) { where = what; }",
        "a barrier under a condition on which threads",
    ),
    "member written": (
        "float4 m = make_float4(1, 2, 3, 4); m.x = threadIdx.x; if (m.x > 0) { __syncthreads(); }",
        "",
        "a barrier under a condition on which threads",
    ),
    "return": (
        "if (threadIdx.x >= n) return;\n__syncthreads();",
        "",
        "line 3: a jump under a condition on which threads of a block may differ",
    ),
    "switch": (
        "switch (n) { case 1: __syncthreads(); }",
        "",
        "a barrier or a jump in a place that is not followed",
    ),
    "function": (
        "wait();",
        "__device__ void wait() { __syncthreads(); }",
        "a barrier within a called function",
    ),
    "function that reads the thread": (
        "out[own()] = n;",
        "__device__ int own() { return threadIdx.x; }",
        "a called function reads threadIdx",
    ),
    "vote": ("n = __syncthreads_count(n);", "", "counts the threads of the block"),
    "unknown": ("out[0] = mystery(n);", "", "`mystery` is not defined in the source"),
    "launch": ("child<<<1, 1>>>(out);", "", "dynamic parallelism"),
    "grid barrier": (
        "cooperative_groups::this_grid().sync();",
        "",
        "may wait for threads of other blocks",
    ),
    "assembly": ('asm volatile("bar.sync 0;");', "", "inline assembly"),
    "waiting": (
        "while (atomicAdd(count, 0) < gridDim.x) {}",
        "__device__ int count[1];",
        "waits for another block",
    ),
    "static": ("static int seen; out[0] = seen;", "", "static variable"),
    "macro": ("out[TID] = n;", "#define TID threadIdx.x", "macro `TID` hides threads"),
    "macro of a variable": (
        "int row = threadIdx.x; __syncthreads(); out[ROW] = n;",
        "#define ROW (row + 1)",
        "hides the variable `row`",
    ),
    "macro in a macro": (
        "out[TID] = n;",
        "#define OWN threadIdx.x\n#define TID (OWN + 1)",
        "macro `TID` hides threads",
    ),
    "macro of another file": ("out[TID] = n;", "", "`TID` is not defined in the source"),
    "barrier of another file": ("out[n] = 1; BARRIER; ", "", "`BARRIER` is not defined"),
    "overload": (
        "out[0] = f(1.0f);",
        "__device__ int f(float x) { return threadIdx.x; }\n__device__ int f(int x) { return x; }",
        "a called function reads threadIdx",
    ),
    "bound behind a pointer": (
        "for (int i = 0; i < p->n; ++i) { __syncthreads(); }",
        "struct P { int n; };\n__device__ P *p;",
        "a barrier under a condition on which threads",
    ),
    "aligned": (
        "alignas(16) float x[4]; x[0] = n; __syncthreads(); out[0] = x[0];",
        "",
        "lives across a barrier and has `alignas(16)`",
    ),
    "read as a type": ("int m(n); __syncthreads(); out[m] = 1;", "", "`n` reads as a type here"),
    "lambda": ("auto f = [&]() { return n; }; __syncthreads();", "", "a lambda"),
    "goto": ("__syncthreads(); end: out[0] = n; goto end;", "", "a label"),
    "conditional": ("#if 1\nout[0] = n;\n#endif\n", "", "preprocess the source first"),
    "untyped": (
        "auto x = threadIdx.x; __syncthreads(); out[x] = n;",
        "",
        "`x` lives across a barrier and has no written type",
    ),
    "reference": (
        "float &x = out[threadIdx.x]; __syncthreads(); x = n;",
        "",
        "reference `x` lives across a barrier",
    ),
    "parameter": ("n += threadIdx.x; __syncthreads(); out[n] = 1;", "", "parameter `n` is changed"),
    "name": ("int elastic_i = n; out[0] = elastic_i;", "", "those of generated code"),
    "broken": ("out[0] = = n;", "", "cannot be parsed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_kernel_is_refused(name: str) -> None:
    body, before, words = REFUSED[name]
    with pytest.raises(KernelError) as caught:
        elastic(kernel(body, before))
    assert words in str(caught.value)
    assert str(caught.value).startswith("k, line ")


def test_a_template_is_refused() -> None:
    with pytest.raises(KernelError, match="it is a template"):
        elastic("template <int N> __global__ void k(float *out) { out[N] = 1; }")


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"ftrt\x00\x00\x01", "a TensorRT plan: its kernels are compiled and opaque"),
        (b"\x7fELF\x02\x01\x00", "is not text"),
        (b"int main() {}", "defines no __global__ function"),
    ],
)
def test_what_is_no_kernel_source_is_refused(contents: bytes, words: str) -> None:
    with pytest.raises(KernelError, match=words):
        elastic(contents)


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(KernelError, match="has the kernels k, and `other` is none"):
        elastic(kernel("out[0] = n;"), "other")


@pytest.mark.parametrize(
    "body",
    [
        "out[0] = __shfl_down_sync(0xffffffff, out[threadIdx.x], 1);",
        "__shared__ volatile float s[64]; s[threadIdx.x] = n; out[threadIdx.x] = s[0];",
        "float x = n; __syncthreads(); out[threadIdx.x % warpSize] = x;",
    ],
)
def test_a_kernel_of_warps_keeps_its_block(body: str) -> None:
    made = elastic(kernel(body))
    assert made.fixed_block.startswith("line 3")
    assert made.entry(64, 64) in made.generated
    with pytest.raises(KernelError, match="k needs blocks of 64 threads"):
        made.entry(32, 64)


def test_a_version_covers_the_logical_block() -> None:
    made = elastic(kernel("float x = n; __syncthreads(); out[threadIdx.x] = x;"), covers=(1, 2, 4))
    assert made.entry(64, 64) == "k_elastic_1"
    assert made.entry(63, 64) == made.entry(32, 64) == "k_elastic_2"
    assert made.entry(31, 64) == made.entry(16, 64) == "k_elastic_4"
    with pytest.raises(KernelError, match="15 threads would each cover 5 of 64"):
        made.entry(15, 64)
    with pytest.raises(KernelError, match="1 to 1024 threads"):
        made.entry(1025, 64)
