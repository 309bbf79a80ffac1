/* Computes layers for a test on another processor. Without arguments it names the kernels that this processor has; with
 * the name of one it reads cases from its input until the end, and writes the outputs; a second argument names
 * another layer than the packed one.
 *
 * A case: int32 attributes[12], int64 rows, int64 bytes[6] of codes, sparsity indices, scales, zero points, bias and x
 * (0: there is none), and the six arrays. An output: float y[rows, N]. Of "depthwise": int32 attributes[3], int64
 * batch, frames, and the arrays of kernel, bias and x. Of "normalization": int32 attributes[2], int64 rows, float
 * epsilon, and the arrays of gamma, beta and x. Of "attention": int32 attributes[4], int64 batch, frames, mask_rows,
 * and the arrays of both biases, query, key, value, position and mask. Of "attention_step": int32 attributes[4], int64
 * batch, frames, span, capacity, first, and the arrays of both biases, query, key, value, mask, keys, values and
 * position; after y the output has the states. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../converters/custom_ops/include/tfconformer_ops.h"

enum { ARRAYS = 6 };

static void* read_exactly(int64_t bytes) {
  void* memory = malloc(bytes > 0 ? (size_t)bytes : 1);
  if (memory == NULL || fread(memory, 1, (size_t)bytes, stdin) != (size_t)bytes) {
    fprintf(stderr, "a case is cut off\n");
    exit(1);
  }
  return memory;
}

static void run_case(const char* kernel, const int32_t attributes[TFC_FULLY_CONNECTED_ATTRIBUTES]) {
  int64_t* sizes = read_exactly((int64_t)sizeof(int64_t) * (1 + ARRAYS));
  const int64_t rows = sizes[0];
  void* arrays[ARRAYS];
  for (int i = 0; i < ARRAYS; ++i) arrays[i] = sizes[1 + i] > 0 ? read_exactly(sizes[1 + i]) : NULL;
  const tfc_fully_connected_weights weights = {arrays[0], arrays[1], arrays[2], arrays[3], arrays[4]};
  const size_t count = (size_t)rows * (size_t)attributes[5];
  float* y = calloc(count + 1, sizeof *y);
  char message[TFC_MESSAGE_SIZE];
  if (y == NULL || tfc_fully_connected(kernel, attributes, &weights, rows, arrays[5], y, message)) {
    fprintf(stderr, "%s\n", y == NULL ? "no memory" : message);
    exit(1);
  }
  fwrite(y, sizeof *y, count, stdout);
  free(y);
  for (int i = 0; i < ARRAYS; ++i) free(arrays[i]);
  free(sizes);
}

static void run_depthwise_case(const char* kernel, const int32_t attributes[TFC_DEPTHWISE_CONVOLUTION_ATTRIBUTES]) {
  int64_t* sizes = read_exactly(2 * (int64_t)sizeof(int64_t));
  const int64_t batch = sizes[0], frames = sizes[1], length = attributes[1], channels = attributes[2];
  float* filter = read_exactly((int64_t)sizeof(float) * length * channels);
  float* bias = read_exactly((int64_t)sizeof(float) * channels);
  const tfc_depthwise_convolution_weights weights = {filter, bias};
  float* x = read_exactly((int64_t)sizeof(float) * batch * (frames + length - 1) * channels);
  const size_t count = (size_t)(batch * frames * channels);
  float* y = calloc(count + 1, sizeof *y);
  char message[TFC_MESSAGE_SIZE];
  if (y == NULL || tfc_depthwise_convolution(kernel, attributes, &weights, batch, frames, x, y, message)) {
    fprintf(stderr, "%s\n", y == NULL ? "no memory" : message);
    exit(1);
  }
  fwrite(y, sizeof *y, count, stdout);
  free(y), free(x), free(bias), free(filter), free(sizes);
}

static void run_normalization_case(const char* kernel, const int32_t attributes[TFC_LAYER_NORMALIZATION_ATTRIBUTES]) {
  int64_t* rows = read_exactly((int64_t)sizeof(int64_t));
  float* epsilon = read_exactly((int64_t)sizeof(float));
  const int64_t bytes = (int64_t)sizeof(float) * attributes[1];
  float *gamma = read_exactly(bytes), *beta = read_exactly(bytes), *x = read_exactly(*rows * bytes);
  const tfc_layer_normalization_weights weights = {gamma, beta};
  const size_t count = (size_t)(*rows * attributes[1]);
  float* y = calloc(count + 1, sizeof *y);
  char message[TFC_MESSAGE_SIZE];
  if (y == NULL || tfc_layer_normalization(kernel, attributes, *epsilon, &weights, *rows, x, y, message)) {
    fprintf(stderr, "%s\n", y == NULL ? "no memory" : message);
    exit(1);
  }
  fwrite(y, sizeof *y, count, stdout);
  free(y), free(x), free(beta), free(gamma), free(epsilon), free(rows);
}

/* As in the API: the next multiple of TFC_COLUMN_MULTIPLE. */
static int64_t padded_columns(int64_t count) {
  return (count + TFC_COLUMN_MULTIPLE - 1) / TFC_COLUMN_MULTIPLE * TFC_COLUMN_MULTIPLE;
}

