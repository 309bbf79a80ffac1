/* Attention head by head, a few queries at a time, as matmuls by matrices with one key, or one distance, per column.
 *
 * The scores by key, and those by the distances that the queries need, are a matmul each, and so is the weighted sum of
 * values. A stream keeps its keys transposed; those of an utterance, and its projected positions, are transposed first.
 */
#include "attention.h"

#include <math.h>

#include "../kernels/loops.h"

enum { QUERIES = 8 }; /* at a time: the largest MR of a matmul kernel */

/* One head of one element of the batch. Rows of query, values and y are `dim` apart. "Transposed" matrices have rows of
 * tfc_padded_columns. */
typedef struct {
  const tfc_attention_kernels* kernels;
  int64_t width, dim, queries, span;
  const float *query, *content_bias, *position_bias;
  const float* keys;          /* [width, slots], transposed */
  const float* values;        /* [slots, dim] */
  int64_t slots, start;       /* a ring buffer: the first key is in slot `start`, and slot 0 follows the last one */
  const float* positions;     /* [width, distances], transposed */
  int64_t distances, nearest; /* the first key of query i is at distance number nearest - i */
  const float* mask;          /* rows are mask_stride apart */
  int64_t mask_stride;
  float* y;
} tfc_head;

/* The scratch memory of a head. */
typedef struct {
  float *content_queries, *position_queries; /* [QUERIES, width] */
  float* content_scores;                     /* [QUERIES, slots], padded rows */
  float* position_scores;                    /* [QUERIES, distances], padded rows */
  float* scores;                             /* [QUERIES, tfc_padded_lanes(span)] */
  float* band;                               /* [span], position scores of a query with keys beyond the distances */
  float *keys, *positions;                   /* of an utterance: as in `tfc_head` */
} tfc_head_scratch;

/* The sizes that scratch memory depends on. */
typedef struct {
  int64_t width, slots, distances, span;
  bool transposes; /* keys and positions, of an utterance */
} tfc_head_shape;

/* Divides the memory from `memory` on, unless that is NULL, and returns its size in floats. */
static int64_t divide_scratch(const tfc_head_shape* shape, float* memory, tfc_head_scratch* scratch) {
  const int64_t key_columns = tfc_padded_columns(shape->slots), position_columns = tfc_padded_columns(shape->distances);
  const struct {
    float** part;
    int64_t size;
  } parts[] = {
      {&scratch->content_queries, QUERIES * shape->width},
      {&scratch->position_queries, QUERIES * shape->width},
      {&scratch->content_scores, QUERIES * key_columns},
      {&scratch->position_scores, QUERIES * position_columns},
      {&scratch->scores, QUERIES * tfc_padded_lanes(shape->span)},
      {&scratch->band, shape->span},
      {&scratch->keys, shape->transposes ? shape->width * key_columns : 0},
      {&scratch->positions, shape->transposes ? shape->width * position_columns : 0},
  };
  int64_t used = 0;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i) {
    if (memory != NULL) *parts[i].part = memory + used;
    used += parts[i].size;
  }
  return used;
}

/* target[r, c] = (source[r, c] + bias[c]) / sqrt(width) */
static void bias_queries(const float* source, int64_t stride, const float* bias, int64_t rows, int64_t width,
                         float* target) {
  const float scale = 1.0f / sqrtf((float)width);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < width; ++c) target[r * width + c] = (source[r * stride + c] + bias[c]) * scale;
  }
}

/* Copies `count` scores from a ring buffer, from slot `start` on. */
static void unroll_ring(const float* ring, int64_t slots, int64_t start, int64_t count, float* target) {
  const int64_t to_end = tfc_min(count, slots - start);
  memcpy(target, ring + start, (size_t)to_end * sizeof *target);
  memcpy(target + to_end, ring, (size_t)(count - to_end) * sizeof *target);
}

/* The position scores of a query's keys, the first of which is at distance number `first`; 0 beyond the distances. */
static const float* key_position_scores(const tfc_head* head, const float* scores, int64_t first, float* band) {
  if (first >= 0 && first + head->span <= head->distances) return scores + first;
  for (int64_t j = 0; j < head->span; ++j) {
    band[j] = first + j >= 0 && first + j < head->distances ? scores[first + j] : 0.0f;
  }
  return band;
}

