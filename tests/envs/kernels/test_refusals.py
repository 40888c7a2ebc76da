"""What cannot be made elastic is refused with a sentence that names the line and the reason."""

from __future__ import annotations

import pytest

from envs.kernels import KernelError, elastic, joined


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
    "constructor": (
        "S s; out[s.v] = n;",
        "struct S { int v; __device__ S() { v = threadIdx.x; } };",
        "`threadIdx` stands in code that runs without being called",
    ),
    "operator": (
        "S s; out[s + 1] = n;",
        "struct S { int v; };\n__device__ int operator+(S a, int b) { return b + threadIdx.x; }",
        "`threadIdx` stands in code that runs without being called",
    ),
    "default argument": (
        "out[f(n)] = n;",
        "__device__ int f(int x, int y = threadIdx.x);\n"
        "__device__ int f(int x, int y) { return x + y; }",
        "`threadIdx` stands in code that runs without being called",
    ),
    "specialisation": (
        "out[f<4>(n)] = n;",
        "template <int M> __device__ int f(int x) { return x; }\n"
        "template <> __device__ int f<4>(int x) { return threadIdx.x; }",
        "`threadIdx` stands in code that runs without being called",
    ),
    "type of another file": ("Foo f; out[0] = n;", "", "type `Foo` is not defined in the source"),
    "macro that makes names": (
        "int thread = n; out[thread] = CAT(thread).x;",
        "#define CAT(a) a##Idx",
        "macro `CAT` makes names",
    ),
    "macro that calls": (
        "out[OWN()] = n;",
        "__device__ int own() { return threadIdx.x; }\n#define OWN() own()",
        "a called function reads threadIdx",
    ),
    "macro that returns": (
        "int x = threadIdx.x; __syncthreads(); GUARD(x); out[x] = n;",
        "#define GUARD(i) if (i > 3) return",
        "macro `GUARD` hides `return` from the split",
    ),
    "macro changed": (
        "out[W] = n;\n#undef W\n#define W 9\n",
        "#define W 3",
        "changes a macro within itself",
    ),
    "other meaning, same for all": (
        "int m = n; { out[threadIdx.x] = m; int m = 7; __syncthreads(); out[m] = 1; }",
        "",
        "`m` means something else here",
    ),
    "other meaning of a global": (
        "out[N] = 1; const int N = threadIdx.x; __syncthreads(); out[N] = 2;",
        "const int N = 3;",
        "`N` means something else here",
    ),
    "waiting within a loop": (
        "for (;;) { if (atomicAdd(count, 0) == gridDim.x) break; }",
        "__device__ int count[1];",
        "waits for another block",
    ),
    "waiting for a volatile": (
        "while (flag < n) {}",
        "__device__ volatile int flag;",
        "waits for another block",
    ),
    "local type": (
        "struct L { __device__ int f() { return threadIdx.x; } int v; }; L l; out[l.v] = n;",
        "",
        "reads a thread's index within it",
    ),
    "built from several": (
        "dim3 d(threadIdx.x, 3); __syncthreads(); out[d.x] = d.y;",
        "",
        "write its value with `=`",
    ),
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


def test_a_kernel_in_a_namespace_is_refused() -> None:
    with pytest.raises(KernelError, match="k, line 1: it stands in a namespace or a class"):
        elastic("namespace a { __global__ void k(float *out) { out[0] = 1; } }")


def test_a_kernel_that_is_defined_twice_is_refused() -> None:
    one, two = (f"__global__ void k(int *out) {{ out[0] = {value}; }}\n" for value in (1, 2))
    source = f"#if 1\n{one}#else\n{two}#endif\n"
    for name in (None, "k"):
        with pytest.raises(KernelError, match="defines kernel k more than once"):
            elastic(source, name)


def test_a_parameter_whose_array_threads_write_is_refused() -> None:
    before = "struct P { int a[2]; };\n__device__ void fill(int *a, int t) { a[0] = t; }"
    body = "fill(p.a, threadIdx.x); __syncthreads(); out[threadIdx.x] = p.a[0];"
    with pytest.raises(KernelError, match="parameter `p` is changed by single threads"):
        elastic(kernel(body, before, "int *out, P p"))


def test_files_are_not_joined_where_a_macro_would_reach_another() -> None:
    made = [
        elastic(f"#define N {n}\n__global__ void k{n}(int *out) {{ out[N] = N; }}") for n in (1, 2)
    ]
    assert joined([made[0], made[0]]).count("#define N 1") == 1
    with pytest.raises(KernelError, match="macro `N` of one file would change another one"):
        joined(made)


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
        "volatile float *s = out; s[threadIdx.x] += s[threadIdx.x + 8];",
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
