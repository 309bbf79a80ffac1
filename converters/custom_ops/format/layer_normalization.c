#include "layer_normalization.h"

#include <math.h>

bool tfc_layer_normalization_parse(const int32_t params[TFC_LAYER_NORMALIZATION_ATTRIBUTES], float epsilon,
                                   tfc_layer_normalization_attributes* attributes, char message[TFC_MESSAGE_SIZE]) {
  const int32_t version = params[0], channels = params[1];
  if (version != TFC_LAYER_NORMALIZATION_VERSION) return tfc_refuse_attribute(message, "version", version, "1");
  if (channels < 1) return tfc_refuse_attribute(message, "channels", channels, "at least 1");
  if (!isfinite(epsilon) || epsilon <= 0.0f) {
    snprintf(message, TFC_MESSAGE_SIZE, "epsilon is %g, expected a finite number above zero", (double)epsilon);
    return false;
  }
  *attributes = (tfc_layer_normalization_attributes){.channels = channels, .epsilon = epsilon};
  return true;
}