/* Computes the content and position scores of queries `first` to `first + count`. */
static void compute_scores(const tfc_head* head, int64_t first, int64_t count, const tfc_head_scratch* scratch) {
  const int64_t width = head->width, dim = head->dim;
  const int64_t key_columns = tfc_padded_columns(head->slots), position_columns = tfc_padded_columns(head->distances);
  const float* query = head->query + first * dim;
  bias_queries(query, dim, head->content_bias, count, width, scratch->content_queries);
  bias_queries(query, dim, head->position_bias, count, width, scratch->position_queries);
  head->kernels->matmul(&(tfc_f32_matmul_arguments){
      .m = count,
      .k = width,
      .n = key_columns,
      .a = scratch->content_queries,
      .a_stride = width,
      .b = head->keys,
      .b_stride = key_columns,
      .c = scratch->content_scores,
      .c_stride = key_columns,
  });
  /* Of the distances only those between these queries and their keys. */
  const int64_t low = tfc_max(0, head->nearest - first - count + 1) / TFC_COLUMN_MULTIPLE * TFC_COLUMN_MULTIPLE;
  const int64_t high = tfc_padded_columns(tfc_max(low, tfc_min(head->distances, head->nearest - first + head->span)));
  head->kernels->matmul(&(tfc_f32_matmul_arguments){
      .m = count,
      .k = width,
      .n = high - low,
      .a = scratch->position_queries,
      .a_stride = width,
      .b = head->positions + low,
      .b_stride = position_columns,
      .c = scratch->position_scores + low,
      .c_stride = position_columns,
  });
}

/* Adds the values of the slots from `slot` on, weighted with `scores` [count, tfc_padded_lanes(span)], to y. */
static void add_values(const tfc_head* head, int64_t count, int64_t slot, int64_t slots, const float* scores,
                       bool accumulate, float* y) {
  head->kernels->matmul(&(tfc_f32_matmul_arguments){
      .m = count,
      .k = slots,
      .n = head->width,
      .a = scores,
      .a_stride = tfc_padded_lanes(head->span),
      .b = head->values + slot * head->dim,
      .b_stride = head->dim,
      .c = y,
      .c_stride = head->dim,
      .accumulate = accumulate,
  });
}

/* Computes y of queries `first` to `first + count`, at most QUERIES. */
static void attend_queries(const tfc_head* head, int64_t first, int64_t count, const tfc_head_scratch* scratch) {
  const int64_t width = head->width, dim = head->dim, span = head->span, score_stride = tfc_padded_lanes(span);
  const int64_t key_columns = tfc_padded_columns(head->slots), position_columns = tfc_padded_columns(head->distances);
  float* y = head->y + first * dim;
  float sums[QUERIES];
  compute_scores(head, first, count, scratch);
  for (int64_t r = 0; r < count; ++r) {
    float* scores = scratch->scores + r * score_stride;
    const float* position_scores = scratch->position_scores + r * position_columns;
    unroll_ring(scratch->content_scores + r * key_columns, head->slots, head->start, span, scores);
    position_scores = key_position_scores(head, position_scores, head->nearest - first - r, scratch->band);
    const float* mask = head->mask + (first + r) * head->mask_stride;
    sums[r] = head->kernels->exp_scores(position_scores, mask, span, scores);
  }
  const int64_t to_end = tfc_min(span, head->slots - head->start);
  add_values(head, count, head->start, to_end, scratch->scores, false, y);
  if (to_end < span) add_values(head, count, 0, span - to_end, scratch->scores + to_end, true, y);
  for (int64_t r = 0; r < count; ++r) {
    const float inverse = 1.0f / sums[r];
    for (int64_t c = 0; c < width; ++c) y[r * dim + c] *= inverse;
  }
}

static void attend(const tfc_head* head, const tfc_head_scratch* scratch) {
  for (int64_t first = 0; first < head->queries; first += QUERIES) {
    attend_queries(head, first, tfc_min(QUERIES, head->queries - first), scratch);
  }
}

