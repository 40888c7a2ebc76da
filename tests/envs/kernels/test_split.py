"""Kernels with barriers in many places: equal to their originals for every width of the block."""

from __future__ import annotations

import contextlib
import random
import shutil

import numpy as np
import pytest

from envs.kernels import KernelError, elastic, joined
from envs.kernels.generator import ElasticKernel
from envs.kernels.processor import Processor

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ here")

BLOCK, GRID, SIZE = (6, 3, 2), (2, 1, 3), 36
COVERS = (1, 2, 36)
HEAD = (
    "  __shared__ int s[36];\n"
    "  const int t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;\n"
    "  const int g = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;\n"
)
BEFORE = (
    "#ifndef BEFORE\n#define BEFORE\n#define LESS(a, b) ((a) < (b) ? (a) : (b))\n"
    "struct P { int a[2]; };\nstruct Q { int a; };\n"
    "struct R { int &r; };\n"
    "typedef int I;\ntypedef int &Reference;\n"
    "static __device__ P &operator<<(P &p, int by) { p.a[0] += by; return p; }\n"
    "static __device__ void fill(int *a, int t) { a[0] = t; a[1] = 3 * t; }\n"
    "static __device__ void set(Reference a, int b) { a = b; }\n#endif\n"
)
TAIL = "  out[g * 36 + t] = x;\n"
NEXT = "s[t] = x; __syncthreads(); x += s[(t + 1) % 36]; __syncthreads();"

