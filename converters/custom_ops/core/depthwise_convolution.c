#include "depthwise_convolution.h"

#include <stdio.h>

static bool fail(char message[MESSAGE_SIZE], const char* field, int32_t value, const char* expected) {
  snprintf(message, MESSAGE_SIZE, "params: %s is %d, expected %s", field, (int)value, expected);
  return false;
}

bool depthwise_convolution_parse(const int32_t params[DEPTHWISE_CONVOLUTION_PARAMS],
                                 DepthwiseConvolutionAttributes* attributes, char message[MESSAGE_SIZE]) {
  const int32_t version = params[0], length = params[1], channels = params[2];
  if (version != DEPTHWISE_CONVOLUTION_FORMAT_VERSION) return fail(message, "version", version, "1");
  if (length < 1) return fail(message, "length", length, "at least 1");
  if (channels < 1) return fail(message, "channels", channels, "at least 1");
  *attributes = (DepthwiseConvolutionAttributes){.length = length, .channels = channels};
  return true;
}
