/* The public C API. */
#include "../include/tfconformer_ops.h"

#include <stdio.h>
#include <stdlib.h>

#include "../ops/attention.h"
#include "../ops/depthwise_convolution.h"
#include "../ops/fully_connected.h"
#include "../ops/layer_normalization.h"

#define EXPORT __attribute__((visibility("default")))

/* A context of the calling thread with the kernels of that name; without kernels, and with a sentence, if there are
 * none. */
static tfc_context find_context(const char* kernel, char message[TFC_MESSAGE_SIZE]) {
  const tfc_context context = {.kernels = tfc_find_kernel_set(kernel)};
  if (context.kernels == NULL) {
    snprintf(message, TFC_MESSAGE_SIZE, "this processor has no kernel '%.64s'", kernel);
  }
  return context;
}

/* Scratch memory; NULL, with a sentence, if there is none. */
static void* allocate(int64_t bytes, char message[TFC_MESSAGE_SIZE]) {
  void* memory = malloc(bytes > 0 ? (size_t)bytes : 1);
  if (memory == NULL) snprintf(message, TFC_MESSAGE_SIZE, "no memory for %lld bytes", (long long)bytes);
  return memory;
}

EXPORT const char* tfc_kernel_name(int index) {
  const tfc_kernel_set* set = tfc_kernel_set_at(index);
  return set == NULL ? NULL : set->name;
}

EXPORT int tfc_fully_connected(const char* kernel, const int32_t attributes[TFC_FULLY_CONNECTED_ATTRIBUTES],
                               const tfc_fully_connected_weights* weights, int64_t m, const float* x, float* y,
                               char message[TFC_MESSAGE_SIZE]) {
  tfc_fully_connected_attributes parsed;
  const tfc_context context = find_context(kernel, message);
  if (context.kernels == NULL) return 1;
  if (!tfc_fully_connected_parse(attributes, &parsed, message)) return 1;
  if (!tfc_fully_connected_check_constants(&parsed, weights, message)) return 1;
  if (parsed.window != 0) {
    snprintf(message, TFC_MESSAGE_SIZE, "params: window is %d, expected 0", (int)parsed.window);
    return 1;
  }
  void* scratch = allocate(tfc_fully_connected_scratch_bytes(context.kernels, &parsed, m), message);
  if (scratch == NULL) return 1;
  const tfc_fully_connected_input input = {.values = x, .m = m};
  tfc_fully_connected_run(&context, &parsed, weights, weights, &input, scratch, y);
  free(scratch);
  return 0;
}

EXPORT int tfc_depthwise_convolution(const char* kernel, const int32_t attributes[TFC_DEPTHWISE_CONVOLUTION_ATTRIBUTES],
                                     const tfc_depthwise_convolution_weights* weights, int64_t batch, int64_t frames,
                                     const float* x, float* y, char message[TFC_MESSAGE_SIZE]) {
  tfc_depthwise_convolution_attributes parsed;
  const tfc_context context = find_context(kernel, message);
  if (context.kernels == NULL || !tfc_depthwise_convolution_parse(attributes, &parsed, message)) return 1;
  tfc_depthwise_convolution_run(&context, &parsed, weights, batch, frames, x, y);
  return 0;
}

EXPORT int tfc_layer_normalization(const char* kernel, const int32_t attributes[TFC_LAYER_NORMALIZATION_ATTRIBUTES],
                                   float epsilon, const tfc_layer_normalization_weights* weights, int64_t m,
                                   const float* x, float* y, char message[TFC_MESSAGE_SIZE]) {
  tfc_layer_normalization_attributes parsed;
  const tfc_context context = find_context(kernel, message);
  if (context.kernels == NULL || !tfc_layer_normalization_parse(attributes, epsilon, &parsed, message)) return 1;
  tfc_layer_normalization_run(&context, &parsed, weights, m, x, y);
  return 0;
}

EXPORT int tfc_attention(const char* kernel, const int32_t attributes[TFC_ATTENTION_ATTRIBUTES],
                         const tfc_attention_biases* biases, const tfc_attention_utterance* utterance, float* y,
                         char message[TFC_MESSAGE_SIZE]) {
  tfc_attention_attributes parsed;
  const tfc_context context = find_context(kernel, message);
  if (context.kernels == NULL || !tfc_attention_parse(attributes, &parsed, message)) return 1;
  void* scratch =
      allocate(tfc_attention_utterance_scratch_bytes(&parsed, utterance->batch, utterance->frames), message);
  if (scratch == NULL) return 1;
  tfc_attention_utterance_run(&context, &parsed, biases, utterance, scratch, y);
  free(scratch);
  return 0;
}

EXPORT int tfc_attention_step(const char* kernel, const int32_t attributes[TFC_ATTENTION_ATTRIBUTES],
                              const tfc_attention_biases* biases, const tfc_attention_step_inputs* step, float* y,
                              char message[TFC_MESSAGE_SIZE]) {
  tfc_attention_attributes parsed;
  const tfc_context context = find_context(kernel, message);
  if (context.kernels == NULL || !tfc_attention_parse(attributes, &parsed, message)) return 1;
  const int64_t bytes = tfc_attention_step_scratch_bytes(&parsed, step->batch, step->span, step->capacity);
  void* scratch = allocate(bytes, message);
  if (scratch == NULL) return 1;
  tfc_attention_step_run(&context, &parsed, biases, step, scratch, y);
  free(scratch);
  return 0;
}
