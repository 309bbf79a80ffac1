/* Computing a depthwise convolution. */
#ifndef TFCONFORMER_OPS_DEPTHWISE_CONVOLUTION_H_
#define TFCONFORMER_OPS_DEPTHWISE_CONVOLUTION_H_

#include "../kernels/kernel.h"
#include "thread_pool.h"

/* Computes y [batch, frames, channels] from x [batch, frames + length - 1, channels]. Allocates nothing; the result
 * depends neither on the kernel nor on the threads, which share the frames; without a pool the caller's does all. */
void depthwise_convolution(const Kernel* kernel, ThreadPool* pool, const DepthwiseConvolutionAttributes* attributes,
                           const float* weights, const float* bias, int64_t batch, int64_t frames, const float* x,
                           float* y);

#endif
