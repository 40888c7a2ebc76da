// Direct convolution, NCHW, square filter, zeros around: one thread for each output value.
#define CONV_THREADS 128

extern "C" __global__ void __launch_bounds__(CONV_THREADS)
    convolution(const float *__restrict__ input, const float *__restrict__ filter,
                float *__restrict__ output, int channels, int height, int width, int filters,
                int size, int stride, int pad, int out_height, int out_width) {
  const int place = blockIdx.x * blockDim.x + threadIdx.x;
  if (place >= filters * out_height * out_width) return;
  const int x = place % out_width, y = place / out_width % out_height;
  const int f = place / (out_width * out_height);
  float sum = 0.0f;
  for (int c = 0; c < channels; ++c)
    for (int i = 0; i < size; ++i) {
      const int row = y * stride - pad + i;
      if (row < 0 || row >= height) continue;
      for (int j = 0; j < size; ++j) {
        const int column = x * stride - pad + j;
        if (column < 0 || column >= width) continue;
        sum += input[(c * height + row) * width + column] *
               filter[((f * channels + c) * size + i) * size + j];
      }
    }
  output[place] = sum;
}
