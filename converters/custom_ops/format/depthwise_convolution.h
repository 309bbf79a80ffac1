/* The depthwise convolution along time, as a file describes it.
 *
 *   y[b, t, c] = bias[c] + sum over i of filter[i, c] * x[b, t + i, c]
 *
 * There is no padding: y has length - 1 frames fewer than x. */
#ifndef TFC_FORMAT_DEPTHWISE_CONVOLUTION_H_
#define TFC_FORMAT_DEPTHWISE_CONVOLUTION_H_

#include "message.h"

enum { TFC_DEPTHWISE_CONVOLUTION_VERSION = 1 }; /* the first op attribute */

typedef struct {
  int32_t length; /* taps of the filter, one per frame */
  int32_t channels;
} tfc_depthwise_convolution_attributes;

/* Reads and checks the op attributes of a file, {version, length, channels}. On failure writes one sentence to
 * `message` and returns false. */
bool tfc_depthwise_convolution_parse(const int32_t params[TFC_DEPTHWISE_CONVOLUTION_ATTRIBUTES],
                                     tfc_depthwise_convolution_attributes* attributes, char message[TFC_MESSAGE_SIZE]);

#endif
