#include "layer_normalization.h"

#include <math.h>
#include <stdio.h>

bool layer_normalization_parse(const int32_t params[LAYER_NORMALIZATION_PARAMS], float epsilon,
                               LayerNormalizationAttributes* attributes, char message[MESSAGE_SIZE]) {
  const int32_t version = params[0], channels = params[1];
  if (version != LAYER_NORMALIZATION_FORMAT_VERSION) return refuse_param(message, "version", version, "1");
  if (channels < 1) return refuse_param(message, "channels", channels, "at least 1");
  if (!isfinite(epsilon) || epsilon <= 0.0f) {
    snprintf(message, MESSAGE_SIZE, "epsilon is %g, expected a finite number above zero", (double)epsilon);
    return false;
  }
  *attributes = (LayerNormalizationAttributes){.channels = channels, .epsilon = epsilon};
  return true;
}
