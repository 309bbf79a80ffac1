/* Attention head by head: a few queries at a time, by matrices whose columns are keys, or distances.
 *
 * The scores of all keys, and of all distances that the queries need, are a product each, and so is the sum of values.
 * A stream keeps its keys in columns; those of an utterance are turned around first, like the projected positions. */
#include "attention.h"

#include <math.h>

#include "../kernels/loops.h"

enum { QUERIES = 8 }; /* at a time */

/* One head of one of the batch. Rows of query, values and y are `dim` apart. */
typedef struct {
  const Kernel* kernel;
  int64_t width, dim, queries, span;
  const float *query, *content_bias, *position_bias;
  const float* keys;   /* [width, places] in columns */
  const float* values; /* [places, dim] */
  int64_t places, start; /* the first key is in place `start`, and behind the last place is place 0 */
  const float* positions; /* [width, distances] in columns */
  int64_t distances, nearest; /* the first key of query i is at distance number nearest - i */
  const float* mask; /* rows are mask_stride apart */
  int64_t mask_stride;
  float* y;
} Head;

/* The scratch memory of a head. */
typedef struct {
  float *content_queries, *position_queries; /* [QUERIES, width] */
  float* content;                            /* [QUERIES, places] in columns: scores */
  float* position;                           /* [QUERIES, distances] in columns: likewise */
  float* scores;                             /* [QUERIES, whole_lanes(span)] */
  float* band;                               /* [span]: position scores of a query that looks beyond the distances */
  float *keys, *positions;                   /* of an utterance: as in `Head` */
} Scratch;

