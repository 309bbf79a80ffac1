#include "depthwise_convolution.h"

bool tfc_depthwise_convolution_parse(const int32_t params[TFC_DEPTHWISE_CONVOLUTION_ATTRIBUTES],
                                     tfc_depthwise_convolution_attributes* attributes, char message[TFC_MESSAGE_SIZE]) {
  const int32_t version = params[0], length = params[1], channels = params[2];
  if (version != TFC_DEPTHWISE_CONVOLUTION_VERSION) return tfc_refuse_attribute(message, "version", version, "1");
  if (length < 1) return tfc_refuse_attribute(message, "length", length, "at least 1");
  if (channels < 1) return tfc_refuse_attribute(message, "channels", channels, "at least 1");
  *attributes = (tfc_depthwise_convolution_attributes){.length = length, .channels = channels};
  return true;
}
