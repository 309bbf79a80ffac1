/* Computing a layer normalization. */
#ifndef TFCONFORMER_OPS_LAYER_NORMALIZATION_H_
#define TFCONFORMER_OPS_LAYER_NORMALIZATION_H_

#include "../kernels/kernel.h"
#include "thread_pool.h"

/* Computes y [rows, channels] from x [rows, channels]. Allocates nothing; the result depends neither on the kernel nor
 * on the threads, which share the rows; without a pool the caller's does all. */
void layer_normalization(const Kernel* kernel, ThreadPool* pool, const LayerNormalizationAttributes* attributes,
                         const float* gain, const float* bias, int64_t rows, const float* x, float* y);

#endif
