/* The loop nest of a depthwise convolution. */
#ifndef TFC_OPS_DEPTHWISE_CONVOLUTION_H_
#define TFC_OPS_DEPTHWISE_CONVOLUTION_H_

#include "context.h"

/* Computes y [batch, frames, channels] from x [batch, frames + length - 1, channels]. Allocates nothing; the result
 * depends neither on the kernels nor on the threads, which share the frames. */
void tfc_depthwise_convolution_run(const tfc_context* context, const tfc_depthwise_convolution_attributes* attributes,
                                   const tfc_depthwise_convolution_weights* weights, int64_t batch, int64_t frames,
                                   const float* x, float* y);

#endif
