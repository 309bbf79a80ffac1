#include "api.h"

#include <stdio.h>
#include <stdlib.h>

#include "../ops/depthwise_convolution.h"
#include "../ops/fully_connected.h"
#include "../ops/layer_normalization.h"

#define EXPORT __attribute__((visibility("default")))

static const Kernel* find(const char* name, char message[MESSAGE_SIZE]) {
  const Kernel* found = find_kernel(name);
  if (found == NULL) snprintf(message, MESSAGE_SIZE, "this processor has no kernel '%.64s'", name);
  return found;
}

/* Scratch memory; NULL, with a sentence, if there is none. */
static void* allocate(int64_t bytes, char message[MESSAGE_SIZE]) {
  void* memory = malloc(bytes > 0 ? (size_t)bytes : 1);
  if (memory == NULL) snprintf(message, MESSAGE_SIZE, "no memory for %lld bytes", (long long)bytes);
  return memory;
}

EXPORT const char* tfconformer_kernel_name(int index) { return kernel_name(index); }

EXPORT int tfconformer_fully_connected(const char* kernel, const int32_t params[FULLY_CONNECTED_PARAMS],
                                       const FullyConnectedWeights* weights, int64_t rows, const float* x, float* y,
                                       char message[MESSAGE_SIZE]) {
  FullyConnectedAttributes attributes;
  const Kernel* found = find(kernel, message);
  if (found == NULL) return 1;
  if (!fully_connected_parse(params, &attributes, message)) return 1;
  if (!fully_connected_check_constants(&attributes, weights, message)) return 1;
  if (attributes.window != 0) {
    snprintf(message, MESSAGE_SIZE, "params: window is %d, expected 0", (int)attributes.window);
    return 1;
  }
  void* scratch = allocate(fully_connected_scratch_bytes(&attributes, rows), message);
  if (scratch == NULL) return 1;
  const FullyConnectedInput input = {.values = x, .rows = rows};
  fully_connected(found, NULL, &attributes, weights, weights, &input, scratch, y);
  free(scratch);
  return 0;
}

EXPORT int tfconformer_depthwise_convolution(const char* kernel, const int32_t params[DEPTHWISE_CONVOLUTION_PARAMS],
                                             const float* weights, const float* bias, int64_t batch, int64_t frames,
                                             const float* x, float* y, char message[MESSAGE_SIZE]) {
  DepthwiseConvolutionAttributes attributes;
  const Kernel* found = find(kernel, message);
  if (found == NULL || !depthwise_convolution_parse(params, &attributes, message)) return 1;
  depthwise_convolution(found, NULL, &attributes, weights, bias, batch, frames, x, y);
  return 0;
}

EXPORT int tfconformer_layer_normalization(const char* kernel, const int32_t params[LAYER_NORMALIZATION_PARAMS],
                                           float epsilon, const float* gain, const float* bias, int64_t rows,
                                           const float* x, float* y, char message[MESSAGE_SIZE]) {
  LayerNormalizationAttributes attributes;
  const Kernel* found = find(kernel, message);
  if (found == NULL || !layer_normalization_parse(params, epsilon, &attributes, message)) return 1;
  layer_normalization(found, NULL, &attributes, gain, bias, rows, x, y);
  return 0;
}

EXPORT int tfconformer_attention(const char* kernel, const int32_t params[ATTENTION_PARAMS],
                                 const AttentionBiases* biases, const AttentionUtterance* utterance, float* y,
                                 char message[MESSAGE_SIZE]) {
  AttentionAttributes attributes;
  const Kernel* found = find(kernel, message);
  if (found == NULL || !attention_parse(params, &attributes, message)) return 1;
  void* scratch =
      allocate(attention_utterance_scratch_bytes(&attributes, utterance->batch, utterance->frames), message);
  if (scratch == NULL) return 1;
  attention_utterance(found, NULL, &attributes, biases, utterance, scratch, y);
  free(scratch);
  return 0;
}

EXPORT int tfconformer_attention_step(const char* kernel, const int32_t params[ATTENTION_PARAMS],
                                      const AttentionBiases* biases, const AttentionStep* step, float* y,
                                      char message[MESSAGE_SIZE]) {
  AttentionAttributes attributes;
  const Kernel* found = find(kernel, message);
  if (found == NULL || !attention_parse(params, &attributes, message)) return 1;
  void* scratch = allocate(attention_step_scratch_bytes(&attributes, step->batch, step->span, step->capacity), message);
  if (scratch == NULL) return 1;
  attention_step(found, NULL, &attributes, biases, step, scratch, y);
  free(scratch);
  return 0;
}
