// CUDA's blocks, threads and barriers on a processor: enough to run a kernel and to compare results.
// Every block that is resident runs on a thread of the operating system; its CUDA threads are
// contexts that take turns at barriers, in an order that changes with `shim_seed`.
#pragma once
#include <ucontext.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define __syncthreads() shim_wait(__LINE__)

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
struct float4 { float x, y, z, w; };
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
template <class T> static inline T min(T a, T b) { return b < a ? b : a; }
template <class T> static inline T max(T a, T b) { return a < b ? b : a; }

// Shared memory whose size a launch gives: as much as a GPU gives without being asked for more.
#define SHIM_DYNAMIC(type, name) \
  static thread_local type *const name = reinterpret_cast<type *>(shim_dynamic)
alignas(16) static thread_local char shim_dynamic[48 << 10];

static thread_local uint3 threadIdx, blockIdx;
static thread_local dim3 blockDim, gridDim;

// CUDA threads of the block that this thread of the operating system runs.
struct ShimFiber { ucontext_t context; uint3 place; int line; bool done; };
static const int SHIM_ENDED = -1;
static const std::size_t SHIM_STACK = 1 << 15;
static thread_local std::vector<ShimFiber> shim_fibers;
static thread_local std::unique_ptr<char[]> shim_stacks;
static thread_local ucontext_t shim_scheduler;
static thread_local unsigned shim_now;
static unsigned shim_seed = 0;
static std::atomic<int> shim_diverged{0};

static inline void shim_wait(int line) {
  ShimFiber &fiber = shim_fibers[shim_now];
  fiber.line = line;
  swapcontext(&fiber.context, &shim_scheduler);
}

template <class T, class U> static inline T atomicAdd(T *where, U what) {
  std::this_thread::yield();  // lets other blocks in, which shows whether they disturb each other
  T old = __atomic_load_n(where, __ATOMIC_SEQ_CST), next;
  do next = old + static_cast<T>(what);
  while (!__atomic_compare_exchange(where, &old, &next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  return old;
}

// What one block runs; set before its threads begin.
static thread_local void (*shim_kernel)(void **);
static thread_local void **shim_arguments;
static void shim_thread() {
  shim_kernel(shim_arguments);
  ShimFiber &fiber = shim_fibers[shim_now];
  fiber.done = true;
  fiber.line = SHIM_ENDED;
  swapcontext(&fiber.context, &shim_scheduler);
}

// Run one block: each round takes every thread to its next barrier, which must be the same one.
static void shim_block(void (*kernel)(void **), void **arguments, uint3 block, dim3 grid, dim3 size) {
  const unsigned count = size.x * size.y * size.z;
  blockIdx = block, blockDim = size, gridDim = grid;
  shim_kernel = kernel, shim_arguments = arguments;
  if (shim_fibers.size() < count) {
    shim_fibers.resize(count);
    shim_stacks.reset(new char[count * SHIM_STACK]);
  }
  for (unsigned i = 0; i < count; ++i) {
    ShimFiber &fiber = shim_fibers[i];
    fiber.place = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = &shim_stacks[i * SHIM_STACK];
    fiber.context.uc_stack.ss_size = SHIM_STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, shim_thread, 0);
  }
  unsigned alive = count, round = shim_seed;
  while (alive) {
    int line = 0;
    for (unsigned turn = 0; turn < count; ++turn) {
      // Forwards or backwards from a place that moves on: threads may run in any order.
      const unsigned start = round * 7 + turn;
      shim_now = (round & 1) ? count - 1 - start % count : start % count;
      ShimFiber &fiber = shim_fibers[shim_now];
      if (fiber.done) continue;
      threadIdx = fiber.place;
      swapcontext(&shim_scheduler, &fiber.context);
      if (line != 0 && line != fiber.line) shim_diverged = fiber.line > 0 ? fiber.line : line;
      line = fiber.line;
      alive -= fiber.done;
    }
    ++round;
    if (shim_diverged) return;
  }
}

// Run a grid, of which `resident` blocks run at the same time. Returns the line of a barrier that
// some threads of a block reached and others did not; 0 if all went well.
static int shim_grid(void (*kernel)(void **), void **arguments, dim3 grid, dim3 size,
                     unsigned resident, unsigned seed) {
  const unsigned count = grid.x * grid.y * grid.z;
  std::atomic<unsigned> next{0};
  shim_seed = seed;
  shim_diverged = 0;
  auto work = [&] {
    for (unsigned i; (i = next++) < count && !shim_diverged;)
      shim_block(kernel, arguments, {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y}, grid,
                 size);
  };
  std::vector<std::thread> others;
  for (unsigned i = 1; i < resident && i < count; ++i) others.emplace_back(work);
  work();
  for (auto &each : others) each.join();
  return shim_diverged;
}

// Calls a kernel as the driver does: each argument is a pointer to its value.
template <class... P, std::size_t... I>
static void shim_apply(void (*kernel)(P...), void **a, std::index_sequence<I...>) {
  kernel(*static_cast<P *>(a[I])...);
}
template <class... P> static void shim_call(void (*kernel)(P...), void **arguments) {
  shim_apply(kernel, arguments, std::index_sequence_for<P...>{});
}
#define SHIM_ENTRY(name)                                                                       \
  static void shim_call_##name(void **a) { shim_call(name, a); }                               \
  extern "C" int shim_run_##name(void **a, const unsigned *g, const unsigned *b, unsigned r,    \
                                 unsigned seed) {                                              \
    return shim_grid(shim_call_##name, a, {g[0], g[1], g[2]}, {b[0], b[1], b[2]}, r, seed);     \
  }
