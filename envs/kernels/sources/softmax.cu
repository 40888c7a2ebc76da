// Softmax of rows: one block for each row, with two reductions in shared memory.
#define SOFTMAX_THREADS 128

extern "C" __global__ void softmax(const float *__restrict__ input, float *__restrict__ output,
                                   int columns) {
  __shared__ float partial[SOFTMAX_THREADS];
  const float *row = input + blockIdx.x * columns;
  float largest = -3.402823466e38f;
  for (int i = threadIdx.x; i < columns; i += SOFTMAX_THREADS) largest = fmaxf(largest, row[i]);
  partial[threadIdx.x] = largest;
  __syncthreads();
  for (int half = SOFTMAX_THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half)
      partial[threadIdx.x] = fmaxf(partial[threadIdx.x], partial[threadIdx.x + half]);
    __syncthreads();
  }
  largest = partial[0];
  __syncthreads();
  float sum = 0.0f;
  for (int i = threadIdx.x; i < columns; i += SOFTMAX_THREADS) sum += expf(row[i] - largest);
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int half = SOFTMAX_THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  for (int i = threadIdx.x; i < columns; i += SOFTMAX_THREADS)
    output[blockIdx.x * columns + i] = expf(row[i] - largest) / partial[0];
}
