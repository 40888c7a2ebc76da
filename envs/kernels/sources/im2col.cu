// Writes the patches under a filter as columns, so that a convolution becomes a matrix product.
#define IM2COL_THREADS 256

extern "C" __global__ void im2col(const float *__restrict__ input, float *__restrict__ columns,
                                  int channels, int height, int width, int size, int stride,
                                  int pad, int out_height, int out_width) {
  const int count = channels * size * size * out_height * out_width;
  // A loop over the grid: the number of blocks is free.
  for (int place = blockIdx.x * blockDim.x + threadIdx.x; place < count;
       place += gridDim.x * blockDim.x) {
    const int x = place % out_width, y = place / out_width % out_height;
    const int patch = place / (out_width * out_height);
    const int j = patch % size, i = patch / size % size, c = patch / (size * size);
    const int row = y * stride - pad + i, column = x * stride - pad + j;
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    columns[place] = inside ? input[(c * height + row) * width + column] : 0.0f;
  }
}
