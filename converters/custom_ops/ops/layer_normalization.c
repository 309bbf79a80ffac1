#include "layer_normalization.h"

#include "../kernels/loops.h"

/* Rows of a task: enough work for the start of a task (below a microsecond) not to count. */
enum { TASK_ROWS = 64 };

typedef struct {
  tfc_f32_layer_norm_function* layer_norm;
  const tfc_layer_normalization_attributes* attributes;
  const tfc_layer_normalization_weights* weights;
  const float* x;
  int64_t m;
  float* y;
} tfc_job;

static void normalize_rows(void* context, int index) {
  const tfc_job* job = context;
  const int64_t first = (int64_t)index * TASK_ROWS, at = first * job->attributes->channels;
  job->layer_norm(job->attributes, job->weights, tfc_min(TASK_ROWS, job->m - first), job->x + at, job->y + at);
}

void tfc_layer_normalization_run(const tfc_context* context, const tfc_layer_normalization_attributes* attributes,
                                 const tfc_layer_normalization_weights* weights, int64_t m, const float* x, float* y) {
  assert(m >= 0);
  tfc_job job = {tfc_layer_norm_of(context->kernels), attributes, weights, x, m, y};
  tfc_thread_pool_run(context->pool, (int)((m + TASK_ROWS - 1) / TASK_ROWS), normalize_rows, &job);
}