#: Bodies between HEAD and TAIL; `x` is the result of a thread, `n` is 5.
BODIES = {
    "loop": f"int x = t; for (int i = 0; i < n; ++i) {{ {NEXT} }}",
    "steps": f"int x = t; for (int i = 0, j = 9; i < j; i += 2, --j) {{ {NEXT} x += i * j; }}",
    "while": f"int x = t, i = n; while (i > 0) {{ {NEXT} i -= 2; }}",
    "do": f"int x = t; int i = 0; do {{ {NEXT} ++i; x ^= i; }} while (i < n);",
    "nested": f"int x = t; for (int i = 0; i < n; ++i) for (int j = i; j < n; ++j) {{ {NEXT} }}",
    "branch": f"int x = t; if (g % 2 == 0) {{ {NEXT} }} else {{ x = 7; {NEXT} {NEXT} }}",
    "chain": f"int x = t; if (g == 1) {{ {NEXT} }} else if (g == 2) {{ --x; {NEXT} }} else x = 1;",
    "break": f"int x = t; for (int i = 0; ; ++i) {{ {NEXT} if (i >= g) break; x += i; }}",
    "continue": f"int x = t; for (int i = 0; i < n; ++i) {{ if (i % 2) continue; {NEXT} }}",
    "return": f"int x = t; out[g * 36 + t] = 3; if (g == 1) return; {NEXT}",
    "divergent": f"int x = t; if (t % 3 == 0) {{ x += 5; }} {NEXT} while (x % 4) {{ --x; }} {NEXT}",
    "array": (
        "int a[2][3] = {{1, 2, 3}, {4}}; a[t % 2][t % 3] += t; s[t] = a[1][0]; __syncthreads();"
        "int x = 0; for (int i = 0; i < 2; ++i) for (int j = 0; j < 3; ++j) x += a[i][j] + s[i];"
    ),
    "pointer": (
        "int y = t; int *p = &y; int *const q = out + t; s[t] = *p; __syncthreads();"
        "*p += s[(t + 5) % 36]; __syncthreads(); int x = y + (q == out + t);"
    ),
    "pointer to an array": (
        "int a[2] = {t, 2 * t}; int *p = a; s[t] = p[1]; __syncthreads(); p[0] += s[35 - t];"
        "int x = a[0];"
    ),
    "shadowed": (
        f"int x = t; {{ int x = 2 * t; s[t] = x; __syncthreads(); x += s[35 - t]; s[0] = 0; }}"
        f"__syncthreads(); {NEXT}"
    ),
    "several": f"const int a = t + 1, b = n * 2, c = t; int x = a; {NEXT} x += b * c; {NEXT}",
    "uniform": f"int m = n; int x = t + m; m = m * 2 + g; {NEXT} x += m; m -= 1; x *= m; {NEXT}",
    "uniform in a branch": f"int m = 1; int x = t; if (g == 1) {{ m = 4; {NEXT} }} x *= m; {NEXT}",
    "pragma": f"int x = t;\n#pragma unroll 1\nfor (int i = 0; i < n; ++i) {{ {NEXT} }}",
    "inner pragma": (f"int x = t; {NEXT}\n#pragma unroll\nfor (int i = 0; i < 3; ++i) x += s[i];"),
    "unsigned": f"unsigned long long y = t; int x = 0; {NEXT} y *= 3; {NEXT} x += (int)y;",
    "braces": f"int y{{t}}; int x = {{2}}; {NEXT} x += y; {NEXT}",
    "members": "float4 v = make_float4(t, 1, 2, 3); s[t] = 2; __syncthreads(); v.y += s[3] + v.x;"
    "int x = (int)v.y;",
    "changed parameter": f"n += 2; int x = t; for (; n > 0; n -= 3) {{ {NEXT} }}",
    "no braces": f"int x = t; for (int i = 0; i < n; ++i) __syncthreads(); {NEXT}",
    "switch": f"int x = t; switch (t % 3) {{ case 1: x = 4; break; default: x = 5; }} {NEXT}",
    "comments": f"int x = t; /* if (t) return; */ {NEXT} // __syncthreads();\n",
    "row": (
        "int a[2][3] = {{t, 2, 3}, {4, t, 6}}; int *p = a[1]; s[t] = p[0]; __syncthreads();"
        "p[0] += s[35 - t]; int x = p[0] + p[1];"
    ),
    "array of a member": (
        "P v; v.a[0] = t; v.a[1] = 2 * t; int *p = v.a; s[t] = p[0]; __syncthreads();"
        "p[0] += s[35 - t]; int x = p[0] + p[1];"
    ),
    "filled": f"P v; fill(v.a, t); int x = v.a[0]; {NEXT} x += v.a[1];",
    "one of two": f"int m = 1, q = 2, x = t; (n > 2 ? m : q) = t; {NEXT} x += m * 10 + q; {NEXT}",
    "after a comma": f"int m = 1, x = t; (x, m) = t; {NEXT} x += m * 10; {NEXT}",
    "reference in braces": f"int m = 1, x = t; {{ int &r{{m}}; r = t; }} {NEXT} x += m; {NEXT}",
    "member reference": f"int m = 1, x = t; {{ R q{{m}}; q.r = t; }} {NEXT} x += m; {NEXT}",
    "named reference": f"int m = 1, x = t; set(m, t); {NEXT} x += m; {NEXT}",
    "operator": f"P v; v.a[0] = 1; v << t; int x = v.a[0]; {NEXT} x += v.a[0]; {NEXT}",
    "casts": f"int x = int(t * 1.5f); for (int i = 0; i < static_cast<int>(n); ++i) {{ {NEXT} }}",
    "macro's parameter": f"int x = t, a = 3; x = LESS(a + t, n); {NEXT} x += a; {NEXT}",
    "plain types": f"I y = t; Q v; v.a = t; int x = y; for (I i = 0; i < n; ++i) {{ {NEXT} }}"
    "x += y + v.a;",
    "constexpr": f"constexpr int W = 2; int a[W] = {{t, 3}}; int x = a[1]; {NEXT} x += a[0];",
    "volatile": f"volatile int y = t; int x = 0; {NEXT} x += y; {NEXT}",
}


