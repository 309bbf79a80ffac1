#include "layer_normalization.h"

#include <math.h>
#include <stdio.h>

bool layer_normalization_parse(const int32_t params[LAYER_NORMALIZATION_PARAMS], float epsilon,
                               LayerNormalizationAttributes* attributes, char message[MESSAGE_SIZE]) {
  const int32_t version = params[0], channels = params[1];
  if (version != LAYER_NORMALIZATION_FORMAT_VERSION) {
    snprintf(message, MESSAGE_SIZE, "params: version is %d, expected 1", (int)version);
  } else if (channels < 1) {
    snprintf(message, MESSAGE_SIZE, "params: channels is %d, expected at least 1", (int)channels);
  } else if (!isfinite(epsilon) || epsilon <= 0.0f) {
    snprintf(message, MESSAGE_SIZE, "epsilon is %g, expected a finite number above zero", (double)epsilon);
  } else {
    *attributes = (LayerNormalizationAttributes){.channels = channels, .epsilon = epsilon};
    return true;
  }
  return false;
}
