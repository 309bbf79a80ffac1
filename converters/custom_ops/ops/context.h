/* The resources that every operation computes with. */
#ifndef TFC_OPS_CONTEXT_H_
#define TFC_OPS_CONTEXT_H_

#include "../kernels/kernel.h"
#include "thread_pool.h"

typedef struct {
  const tfc_kernel_set* kernels;
  tfc_thread_pool* pool; /* NULL: the calling thread does all the work */
} tfc_context;

#endif
