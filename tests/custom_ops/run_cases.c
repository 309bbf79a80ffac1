/* Computes layers for a test on another processor. Without arguments it names the kernels that this processor has; with
 * the name of one it reads cases from its input until the end, and writes the outputs; a second argument names
 * another layer than the packed one.
 *
 * A case: int32 params[12], int64 rows, int64 bytes[6] of codes, positions, scales, offsets, bias and x (0: there is
 * none), and the six arrays. An output: float y[rows, N].
 * Of "depthwise": int32 params[3], int64 batch, frames, and the arrays of kernel, bias and x. Of "normalization": int32
 * params[2], int64 rows, float epsilon, and the arrays of gain, bias and x. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../converters/custom_ops/kernels/entry_point.h"

enum { ARRAYS = 6 };

static void* read_exactly(int64_t bytes) {
  void* memory = malloc(bytes > 0 ? (size_t)bytes : 1);
  if (memory == NULL || fread(memory, 1, (size_t)bytes, stdin) != (size_t)bytes) {
    fprintf(stderr, "a case is cut off\n");
    exit(1);
  }
  return memory;
}

static void run_case(const char* kernel, const int32_t params[FULLY_CONNECTED_PARAMS]) {
  int64_t* sizes = read_exactly((int64_t)sizeof(int64_t) * (1 + ARRAYS));
  const int64_t rows = sizes[0];
  void* arrays[ARRAYS];
  for (int i = 0; i < ARRAYS; ++i) arrays[i] = sizes[1 + i] > 0 ? read_exactly(sizes[1 + i]) : NULL;
  const FullyConnectedWeights weights = {arrays[0], arrays[1], arrays[2], arrays[3], arrays[4]};
  const size_t count = (size_t)rows * (size_t)params[5];
  float* y = calloc(count + 1, sizeof *y);
  char message[MESSAGE_SIZE];
  if (y == NULL || tfconformer_fully_connected(kernel, params, &weights, rows, arrays[5], y, message)) {
    fprintf(stderr, "%s\n", y == NULL ? "no memory" : message);
    exit(1);
  }
  fwrite(y, sizeof *y, count, stdout);
  free(y);
  for (int i = 0; i < ARRAYS; ++i) free(arrays[i]);
  free(sizes);
}

static void run_depthwise_case(const char* kernel, const int32_t params[DEPTHWISE_CONVOLUTION_PARAMS]) {
  int64_t* sizes = read_exactly(2 * (int64_t)sizeof(int64_t));
  const int64_t batch = sizes[0], frames = sizes[1], length = params[1], channels = params[2];
  float* weights = read_exactly((int64_t)sizeof(float) * length * channels);
  float* bias = read_exactly((int64_t)sizeof(float) * channels);
  float* x = read_exactly((int64_t)sizeof(float) * batch * (frames + length - 1) * channels);
  const size_t count = (size_t)(batch * frames * channels);
  float* y = calloc(count + 1, sizeof *y);
  char message[MESSAGE_SIZE];
  if (y == NULL || tfconformer_depthwise_convolution(kernel, params, weights, bias, batch, frames, x, y, message)) {
    fprintf(stderr, "%s\n", y == NULL ? "no memory" : message);
    exit(1);
  }
  fwrite(y, sizeof *y, count, stdout);
  free(y), free(x), free(bias), free(weights), free(sizes);
}

static void run_normalization_case(const char* kernel, const int32_t params[LAYER_NORMALIZATION_PARAMS]) {
  int64_t* rows = read_exactly((int64_t)sizeof(int64_t));
  float* epsilon = read_exactly((int64_t)sizeof(float));
  const int64_t bytes = (int64_t)sizeof(float) * params[1];
  float *gain = read_exactly(bytes), *bias = read_exactly(bytes), *x = read_exactly(*rows * bytes);
  const size_t count = (size_t)(*rows * params[1]);
  float* y = calloc(count + 1, sizeof *y);
  char message[MESSAGE_SIZE];
  if (y == NULL || tfconformer_layer_normalization(kernel, params, *epsilon, gain, bias, *rows, x, y, message)) {
    fprintf(stderr, "%s\n", y == NULL ? "no memory" : message);
    exit(1);
  }
  fwrite(y, sizeof *y, count, stdout);
  free(y), free(x), free(bias), free(gain), free(epsilon), free(rows);
}

int main(int argc, char** argv) {
  if (argc < 2) {
    for (int i = 0; tfconformer_kernel_name(i) != NULL; ++i) puts(tfconformer_kernel_name(i));
    return 0;
  }
  int32_t params[FULLY_CONNECTED_PARAMS]; /* the longest */
  const char* operation = argc > 2 ? argv[2] : "packed";
  const bool is_depthwise = strcmp(operation, "depthwise") == 0, is_packed = strcmp(operation, "packed") == 0;
  const size_t count = is_packed      ? FULLY_CONNECTED_PARAMS
                       : is_depthwise ? DEPTHWISE_CONVOLUTION_PARAMS
                                      : LAYER_NORMALIZATION_PARAMS;
  while (fread(params, sizeof params[0], count, stdin) == count) {
    (is_packed ? run_case : is_depthwise ? run_depthwise_case : run_normalization_case)(argv[1], params);
  }
  return 0;
}
