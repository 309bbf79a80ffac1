/* Computing a layer. */
#ifndef TFCONFORMER_OPS_FULLY_CONNECTED_H_
#define TFCONFORMER_OPS_FULLY_CONNECTED_H_

#include "../kernels/kernel.h"
#include "thread_pool.h"

/* x: rows [rows, k], or images [images, height, width, channels] whose windows are the rows. */
typedef struct {
  const float* values;
  int64_t rows;
  int64_t height, width; /* of images */
} FullyConnectedInput;

/* Bytes of scratch memory, aligned as `float`, that `fully_connected` needs for so many rows of x. */
int64_t fully_connected_scratch_bytes(const FullyConnectedAttributes* attributes, int64_t rows);

/* Computes y[rows, n] from the rows of x. Allocates nothing; the result depends neither on `rows` nor on the
 * kernel, nor on the threads, which share the tiles; without a pool the caller's does all.
 *
 * y = activation(total + bias), total as in kernel.h; with integer activations y = activation(scale * total + bias), by
 * one fused multiply-add, where x was replaced by scale * codes row by row (loops.h).
 *
 * The beginning of `next`, weights that will be needed after these, is fetched into the cache; its pointers may be NULL. */
void fully_connected(const Kernel* kernel, ThreadPool* pool, const FullyConnectedAttributes* attributes,
                     const FullyConnectedWeights* weights, const FullyConnectedWeights* next,
                     const FullyConnectedInput* x, void* scratch, float* y);

#endif
