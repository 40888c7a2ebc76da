// Depthwise 3x3 convolution, stride 1, zeros around: a tile of one channel with its rim in shared
// memory.
#define DEPTHWISE_TILE 8
#define DEPTHWISE_RIM (DEPTHWISE_TILE + 2)

extern "C" __global__ void depthwise(const float *__restrict__ input,
                                     const float *__restrict__ filter,
                                     float *__restrict__ output, int height, int width) {
  __shared__ float tile[DEPTHWISE_RIM][DEPTHWISE_RIM];
  __shared__ float weights[9];
  const int channel = blockIdx.z;
  const int left = blockIdx.x * DEPTHWISE_TILE - 1, top = blockIdx.y * DEPTHWISE_TILE - 1;
  const int thread = threadIdx.y * DEPTHWISE_TILE + threadIdx.x;
  for (int i = thread; i < DEPTHWISE_RIM * DEPTHWISE_RIM; i += DEPTHWISE_TILE * DEPTHWISE_TILE) {
    const int y = top + i / DEPTHWISE_RIM, x = left + i % DEPTHWISE_RIM;
    const bool inside = y >= 0 && y < height && x >= 0 && x < width;
    tile[i / DEPTHWISE_RIM][i % DEPTHWISE_RIM] =
        inside ? input[(channel * height + y) * width + x] : 0.0f;
  }
  if (thread < 9) weights[thread] = filter[channel * 9 + thread];
  __syncthreads();
  const int y = top + 1 + threadIdx.y, x = left + 1 + threadIdx.x;
  if (y < height && x < width) {
    float sum = 0.0f;
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j)
        sum += tile[threadIdx.y + i][threadIdx.x + j] * weights[i * 3 + j];
    output[(channel * height + y) * width + x] = sum;
  }
}
