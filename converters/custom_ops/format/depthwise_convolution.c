#include "depthwise_convolution.h"

bool depthwise_convolution_parse(const int32_t params[DEPTHWISE_CONVOLUTION_PARAMS],
                                 DepthwiseConvolutionAttributes* attributes, char message[MESSAGE_SIZE]) {
  const int32_t version = params[0], length = params[1], channels = params[2];
  if (version != DEPTHWISE_CONVOLUTION_FORMAT_VERSION) return refuse_param(message, "version", version, "1");
  if (length < 1) return refuse_param(message, "length", length, "at least 1");
  if (channels < 1) return refuse_param(message, "channels", channels, "at least 1");
  *attributes = (DepthwiseConvolutionAttributes){.length = length, .channels = channels};
  return true;
}
