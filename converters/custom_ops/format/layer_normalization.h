/* Layer normalization, what a file says about it.
 *
 *   y[m, c] = (x[m, c] - mean) / sqrt(variance + epsilon) * gain[c] + bias[c],   mean and variance those of row m */
#ifndef TFCONFORMER_FORMAT_LAYER_NORMALIZATION_H_
#define TFCONFORMER_FORMAT_LAYER_NORMALIZATION_H_

#include <stdbool.h>
#include <stdint.h>

#include "message.h"

enum {
  LAYER_NORMALIZATION_PARAMS = 2,         /* length of the params array of a file */
  LAYER_NORMALIZATION_FORMAT_VERSION = 1, /* its first element */
};

typedef struct {
  int32_t channels;
  float epsilon; /* finite, above zero */
} LayerNormalizationAttributes;

/* Reads and checks the params array of a file, {version, channels}, and the constant beside it. On failure writes one
 * sentence. */
bool layer_normalization_parse(const int32_t params[LAYER_NORMALIZATION_PARAMS], float epsilon,
                               LayerNormalizationAttributes* attributes, char message[MESSAGE_SIZE]);

#endif
