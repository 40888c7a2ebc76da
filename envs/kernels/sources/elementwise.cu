// Bias and ReLU by channel, and the sum of two tensors.
#define ELEMENTWISE_THREADS 256

__device__ inline float relu(float value) { return value > 0.0f ? value : 0.0f; }

extern "C" __global__ void bias_relu(float *__restrict__ values, const float *__restrict__ bias,
                                     int plane, int count) {
  const int place = blockIdx.x * blockDim.x + threadIdx.x;
  if (place < count) values[place] = relu(values[place] + bias[place / plane]);
}

extern "C" __global__ void add(const float *__restrict__ left, const float *__restrict__ right,
                               float *__restrict__ output, int count) {
  const int place = blockIdx.x * blockDim.x + threadIdx.x;
  if (place < count) output[place] = left[place] + right[place];
}