/* [count, width], rows `dim` apart -> [width, count], padded rows. */
static void transpose(const float* restrict source, int64_t count, int64_t width, int64_t dim, float* restrict target) {
  const int64_t columns = tfc_padded_columns(count);
  for (int64_t first = 0; first < columns; first += TFC_COLUMN_MULTIPLE) {
    const int64_t filled = tfc_max(0, tfc_min(TFC_COLUMN_MULTIPLE, count - first));
    for (int64_t d = 0; d < width; ++d) {
      float* row = target + d * columns + first;
      for (int64_t j = 0; j < filled; ++j) row[j] = source[(first + j) * dim + d];
      for (int64_t j = filled; j < TFC_COLUMN_MULTIPLE; ++j) row[j] = 0.0f;
    }
  }
}

typedef struct {
  const tfc_attention_kernels* kernels;
  const tfc_attention_attributes* attributes;
  const tfc_attention_biases* biases;
  const tfc_attention_utterance* utterance; /* or NULL, */
  const tfc_attention_step_inputs* step;    /* and this */
  float *scratch, *y;
} tfc_job;

/* The members of a head that utterances and steps set alike; `index` counts the heads of the whole batch. */
static tfc_head common_head(const tfc_job* job, int64_t index, int64_t frames, const float* query) {
  const int64_t width = job->attributes->width, heads = job->attributes->heads, dim = heads * width;
  const int64_t at = index / heads * frames * dim + index % heads * width;
  return (tfc_head){
      .kernels = job->kernels,
      .width = width,
      .dim = dim,
      .queries = frames,
      .query = query + at,
      .content_bias = job->biases->content_bias + index % heads * width,
      .position_bias = job->biases->position_bias + index % heads * width,
      .y = job->y + at,
  };
}

static tfc_head_shape utterance_shape(const tfc_attention_attributes* attributes, int64_t frames) {
  return (tfc_head_shape){attributes->width, frames, 2 * frames - 1, frames, true};
}

static tfc_head_shape step_shape(const tfc_attention_attributes* attributes, int64_t span, int64_t capacity) {
  return (tfc_head_shape){attributes->width, capacity, attributes->distances, span, false};
}

static void attend_utterance_head(void* context, int index) {
  const tfc_job* job = context;
  const tfc_attention_utterance* input = job->utterance;
  const int64_t frames = input->frames, distances = 2 * frames - 1;
  tfc_head head = common_head(job, index, frames, input->query);
  const int64_t element = index / job->attributes->heads, at = head.query - input->query;
  const int64_t column = index % job->attributes->heads * head.width;
  const tfc_head_shape shape = utterance_shape(job->attributes, frames);
  tfc_head_scratch scratch;
  const int64_t size = divide_scratch(&shape, NULL, &scratch);
  divide_scratch(&shape, job->scratch + index * size, &scratch);
  transpose(input->key + at, frames, head.width, head.dim, scratch.keys);
  transpose(input->position + column, distances, head.width, head.dim, scratch.positions);
  head.keys = scratch.keys;
  head.slots = head.span = frames;
  head.values = input->value + at;
  head.positions = scratch.positions;
  head.distances = distances;
  head.nearest = frames - 1;
  head.mask = input->mask + element * input->mask_rows * frames;
  head.mask_stride = input->mask_rows == 1 ? 0 : frames;
  attend(&head, &scratch);
}

/* A head's part of the states of a step. */
typedef struct {
  float* keys;   /* [width, capacity], padded rows */
  float* values; /* [capacity, dim] */
  int64_t slot;  /* of the first new frame */
} tfc_head_state;

