/* The depthwise convolution along time, what a file says about it.
 *
 *   y[b, t, c] = bias[c] + sum over i of kernel[i, c] * x[b, t + i, c]
 *
 * There is no padding: y has length - 1 frames fewer than x. */
#ifndef TFCONFORMER_FORMAT_DEPTHWISE_CONVOLUTION_H_
#define TFCONFORMER_FORMAT_DEPTHWISE_CONVOLUTION_H_

#include <stdbool.h>
#include <stdint.h>

#include "message.h"

enum {
  DEPTHWISE_CONVOLUTION_PARAMS = 3,         /* length of the params array of a file */
  DEPTHWISE_CONVOLUTION_FORMAT_VERSION = 1, /* its first element */
};

typedef struct {
  int32_t length;   /* frames of the kernel */
  int32_t channels;
} DepthwiseConvolutionAttributes;

/* Reads and checks the params array of a file: {version, length, channels}. On failure writes one sentence. */
bool depthwise_convolution_parse(const int32_t params[DEPTHWISE_CONVOLUTION_PARAMS],
                                 DepthwiseConvolutionAttributes* attributes, char message[MESSAGE_SIZE]);

#endif
