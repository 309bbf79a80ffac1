/* A depthwise convolution as pieces of consecutive frames. */
#include "depthwise_convolution.h"

#include "../kernels/loops.h"

enum { PIECE = 64 }; /* frames; a multiple of what a kernel takes at once */

typedef struct {
  const Kernel* kernel;
  const DepthwiseConvolutionAttributes* attributes;
  const float *weights, *bias, *x;
  int64_t frames, pieces; /* of one of the batch */
  float* y;
} Work;

static void convolve_piece(void* context, int index) {
  const Work* work = context;
  const int64_t channels = work->attributes->channels, one = index / work->pieces;
  const int64_t first = index % work->pieces * PIECE, count = smaller(PIECE, work->frames - first);
  const float* x = work->x + (one * (work->frames + work->attributes->length - 1) + first) * channels;
  float* y = work->y + (one * work->frames + first) * channels;
  work->kernel->convolve_frames(work->attributes, work->weights, work->bias, count, x, y);
}

void depthwise_convolution(const Kernel* kernel, ThreadPool* pool, const DepthwiseConvolutionAttributes* attributes,
                           const float* weights, const float* bias, int64_t batch, int64_t frames, const float* x,
                           float* y) {
  Work work = {kernel, attributes, weights, bias, x, frames, (frames + PIECE - 1) / PIECE, y};
  thread_pool_run(pool, (int)(batch * work.pieces), convolve_piece, &work);
}