static float* read_floats(int64_t count) { return read_exactly((int64_t)sizeof(float) * count); }

static void finish_case(bool is_wrong, const char* message, const float* y, int64_t count) {
  if (is_wrong || y == NULL) {
    fprintf(stderr, "%s\n", message);
    exit(1);
  }
  fwrite(y, sizeof *y, (size_t)count, stdout);
}

static void run_attention_case(const char* kernel, const int32_t attributes[TFC_ATTENTION_ATTRIBUTES]) {
  int64_t* sizes = read_exactly(3 * (int64_t)sizeof(int64_t));
  const int64_t batch = sizes[0], frames = sizes[1], dim = (int64_t)attributes[1] * attributes[2];
  float* biases = read_floats(2 * dim);
  float* inputs = read_floats(3 * batch * frames * dim);
  float* position = read_floats((2 * frames - 1) * dim);
  float* mask = read_floats(batch * sizes[2] * frames);
  float* y = calloc((size_t)(batch * frames * dim), sizeof *y);
  const tfc_attention_biases both = {biases, biases + dim};
  const tfc_attention_utterance utterance = {
      .batch = batch,
      .frames = frames,
      .query = inputs,
      .key = inputs + batch * frames * dim,
      .value = inputs + 2 * batch * frames * dim,
      .position = position,
      .mask = mask,
      .mask_rows = sizes[2],
  };
  char message[TFC_MESSAGE_SIZE];
  finish_case(tfc_attention(kernel, attributes, &both, &utterance, y, message), message, y, batch * frames * dim);
  free(y), free(mask), free(position), free(inputs), free(biases), free(sizes);
}

static void run_attention_step_case(const char* kernel, const int32_t attributes[TFC_ATTENTION_ATTRIBUTES]) {
  int64_t* sizes = read_exactly(5 * (int64_t)sizeof(int64_t));
  const int64_t batch = sizes[0], frames = sizes[1], capacity = sizes[3], dim = (int64_t)attributes[1] * attributes[2];
  const int64_t key_count = batch * dim * padded_columns(capacity), value_count = batch * capacity * dim;
  float* biases = read_floats(2 * dim);
  float* inputs = read_floats(3 * batch * frames * dim);
  float* mask = read_floats(batch * frames * sizes[2]);
  float *keys = read_floats(key_count), *values = read_floats(value_count);
  float* position = read_floats(dim * padded_columns(attributes[3]));
  float* y = calloc((size_t)(batch * frames * dim), sizeof *y);
  const tfc_attention_biases both = {biases, biases + dim};
  const tfc_attention_step_inputs step = {
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
  char message[TFC_MESSAGE_SIZE];
  finish_case(tfc_attention_step(kernel, attributes, &both, &step, y, message), message, y, batch * frames * dim);
  finish_case(false, "", keys, key_count);
  finish_case(false, "", values, value_count);
  free(y), free(position), free(values), free(keys), free(mask), free(inputs), free(biases), free(sizes);
}

typedef struct {
  const char* name;
  size_t attributes;
  void (*run)(const char* kernel, const int32_t* attributes);
} Operation;

int main(int argc, char** argv) {
  if (argc < 2) {
    for (int i = 0; tfc_kernel_name(i) != NULL; ++i) puts(tfc_kernel_name(i));
    return 0;
  }
  static const Operation operations[] = {
      {"packed", TFC_FULLY_CONNECTED_ATTRIBUTES, run_case},
      {"depthwise", TFC_DEPTHWISE_CONVOLUTION_ATTRIBUTES, run_depthwise_case},
      {"normalization", TFC_LAYER_NORMALIZATION_ATTRIBUTES, run_normalization_case},
      {"attention", TFC_ATTENTION_ATTRIBUTES, run_attention_case},
      {"attention_step", TFC_ATTENTION_ATTRIBUTES, run_attention_step_case},
  };
  int32_t attributes[TFC_FULLY_CONNECTED_ATTRIBUTES]; /* the longest */
  const char* name = argc > 2 ? argv[2] : "packed";
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; ++i) {
    if (strcmp(operations[i].name, name) != 0) continue;
    while (fread(attributes, sizeof attributes[0], operations[i].attributes, stdin) == operations[i].attributes) {
      operations[i].run(argv[1], attributes);
    }
    return 0;
  }
  fprintf(stderr, "no operation '%s'\n", name);
  return 1;
}