/* Stores the keys and values of the new frames in their slots; `at` is the first channel of the head. */
static void store_frames(const tfc_attention_step_inputs* input, const tfc_head* head, int64_t element, int64_t at,
                         const tfc_head_state* state) {
  const int64_t columns = tfc_padded_columns(input->capacity), first = element * input->frames * head->dim + at;
  int64_t slot = state->slot;
  for (int64_t t = 0; t < input->frames; ++t, slot = (slot + 1) % input->capacity) {
    const float *key = input->key + first + t * head->dim, *value = input->value + first + t * head->dim;
    for (int64_t d = 0; d < head->width; ++d) state->keys[d * columns + slot] = key[d];
    memcpy(state->values + slot * head->dim, value, (size_t)head->width * sizeof *value);
  }
}

static void attend_step_head(void* context, int index) {
  const tfc_job* job = context;
  const tfc_attention_step_inputs* input = job->step;
  const int64_t capacity = input->capacity, distances = job->attributes->distances;
  tfc_head head = common_head(job, index, input->frames, input->query);
  const int64_t element = index / job->attributes->heads, at = index % job->attributes->heads * head.width;
  const tfc_head_state state = {
      .keys = input->keys + (element * head.dim + at) * tfc_padded_columns(capacity),
      .values = input->values + element * capacity * head.dim + at,
      .slot = (input->first % capacity + capacity) % capacity,
  };
  store_frames(input, &head, element, at, &state);
  const tfc_head_shape shape = step_shape(job->attributes, input->span, capacity);
  tfc_head_scratch scratch;
  const int64_t size = divide_scratch(&shape, NULL, &scratch);
  divide_scratch(&shape, job->scratch + index * size, &scratch);
  head.keys = state.keys;
  head.slots = capacity;
  head.start = (state.slot + input->frames) % capacity; /* the oldest frame */
  head.span = input->span;
  head.values = state.values;
  head.positions = input->position + at * tfc_padded_columns(distances);
  head.distances = distances;
  head.mask = input->mask + element * input->frames * input->span;
  head.mask_stride = input->span;
  attend(&head, &scratch);
}

static int64_t scratch_bytes(const tfc_attention_attributes* attributes, int64_t batch, const tfc_head_shape* shape) {
  tfc_head_scratch scratch;
  int64_t size = divide_scratch(shape, NULL, &scratch);
  if (__builtin_mul_overflow(size, batch * attributes->heads * (int64_t)sizeof(float), &size)) return INT64_MAX;
  return size;
}

int64_t tfc_attention_utterance_scratch_bytes(const tfc_attention_attributes* attributes, int64_t batch,
                                              int64_t frames) {
  const tfc_head_shape shape = utterance_shape(attributes, frames);
  return scratch_bytes(attributes, batch, &shape);
}

int64_t tfc_attention_step_scratch_bytes(const tfc_attention_attributes* attributes, int64_t batch, int64_t span,
                                         int64_t capacity) {
  const tfc_head_shape shape = step_shape(attributes, span, capacity);
  return scratch_bytes(attributes, batch, &shape);
}

void tfc_attention_utterance_run(const tfc_context* context, const tfc_attention_attributes* attributes,
                                 const tfc_attention_biases* biases, const tfc_attention_utterance* utterance,
                                 void* scratch, float* y) {
  assert(utterance->batch >= 0 && utterance->frames >= 0);
  assert(utterance->mask_rows == 1 || utterance->mask_rows == utterance->frames);
  assert((uintptr_t)scratch % sizeof(float) == 0);
  tfc_job job = {tfc_attention_of(context->kernels), attributes, biases, utterance, NULL, scratch, y};
  tfc_thread_pool_run(context->pool, (int)(utterance->batch * attributes->heads), attend_utterance_head, &job);
}

void tfc_attention_step_run(const tfc_context* context, const tfc_attention_attributes* attributes,
                            const tfc_attention_biases* biases, const tfc_attention_step_inputs* step, void* scratch,
                            float* y) {
  assert(step->batch >= 0 && step->frames >= 0 && step->frames <= step->capacity);
  assert(step->span > 0 && step->span <= step->capacity && attributes->distances > 0);
  assert((uintptr_t)scratch % sizeof(float) == 0);
  tfc_job job = {tfc_attention_of(context->kernels), attributes, biases, NULL, step, scratch, y};
  tfc_thread_pool_run(context->pool, (int)(step->batch * attributes->heads), attend_step_head, &job);
}
