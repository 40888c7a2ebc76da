"""Functions of CUDA that a kernel may call, by what they know of blocks."""

import re

BARRIER = "__syncthreads"
#: Variables that CUDA gives to every thread.
BUILTINS = ("threadIdx", "blockIdx", "blockDim", "gridDim")
#: Casts, which the parser reads as calls.
CASTS = ("static_cast", "reinterpret_cast", "const_cast")
#: Words of C++ that are no names.
# fmt: off
KEYWORDS = frozenset((
    "alignas", "alignof", "auto", "bool", "break", "case", "char", "const", "constexpr",
    "continue", "default", "do", "double", "else", "enum", "false", "float", "for", "goto", "if",
    "inline", "int", "long", "nullptr", "operator", "return", "short", "signed", "sizeof",
    "static", "struct", "switch", "this", "true", "typedef", "typename", "union", "unsigned",
    "using", "void", "volatile", "while", "template", "class", "decltype", "__restrict__",
    "__device__", "__host__", "__shared__", "__constant__", "__global__", "__forceinline__",
    "__noinline__", "__launch_bounds__", "__align__", "_Pragma", "extern",
))
# fmt: on
#: Types of C and CUDA; declaring a variable of one runs nothing that knows of threads.
TYPES = re.compile(
    r"(?:u?(?:char|short|int|long|longlong)|float|double)[1-4]|dim3|s?size_t|ptrdiff_t|"
    r"u?int(?:8|16|32|64|ptr)_t|uchar|ushort|uint|ulong|clock_t|__half2?|half2?|__half_raw|"
    r"__nv_bfloat162?|nv_bfloat162?|cuComplex|cufftComplex"
)
#: Functions of a warp: a block of another size would put other threads into a warp.
WARP = re.compile(
    r"__shfl\w*|__ballot\w*|__all\w*|__any\w*|__activemask|__match_\w+|__reduce_\w+|__syncwarp|"
    r"warpSize|__\w*lanemask\w*"
)
#: Barriers that count threads of the block.
VOTES = ("__syncthreads_count", "__syncthreads_and", "__syncthreads_or")
#: Names of constants that CUDA's and C's headers define.
CONSTANTS = (
    "INFINITY",
    "NAN",
    "FLT_MAX",
    "FLT_MIN",
    "FLT_EPSILON",
    "INT_MAX",
    "INT_MIN",
    "UINT_MAX",
)
# fmt: off
#: Calls whose value depends on their arguments only; they are given values, not references.
PURE = frozenset((
    "abs", "acosf", "asinf", "atanf", "atan2f", "cbrtf", "ceil", "ceilf", "copysignf", "cos",
    "cosf", "coshf", "erff", "erfcf", "exp", "exp2f", "expf", "expm1f", "fabs", "fabsf",
    "fdividef", "floor", "floorf", "fma", "fmaf", "fmax", "fmaxf", "fmin", "fminf", "fmod",
    "fmodf", "hypotf", "isfinite", "isinf", "isnan", "ldexpf", "log", "log10f", "log1pf", "log2f",
    "logf", "lrintf", "max", "min", "nearbyintf", "pow", "powf", "rintf", "rnorm3df", "roundf",
    "round", "rsqrtf", "signbit", "sin", "sinf", "sinhf", "sqrt", "sqrtf", "tan", "tanf", "tanhf",
    "truncf", "__fdividef", "__expf", "__logf", "__powf", "__sinf", "__cosf", "__fmaf_rn",
    "__fmul_rn", "__fadd_rn", "__fsub_rn", "__fdiv_rn", "__fsqrt_rn", "__mul24", "__umul24",
    "__clz", "__popc", "__brev", "__ffs", "__float2int_rn", "__float2int_rd", "__int2float_rn",
    "__float_as_int", "__int_as_float", "__float_as_uint", "__uint_as_float", "__dp4a",
    "__float2half", "__half2float", "__hadd", "__hmul", "__hfma", "__hsub", "__hmax", "__hmin",
    "make_float2", "make_float3", "make_float4", "make_int2", "make_int3", "make_int4",
    "make_uint2", "make_uint3", "make_uint4", "sizeof",
))
#: Calls that read or write memory and know nothing of blocks.
MEMORY = frozenset((
    "__ldg", "__ldcg", "__ldcs", "__stcs", "__threadfence", "__threadfence_block", "atomicAdd",
    "atomicSub", "atomicMax", "atomicMin", "atomicAnd", "atomicOr", "atomicXor", "atomicExch",
    "atomicCAS", "atomicInc", "atomicDec",
))
# fmt: on
