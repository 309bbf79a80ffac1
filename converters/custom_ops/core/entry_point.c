/* The layer as one flat C function, for tests and other hosts that bring plain arrays. */
#include <stdio.h>
#include <stdlib.h>

#include "fully_connected.h"

#define EXPORT __attribute__((visibility("default")))

const char* tfconformer_kernel_name(void);
int tfconformer_fully_connected(const int32_t params[FULLY_CONNECTED_PARAMS], const uint8_t* codes,
                                const uint16_t* scales, const uint16_t* offsets, const float* bias, int64_t rows,
                                const float* x, float* y, char message[FULLY_CONNECTED_MESSAGE_SIZE]);

/* Name of the implementation that computes the layer in this process. */
EXPORT const char* tfconformer_kernel_name(void) { return "reference"; }

/* Computes y[rows, N] from x[rows, K]; arrays and params as in fully_connected.h. Returns 0, or 1 with one sentence in
 * `message`. */
EXPORT int tfconformer_fully_connected(const int32_t params[FULLY_CONNECTED_PARAMS], const uint8_t* codes,
                                       const uint16_t* scales, const uint16_t* offsets, const float* bias,
                                       int64_t rows, const float* x, float* y,
                                       char message[FULLY_CONNECTED_MESSAGE_SIZE]) {
  const FullyConnectedWeights weights = {.codes = codes, .scales = scales, .offsets = offsets, .bias = bias};
  FullyConnectedAttributes attributes;
  if (!fully_connected_parse(params, &attributes, message)) return 1;
  if (!fully_connected_check_constants(&attributes, &weights, message)) return 1;
  const int64_t scratch_bytes = fully_connected_scratch_bytes(&attributes, rows);
  void* scratch = scratch_bytes > 0 ? malloc((size_t)scratch_bytes) : NULL;
  if (scratch_bytes > 0 && scratch == NULL) {
    snprintf(message, FULLY_CONNECTED_MESSAGE_SIZE, "no memory for %lld bytes", (long long)scratch_bytes);
    return 1;
  }
  fully_connected(&attributes, &weights, rows, x, scratch, y);
  free(scratch);
  return 0;
}
