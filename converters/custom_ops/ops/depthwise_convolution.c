#include "depthwise_convolution.h"

#include "../kernels/loops.h"

/* Frames of a task: a multiple of the frames that a kernel takes at once, and enough work for the start of a task
 * (below a microsecond) not to count. */
enum { TASK_FRAMES = 64 };

typedef struct {
  tfc_f32_dwconv_function* dwconv;
  const tfc_depthwise_convolution_attributes* attributes;
  const tfc_depthwise_convolution_weights* weights;
  const float* x;
  int64_t frames, tasks; /* of one element of the batch */
  float* y;
} tfc_job;

static void convolve_frames(void* context, int index) {
  const tfc_job* job = context;
  const int64_t channels = job->attributes->channels, element = index / job->tasks;
  const int64_t first = index % job->tasks * TASK_FRAMES, count = tfc_min(TASK_FRAMES, job->frames - first);
  const float* x = job->x + (element * (job->frames + job->attributes->length - 1) + first) * channels;
  float* y = job->y + (element * job->frames + first) * channels;
  job->dwconv(job->attributes, job->weights, count, x, y);
}

void tfc_depthwise_convolution_run(const tfc_context* context, const tfc_depthwise_convolution_attributes* attributes,
                                   const tfc_depthwise_convolution_weights* weights, int64_t batch, int64_t frames,
                                   const float* x, float* y) {
  assert(batch >= 0 && frames >= 0);
  tfc_job job = {
      .dwconv = tfc_dwconv_of(context->kernels),
      .attributes = attributes,
      .weights = weights,
      .x = x,
      .frames = frames,
      .tasks = (frames + TASK_FRAMES - 1) / TASK_FRAMES,
      .y = y,
  };
  assert(batch * job.tasks <= INT32_MAX);
  tfc_thread_pool_run(context->pool, (int)(batch * job.tasks), convolve_frames, &job);
}
