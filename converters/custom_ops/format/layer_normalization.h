/* Layer normalization, as a file describes it.
 *
 *   y[m, c] = (x[m, c] - mean) / sqrt(variance + epsilon) * gamma[c] + beta[c]
 *
 * mean and variance are those of row m. */
#ifndef TFC_FORMAT_LAYER_NORMALIZATION_H_
#define TFC_FORMAT_LAYER_NORMALIZATION_H_

#include "message.h"

enum { TFC_LAYER_NORMALIZATION_VERSION = 1 }; /* the first op attribute */

typedef struct {
  int32_t channels;
  float epsilon; /* finite, above zero */
} tfc_layer_normalization_attributes;

/* Reads and checks the op attributes of a file, {version, channels}, and the constant epsilon beside them. On failure
 * writes one sentence to `message` and returns false. */
bool tfc_layer_normalization_parse(const int32_t params[TFC_LAYER_NORMALIZATION_ATTRIBUTES], float epsilon,
                                   tfc_layer_normalization_attributes* attributes, char message[TFC_MESSAGE_SIZE]);

#endif
