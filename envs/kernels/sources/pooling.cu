// Largest value and mean of square windows, NCHW: one thread for each output value.
#define POOL_THREADS_X 32
#define POOL_THREADS_Y 4

extern "C" __global__ void max_pool(const float *__restrict__ input, float *__restrict__ output,
                                    int height, int width, int size, int stride, int out_height,
                                    int out_width) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  const int y = blockIdx.y * blockDim.y + threadIdx.y;
  const int channel = blockIdx.z;
  if (x >= out_width || y >= out_height) return;
  float largest = -3.402823466e38f;
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      const int row = y * stride + i, column = x * stride + j;
      if (row < height && column < width)
        largest = fmaxf(largest, input[(channel * height + row) * width + column]);
    }
  output[(channel * out_height + y) * out_width + x] = largest;
}

extern "C" __global__ void average_pool(const float *__restrict__ input,
                                        float *__restrict__ output, int height, int width,
                                        int size, int stride, int out_height, int out_width) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  const int y = blockIdx.y * blockDim.y + threadIdx.y;
  const int channel = blockIdx.z;
  if (x >= out_width || y >= out_height) return;
  float sum = 0.0f;
  int count = 0;
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      const int row = y * stride + i, column = x * stride + j;
      if (row < height && column < width) {
        sum += input[(channel * height + row) * width + column];
        ++count;
      }
    }
  output[(channel * out_height + y) * out_width + x] = sum / count;
}
