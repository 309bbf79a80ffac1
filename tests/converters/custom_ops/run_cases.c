/* Computes layers for a test on another processor. Without arguments it names the kernels that this processor has; with
 * the name of one it reads cases from its input until the end, and writes the outputs; a second argument names
 * another layer than the packed one.
 *
 * A case: int32 params[12], int64 rows, int64 bytes[6] of codes, positions, scales, offsets, bias and x (0: there is
 * none), and the six arrays. An output: float y[rows, N].
 * Of "depthwise": int32 params[3], int64 batch, frames, and the arrays of kernel, bias and x. Of "normalization": int32
 * params[2], int64 rows, float epsilon, and the arrays of gain, bias and x.
 * Of "attention": int32 params[4], int64 batch, frames, mask_rows, and the arrays of both biases, query, key, value,
 * position and mask. Of "attention_step": int32 params[4], int64 batch, frames, span, capacity, first, and the arrays of
 * both biases, query, key, value, mask, keys, values and position; behind y the output has the states. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../converters/custom_ops/api/api.h"

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

static float* read_floats(int64_t count) { return read_exactly((int64_t)sizeof(float) * count); }

static void finish_case(bool is_wrong, const char* message, const float* y, int64_t count) {
  if (is_wrong || y == NULL) {
    fprintf(stderr, "%s\n", message);
    exit(1);
  }
  fwrite(y, sizeof *y, (size_t)count, stdout);
}

static void run_attention_case(const char* kernel, const int32_t params[ATTENTION_PARAMS]) {
  int64_t* sizes = read_exactly(3 * (int64_t)sizeof(int64_t));
  const int64_t batch = sizes[0], frames = sizes[1], dim = (int64_t)params[1] * params[2];
  float* biases = read_floats(2 * dim);
  float* inputs = read_floats(3 * batch * frames * dim);
  float* position = read_floats((2 * frames - 1) * dim);
  float* mask = read_floats(batch * sizes[2] * frames);
  float* y = calloc((size_t)(batch * frames * dim), sizeof *y);
  const AttentionBiases both = {biases, biases + dim};
  const AttentionUtterance utterance = {
      .batch = batch,
      .frames = frames,
      .query = inputs,
      .key = inputs + batch * frames * dim,
      .value = inputs + 2 * batch * frames * dim,
      .position = position,
      .mask = mask,
      .mask_rows = sizes[2],
  };
  char message[MESSAGE_SIZE];
  finish_case(tfconformer_attention(kernel, params, &both, &utterance, y, message), message, y, batch * frames * dim);
  free(y), free(mask), free(position), free(inputs), free(biases), free(sizes);
}

static void run_attention_step_case(const char* kernel, const int32_t params[ATTENTION_PARAMS]) {
  int64_t* sizes = read_exactly(5 * (int64_t)sizeof(int64_t));
  const int64_t batch = sizes[0], frames = sizes[1], capacity = sizes[3], dim = (int64_t)params[1] * params[2];
  const int64_t key_count = batch * dim * attention_columns(capacity), value_count = batch * capacity * dim;
  float* biases = read_floats(2 * dim);
  float* inputs = read_floats(3 * batch * frames * dim);
  float* mask = read_floats(batch * frames * sizes[2]);
  float *keys = read_floats(key_count), *values = read_floats(value_count);
  float* position = read_floats(dim * attention_columns(params[3]));
  float* y = calloc((size_t)(batch * frames * dim), sizeof *y);
  const AttentionBiases both = {biases, biases + dim};
  const AttentionStep step = {
      .batch = batch,
      .frames = frames,
      .span = sizes[2],
      .capacity = capacity,
      .query = inputs,
      .key = inputs + batch * frames * dim,
      .value = inputs + 2 * batch * frames * dim,
      .mask = mask,
      .first = (int32_t)sizes[4],
      .keys = keys,
      .values = values,
      .position = position,
  };
  char message[MESSAGE_SIZE];
  finish_case(tfconformer_attention_step(kernel, params, &both, &step, y, message), message, y, batch * frames * dim);
  finish_case(false, "", keys, key_count);
  finish_case(false, "", values, value_count);
  free(y), free(position), free(values), free(keys), free(mask), free(inputs), free(biases), free(sizes);
}

typedef struct {
  const char* name;
  size_t params;
  void (*run)(const char* kernel, const int32_t* params);
} Operation;

int main(int argc, char** argv) {
  if (argc < 2) {
    for (int i = 0; tfconformer_kernel_name(i) != NULL; ++i) puts(tfconformer_kernel_name(i));
    return 0;
  }
  static const Operation operations[] = {
      {"packed", FULLY_CONNECTED_PARAMS, run_case},
      {"depthwise", DEPTHWISE_CONVOLUTION_PARAMS, run_depthwise_case},
      {"normalization", LAYER_NORMALIZATION_PARAMS, run_normalization_case},
      {"attention", ATTENTION_PARAMS, run_attention_case},
      {"attention_step", ATTENTION_PARAMS, run_attention_step_case},
  };
  int32_t params[FULLY_CONNECTED_PARAMS]; /* the longest */
  const char* name = argc > 2 ? argv[2] : "packed";
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; ++i) {
    if (strcmp(operations[i].name, name) != 0) continue;
    while (fread(params, sizeof params[0], operations[i].params, stdin) == operations[i].params) {
      operations[i].run(argv[1], params);
    }
    return 0;
  }
  fprintf(stderr, "no operation '%s'\n", name);
  return 1;
}
