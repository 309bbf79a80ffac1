/* Computing attention, of whole utterances and of steps of a stream. */
#ifndef TFCONFORMER_OPS_ATTENTION_H_
#define TFCONFORMER_OPS_ATTENTION_H_

#include "../kernels/kernel.h"
#include "thread_pool.h"

/* Constants: [heads, width] both. */
typedef struct {
  const float *content_bias, *position_bias;
} AttentionBiases;

/* Whole utterances; every array is dense. */
typedef struct {
  int64_t batch, frames;
  const float *query, *key, *value; /* [batch, frames, dim] */
  const float* position;            /* [2 frames - 1, dim], of the distances frames - 1 down to 1 - frames */
  const float* mask;                /* [batch, mask_rows, frames] */
  int64_t mask_rows;                /* frames, or 1 for all of them alike */
} AttentionUtterance;

/* A step. Its queries look at `span` consecutive frames, from the first of the last `capacity` that came in on: frame f
 * is in place f % capacity of the states. */
typedef struct {
  int64_t batch, frames, span, capacity; /* frames and span are at most `capacity` */
  const float *query, *key, *value;      /* [batch, frames, dim] */
  const float* mask;                     /* [batch, frames, span] */
  int32_t first;                         /* number of the first frame of key and value */
  float* keys;                           /* state, [batch, dim, attention_columns(capacity)]; gets the new keys */
  float* values;                         /* state, [batch, capacity, dim]; likewise */
  const float* position; /* [dim, attention_columns(distances)]: the first is the distance of first query to first key */
} AttentionStep;

/* Bytes of scratch memory; INT64_MAX if there are more. */
int64_t attention_utterance_scratch_bytes(const AttentionAttributes* attributes, int64_t batch, int64_t frames);
int64_t attention_step_scratch_bytes(const AttentionAttributes* attributes, int64_t batch, int64_t span,
                                     int64_t capacity);

/* Both write y [batch, frames, dim] and allocate nothing; the result depends neither on the kernel nor on the threads,
 * which share the heads; without a pool the caller's does all. */
void attention_utterance(const Kernel* kernel, ThreadPool* pool, const AttentionAttributes* attributes,
                         const AttentionBiases* biases, const AttentionUtterance* utterance, void* scratch, float* y);
void attention_step(const Kernel* kernel, ThreadPool* pool, const AttentionAttributes* attributes,
                    const AttentionBiases* biases, const AttentionStep* step, void* scratch, float* y);

#endif
