/* The loop nest of a fully connected layer. */
#ifndef TFC_OPS_FULLY_CONNECTED_H_
#define TFC_OPS_FULLY_CONNECTED_H_

#include "context.h"

/* x: rows [m, k], or images [images, height, width, channels] whose windows are the rows. */
typedef struct {
  const float* values;
  int64_t m;             /* rows, or windows of all images */
  int64_t height, width; /* of images */
} tfc_fully_connected_input;

/* Bytes of scratch memory, aligned as `float`, that tfc_fully_connected_run needs for so many rows of x. */
int64_t tfc_fully_connected_scratch_bytes(const tfc_kernel_set* kernels,
                                          const tfc_fully_connected_attributes* attributes, int64_t m);

/* Computes y [m, n] from the rows of x. Allocates nothing; the result depends neither on m nor on the kernels, nor on
 * the threads, which share the panels.
 *
 * y = activation(acc + bias), acc as in kernel.h; with integer activations y = activation(scale * acc + bias), by one
 * fused multiply-add, where x is replaced by scale * q row by row (tfc_pack_lhs_row).
 *
 * The beginning of `next`, the weights that are needed after these, is prefetched; its pointers may be NULL. */
void tfc_fully_connected_run(const tfc_context* context, const tfc_fully_connected_attributes* attributes,
                             const tfc_fully_connected_weights* weights, const tfc_fully_connected_weights* next,
                             const tfc_fully_connected_input* x, void* scratch, float* y);

#endif