/* Divides the memory from `memory` on, unless that is NULL, and returns its size in floats. */
static int64_t divide_scratch(int64_t width, int64_t places, int64_t distances, int64_t span, bool utterance,
                              float* memory, Scratch* scratch) {
  const int64_t key_columns = attention_columns(places), position_columns = attention_columns(distances);
  const struct {
    float** part;
    int64_t size;
  } parts[] = {
      {&scratch->content_queries, QUERIES * width},
      {&scratch->position_queries, QUERIES * width},
      {&scratch->content, QUERIES * key_columns},
      {&scratch->position, QUERIES * position_columns},
      {&scratch->scores, QUERIES * whole_lanes(span)},
      {&scratch->band, span},
      {&scratch->keys, utterance ? width * key_columns : 0},
      {&scratch->positions, utterance ? width * position_columns : 0},
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

/* Copies `count` scores from a ring of `places`. */
static void unroll_ring(const float* ring, int64_t places, int64_t start, int64_t count, float* target) {
  const int64_t before = smaller(count, places - start);
  memcpy(target, ring + start, (size_t)before * sizeof *target);
  memcpy(target + before, ring, (size_t)(count - before) * sizeof *target);
}

/* The position scores of a query's keys, the first of which is at distance number `first`; zeros beyond the distances. */
static const float* key_positions(const Head* head, const float* position, int64_t first, float* band) {
  if (first >= 0 && first + head->span <= head->distances) return position + first;
  for (int64_t j = 0; j < head->span; ++j) {
    band[j] = first + j >= 0 && first + j < head->distances ? position[first + j] : 0.0f;
  }
  return band;
}

/* Queries `first` to `first + count`, at most QUERIES. */
static void attend_queries(const Head* head, int64_t first, int64_t count, const Scratch* scratch) {
  const int64_t width = head->width, dim = head->dim, span = head->span, score_stride = whole_lanes(span);
  const int64_t key_columns = attention_columns(head->places), position_columns = attention_columns(head->distances);
  const Kernel* kernel = head->kernel;
  const float* query = head->query + first * dim;
  float* y = head->y + first * dim;
  bias_queries(query, dim, head->content_bias, count, width, scratch->content_queries);
  bias_queries(query, dim, head->position_bias, count, width, scratch->position_queries);
  kernel->multiply_matrix(count, width, key_columns, scratch->content_queries, width, head->keys, key_columns, false,
                          scratch->content, key_columns);
  const int64_t low = larger(0, head->nearest - first - count + 1) / COLUMNS * COLUMNS;
  const int64_t high = attention_columns(larger(low, smaller(head->distances, head->nearest - first + span)));
  kernel->multiply_matrix(count, width, high - low, scratch->position_queries, width, head->positions + low,
                          position_columns, false, scratch->position + low, position_columns);
  float sums[QUERIES];
  for (int64_t r = 0; r < count; ++r) {
    float* scores = scratch->scores + r * score_stride;
    const float* position = scratch->position + r * position_columns;
    unroll_ring(scratch->content + r * key_columns, head->places, head->start, span, scores);
    sums[r] = kernel->exponentiate_scores(key_positions(head, position, head->nearest - first - r, scratch->band),
                                          head->mask + (first + r) * head->mask_stride, span, scores);
  }
  const int64_t before = smaller(span, head->places - head->start);
  kernel->multiply_matrix(count, before, width, scratch->scores, score_stride, head->values + head->start * dim, dim,
                          false, y, dim);
  if (before < span) {
    kernel->multiply_matrix(count, span - before, width, scratch->scores + before, score_stride, head->values, dim,
                            true, y, dim);
  }
  for (int64_t r = 0; r < count; ++r) {
    const float inverse = 1.0f / sums[r];
    for (int64_t c = 0; c < width; ++c) y[r * dim + c] *= inverse;
  }
}

static void attend(const Head* head, const Scratch* scratch) {
  for (int64_t first = 0; first < head->queries; first += QUERIES) {
    attend_queries(head, first, smaller(QUERIES, head->queries - first), scratch);
  }
}

/* [count, width], rows `dim` apart -> [width, count] in columns. */
static void turn_around(const float* restrict source, int64_t count, int64_t width, int64_t dim,
                        float* restrict target) {
  const int64_t columns = attention_columns(count);
  for (int64_t first = 0; first < columns; first += COLUMNS) {
    const int64_t filled = larger(0, smaller(COLUMNS, count - first));
    for (int64_t d = 0; d < width; ++d) {
      float* row = target + d * columns + first;
      for (int64_t j = 0; j < filled; ++j) row[j] = source[(first + j) * dim + d];
      for (int64_t j = filled; j < COLUMNS; ++j) row[j] = 0.0f;
    }
  }
}

typedef struct {
  const Kernel* kernel;
  const AttentionAttributes* attributes;
  const AttentionBiases* biases;
  const void* input; /* an AttentionUtterance or AttentionStep */
  float *scratch, *y;
} Work;

/* What heads of utterances and steps have in common; `head` counts the heads of the whole batch. */
static Head common_head(const Work* work, int64_t head, int64_t frames, const float* query) {
  const int64_t width = work->attributes->width, heads = work->attributes->heads, dim = heads * width;
  const int64_t at = head / heads * frames * dim + head % heads * width;
  return (Head){
      .kernel = work->kernel,
      .width = width,
      .dim = dim,
      .queries = frames,
      .query = query + at,
      .content_bias = work->biases->content_bias + head % heads * width,
      .position_bias = work->biases->position_bias + head % heads * width,
      .y = work->y + at,
  };
}

static void attend_utterance_head(void* context, int index) {
  const Work* work = context;
  const AttentionUtterance* input = work->input;
  const int64_t frames = input->frames, distances = 2 * frames - 1;
  Head head = common_head(work, index, frames, input->query);
  const int64_t one = index / work->attributes->heads, at = head.query - input->query;
  const int64_t column = index % work->attributes->heads * head.width;
  Scratch scratch;
  const int64_t size = divide_scratch(head.width, frames, distances, frames, true, NULL, &scratch);
  divide_scratch(head.width, frames, distances, frames, true, work->scratch + index * size, &scratch);
  turn_around(input->key + at, frames, head.width, head.dim, scratch.keys);
  turn_around(input->position + column, distances, head.width, head.dim, scratch.positions);
  head.keys = scratch.keys;
  head.places = head.span = frames;
  head.values = input->value + at;
  head.positions = scratch.positions;
  head.distances = distances;
  head.nearest = frames - 1;
  head.mask = input->mask + one * input->mask_rows * frames;
  head.mask_stride = input->mask_rows == 1 ? 0 : frames;
  attend(&head, &scratch);
}

/* Puts the keys and values of the new frames to their places. */
static void remember(const AttentionStep* input, const Head* head, int64_t one, int64_t at, int64_t place, float* keys,
                     float* values) {
  const int64_t columns = attention_columns(input->capacity), first = one * input->frames * head->dim + at;
  for (int64_t t = 0; t < input->frames; ++t, place = (place + 1) % input->capacity) {
    const float *key = input->key + first + t * head->dim, *value = input->value + first + t * head->dim;
    for (int64_t d = 0; d < head->width; ++d) keys[d * columns + place] = key[d];
    memcpy(values + place * head->dim, value, (size_t)head->width * sizeof *value);
  }
}

static void attend_step_head(void* context, int index) {
  const Work* work = context;
  const AttentionStep* input = work->input;
  const int64_t capacity = input->capacity, distances = work->attributes->distances;
  Head head = common_head(work, index, input->frames, input->query);
  const int64_t one = index / work->attributes->heads, at = index % work->attributes->heads * head.width;
  const int64_t place = (input->first % capacity + capacity) % capacity;
  float* keys = input->keys + (one * head.dim + at) * attention_columns(capacity);
  float* values = input->values + one * capacity * head.dim + at;
  remember(input, &head, one, at, place, keys, values);
  Scratch scratch;
  const int64_t size = divide_scratch(head.width, capacity, distances, input->span, false, NULL, &scratch);
  divide_scratch(head.width, capacity, distances, input->span, false, work->scratch + index * size, &scratch);
  head.keys = keys;
  head.places = capacity;
  head.start = (place + input->frames) % capacity; /* the oldest */
  head.span = input->span;
  head.values = values;
  head.positions = input->position + at * attention_columns(distances);
  head.distances = distances;
  head.mask = input->mask + one * input->frames * input->span;
  head.mask_stride = input->span;
  attend(&head, &scratch);
}

static int64_t scratch_bytes(const AttentionAttributes* attributes, int64_t batch, int64_t places, int64_t distances,
                             int64_t span, bool utterance) {
  Scratch scratch;
  int64_t size = divide_scratch(attributes->width, places, distances, span, utterance, NULL, &scratch);
  if (__builtin_mul_overflow(size, batch * attributes->heads * (int64_t)sizeof(float), &size)) return INT64_MAX;
  return size;
}

int64_t attention_utterance_scratch_bytes(const AttentionAttributes* attributes, int64_t batch, int64_t frames) {
  return scratch_bytes(attributes, batch, frames, 2 * frames - 1, frames, true);
}

int64_t attention_step_scratch_bytes(const AttentionAttributes* attributes, int64_t batch, int64_t span,
                                     int64_t capacity) {
  return scratch_bytes(attributes, batch, capacity, attributes->distances, span, false);
}

void attention_utterance(const Kernel* kernel, ThreadPool* pool, const AttentionAttributes* attributes,
                         const AttentionBiases* biases, const AttentionUtterance* utterance, void* scratch, float* y) {
  Work work = {kernel, attributes, biases, utterance, scratch, y};
  thread_pool_run(pool, (int)(utterance->batch * attributes->heads), attend_utterance_head, &work);
}

void attention_step(const Kernel* kernel, ThreadPool* pool, const AttentionAttributes* attributes,
                    const AttentionBiases* biases, const AttentionStep* step, void* scratch, float* y) {
  Work work = {kernel, attributes, biases, step, scratch, y};
  thread_pool_run(pool, (int)(step->batch * attributes->heads), attend_step_head, &work);
}