def drawn(seed: int) -> str:
    """Return a random body: values of threads, uniform values, loops, branches and barriers."""
    choose = random.Random(seed)
    serial = iter(range(1000))

    def value(uniform: list[str], own: list[str]) -> str:
        return f"({choose.choice(own)} {choose.choice('+-^')} {choose.choice([*uniform, '3'])})"

    def block(depth: int, uniform: list[str], own: list[str]) -> str:
        uniform, own, out = list(uniform), list(own), []
        for _ in range(choose.randint(2, 5)):
            kind = choose.randrange(9 if depth < 3 else 5)
            if kind == 0:
                name = f"a{next(serial)}"
                out.append(f"int {name} = {value(uniform, own)};")
                own.append(name)
            elif kind == 1:
                name = f"u{next(serial)}"
                out.append(f"int {name} = ({choose.choice(uniform)} * 2 + g) % 5;")
                uniform.append(name)
            elif kind == 2:
                out.append(f"{choose.choice(own[1:])} += {value(uniform, own)};")
            elif kind == 3:
                written = [each for each in uniform if each.startswith("u")]
                if written:
                    out.append(f"{choose.choice(written)} += {choose.choice(uniform)} % 3;")
            elif kind == 4:
                out.append("__syncthreads(); s[t] = x; __syncthreads();")
                out.append(f"{choose.choice(own[1:])} += s[(t + {choose.randint(0, 35)}) % 36];")
            elif kind == 5:
                name = f"i{next(serial)}"
                inner = block(depth + 1, [*uniform, name], own)
                out.append(
                    f"for (int {name} = 0; {name} < {choose.randint(1, 3)}; ++{name}) {inner}"
                )
            elif kind == 6:
                test = f"({choose.choice(uniform)} + g) % 2 == 0"
                first, second = block(depth + 1, uniform, own), block(depth + 1, uniform, own)
                out.append(f"if ({test}) {first} else {second}")
            elif kind == 7:
                out.append(f"if ({choose.choice(own)} % 2 == 0) {{ x += {value(uniform, own)}; }}")
            else:
                test = f"({choose.choice(uniform)} + g) % 3 == 0"
                inner = f"x ^= {value(uniform, own)}; if ({test}) continue; {drawn_barrier()}"
                name = f"i{next(serial)}"
                out.append(f"for (int {name} = 0; {name} < 3; ++{name}) {{ {inner} }}")
        return "{ " + "\n".join(out) + " }"

    def drawn_barrier() -> str:
        return f"__syncthreads(); s[t] = x; __syncthreads(); x += s[{choose.randint(0, 35)}];"

    return f"int x = t; int y = 3 * t; {block(0, ['n', 'g'], ['t', 'x', 'y'])} x += y;"


def named(name: str) -> str:
    """Return the words of a name as a name of C."""
    return "".join(each if each.isalnum() else "_" for each in name)


def made(name: str, body: str) -> ElasticKernel:
    start = f'{BEFORE}extern "C" __global__ void {name}(int *out, int n) {{\n'
    return elastic(f"{start}{HEAD}  {body}\n{TAIL}}}\n", name, COVERS)


@pytest.fixture(scope="module")
def kernels() -> dict[str, ElasticKernel]:
    bodies = {named(name): body for name, body in BODIES.items()}
    found = {name: made(f"k_{name}", body) for name, body in bodies.items()}
    for seed in range(24):
        # A uniform value that is changed in a branch without barriers is not followed.
        with contextlib.suppress(KernelError):
            found[f"drawn_{seed}"] = made(f"k_drawn_{seed}", drawn(seed))
    return found


@pytest.fixture(scope="module")
def built(kernels: dict[str, ElasticKernel], tmp_path_factory: pytest.TempPathFactory) -> Processor:
    names = [e for k in kernels.values() for e in (k.name, *k.entries.values())]
    return Processor(joined(list(kernels.values())), names, tmp_path_factory.mktemp("split"))


def check(built: Processor, kernel: ElasticKernel) -> None:
    expected = np.zeros(6 * SIZE, np.int32)
    built.run(kernel.name, [expected, 5], GRID, BLOCK)
    assert expected.any()
    for seed, threads in enumerate((1, 5, 18, 19, 36, 40)):
        out = np.zeros_like(expected)
        shards = [(4, 6), (0, 4)]
        built.run_elastic(kernel, [out, 5], GRID, BLOCK, shards, 2, threads, seed)
        assert (out == expected).all(), (kernel.name, threads)


@pytest.mark.parametrize("name", BODIES)
def test_a_split_kernel_equals_its_original(
    kernels: dict[str, ElasticKernel], built: Processor, name: str
) -> None:
    check(built, kernels[named(name)])


def test_random_kernels_equal_their_originals(
    kernels: dict[str, ElasticKernel], built: Processor
) -> None:
    drawn_ones = [kernel for name, kernel in kernels.items() if name.startswith("drawn")]
    assert len(drawn_ones) > 16
    for kernel in drawn_ones:
        check(built, kernel)


def test_values_that_are_the_same_for_all_threads_are_kept_once() -> None:
    text = made("k", BODIES["several"]).generated
    assert "const int b = n * 2;" in text
    assert "b[2]" not in text
    text = made("k", f"const int b = n * 2 + g; int x = t; {NEXT} x += b; {NEXT}").generated
    assert "const int b = n * 2 + g;" in text
    assert "int x[2]" in text
    assert "b[2]" not in text


def test_values_of_one_region_stay_there() -> None:
    text = made("k", f"int x = t; const int y = x * 2; x = y + 1; {NEXT}").generated
    assert "const int y = x[elastic_i] * 2;" in text
