/* A layer normalization as pieces of consecutive rows. */
#include "layer_normalization.h"

#include "../kernels/loops.h"

enum { PIECE = 64 }; /* rows */

typedef struct {
  const Kernel* kernel;
  const LayerNormalizationAttributes* attributes;
  const float *gain, *bias, *x;
  int64_t rows;
  float* y;
} Work;

static void normalize_piece(void* context, int index) {
  const Work* work = context;
  const int64_t first = (int64_t)index * PIECE, at = first * work->attributes->channels;
  work->kernel->normalize_rows(work->attributes, work->gain, work->bias, smaller(PIECE, work->rows - first),
                               work->x + at, work->y + at);
}

void layer_normalization(const Kernel* kernel, ThreadPool* pool, const LayerNormalizationAttributes* attributes,
                         const float* gain, const float* bias, int64_t rows, const float* x, float* y) {
  Work work = {kernel, attributes, gain, bias, x, rows, y};
  thread_pool_run(pool, (int)((rows + PIECE - 1) / PIECE), normalize_piece, &work);
}
