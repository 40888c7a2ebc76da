// C = A B, row by row in memory: tiles in shared memory, barriers around each step. A thread has
// several values of a column of C.
#define GEMM_TILE 16
#define GEMM_ROWS 2

extern "C" __global__ void __launch_bounds__(GEMM_TILE *GEMM_TILE)
    gemm(const float *__restrict__ a, const float *__restrict__ b, float *__restrict__ c, int m,
         int n, int k) {
  __shared__ float tile_a[GEMM_TILE * GEMM_ROWS][GEMM_TILE + 1];
  __shared__ float tile_b[GEMM_TILE][GEMM_TILE + 1];
  const int top = blockIdx.y * GEMM_TILE * GEMM_ROWS + threadIdx.y;
  const int column = blockIdx.x * GEMM_TILE + threadIdx.x;
  float sums[GEMM_ROWS] = {0.0f};
  for (int start = 0; start < k; start += GEMM_TILE) {
    const int inner = start + threadIdx.x;
    for (int r = 0; r < GEMM_ROWS; ++r) {
      const int row = top + r * GEMM_TILE;
      tile_a[threadIdx.y + r * GEMM_TILE][threadIdx.x] =
          row < m && inner < k ? a[row * k + inner] : 0.0f;
    }
    const int row_b = start + threadIdx.y;
    tile_b[threadIdx.y][threadIdx.x] = row_b < k && column < n ? b[row_b * n + column] : 0.0f;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < GEMM_TILE; ++i)
      for (int r = 0; r < GEMM_ROWS; ++r)
        sums[r] += tile_a[threadIdx.y + r * GEMM_TILE][i] * tile_b[i][threadIdx.x];
    __syncthreads();
  }
  for (int r = 0; r < GEMM_ROWS; ++r) {
    const int row = top + r * GEMM_TILE;
    if (row < m && column < n) c[row * n + column] = sums[r];
  }
}
