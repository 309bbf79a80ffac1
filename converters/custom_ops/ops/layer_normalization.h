/* The loop nest of a layer normalization. */
#ifndef TFC_OPS_LAYER_NORMALIZATION_H_
#define TFC_OPS_LAYER_NORMALIZATION_H_

#include "context.h"

/* Computes y [m, channels] from x [m, channels]. Allocates nothing; the result depends neither on the kernels nor on
 * the threads, which share the rows. */
void tfc_layer_normalization_run(const tfc_context* context, const tfc_layer_normalization_attributes* attributes,
                                 const tfc_layer_normalization_weights* weights, int64_t m, const float* x, float* y);

#endif
