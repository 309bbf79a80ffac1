#include "entry_point.h"

#include <stdio.h>
#include <stdlib.h>

#include "depthwise_convolution.h"
#include "fully_connected.h"
#include "layer_normalization.h"

#define EXPORT __attribute__((visibility("default")))

static const Kernel* find(const char* name, char message[MESSAGE_SIZE]) {
  const Kernel* found = find_kernel(name);
  if (found == NULL) snprintf(message, MESSAGE_SIZE, "this processor has no kernel '%.64s'", name);
  return found;
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
  const int64_t scratch_bytes = fully_connected_scratch_bytes(&attributes, rows);
  void* scratch = scratch_bytes > 0 ? malloc((size_t)scratch_bytes) : NULL;
  if (scratch_bytes > 0 && scratch == NULL) {
    snprintf(message, MESSAGE_SIZE, "no memory for %lld bytes", (long long)scratch_bytes);
    return 1;
  }
  const FullyConnectedInput input = {.values = x, .rows = rows};
  fully_connected(found, NULL, &attributes, weights, &input, scratch, y);
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
