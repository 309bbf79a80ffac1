/* The custom operations TfconformerAttention and TfconformerAttentionStep.
 *
 * Inputs: query, key and value FLOAT32 [batch, frames, dim];
 *   of whole utterances: position FLOAT32 [1, 2 frames - 1, dim]; mask FLOAT32 [batch, 1, frames or 1, frames];
 *   of a step: mask FLOAT32 [batch, 1, frames, span]; first INT32 [1], the number of its first key; the states keys
 *   FLOAT32 [batch, dim, capacity in columns] and values FLOAT32 [batch, capacity, dim], which are written;
 * then constants: params INT32 [4]; content_bias and position_bias FLOAT32 [heads, width]; and of a step positions
 * FLOAT32 [dim, distances in columns]. "In columns" means the next multiple of COLUMNS. Output: FLOAT32 [batch, frames,
 * dim]. What they hold is described in ../format/attention.h and ../ops/attention.h. */
#include "node.h"

enum { QUERY, KEY, VALUE, POSITION, MASK, UTTERANCE_VARIABLES };
enum { STEP_MASK = POSITION, FIRST, KEYS, VALUES, STEP_VARIABLES };
enum { PARAMS, CONTENT_BIAS, POSITION_BIAS, POSITIONS }; /* behind the variables */

static TfLiteStatus read_constants(TfLiteContext* context, Node* node) {
  const Expected numbers = {"params", kTfLiteInt32, sizeof(int32_t), 1, {ATTENTION_PARAMS}};
  const int first = node->operation->variables;
  AttentionNode* layer = &node->attention;
  const int32_t* params = node_constant(context, node, first + PARAMS, numbers);
  if (params == NULL) return kTfLiteError;
  char sentence[MESSAGE_SIZE];
  if (!attention_parse(params, &layer->attributes, sentence)) return node_fail(context, node, "%s", sentence);
  const AttentionAttributes* attributes = &layer->attributes;
  const bool is_step = first == STEP_VARIABLES;
  if (is_step != (attributes->distances > 0)) {
    return node_fail(context, node, "params: distances is %d, expected %s", (int)attributes->distances,
                     is_step ? "at least 1" : "0");
  }
  Expected bias = {"content_bias", kTfLiteFloat32, sizeof(float), 2, {attributes->heads, attributes->width}};
  layer->biases.content_bias = node_constant(context, node, first + CONTENT_BIAS, bias);
  if (layer->biases.content_bias == NULL) return kTfLiteError;
  bias.name = "position_bias";
  layer->biases.position_bias = node_constant(context, node, first + POSITION_BIAS, bias);
  if (layer->biases.position_bias == NULL) return kTfLiteError;
  if (!is_step) return kTfLiteOk;
  const int64_t dim = (int64_t)attributes->heads * attributes->width;
  const Expected positions = {
      "positions", kTfLiteFloat32, sizeof(float), 2, {dim, attention_columns(attributes->distances)}};
  layer->position = node_constant(context, node, first + POSITIONS, positions);
  return layer->position == NULL ? kTfLiteError : kTfLiteOk;
}

/* Checks what both have: query, key and value of one shape. */
static TfLiteStatus prepare_queries(TfLiteContext* context, Node* node) {
  AttentionNode* layer = &node->attention;
  const TfLiteIntArray* dims = context->tensors[node->inputs->data[QUERY]].dims;
  if (dims->size != 3) return node_fail(context, node, "query has %d dimensions, expected 3", dims->size);
  const int64_t dim = (int64_t)layer->attributes.heads * layer->attributes.width;
  layer->batch = dims->data[0];
  layer->frames = dims->data[1];
  Expected frames = {"query", kTfLiteFloat32, sizeof(float), 3, {layer->batch, layer->frames, dim}};
  if (layer->batch < 0 || layer->frames < 0 || layer->batch * layer->attributes.heads > INT32_MAX) {
    return node_fail(context, node, "query has %lld times %lld frames", (long long)layer->batch,
                     (long long)layer->frames);
  }
  if (node_check_variable(context, node, QUERY, frames, false)) return kTfLiteError;
  frames.name = "key";
  if (node_check_variable(context, node, KEY, frames, false)) return kTfLiteError;
  frames.name = "value";
  if (node_check_variable(context, node, VALUE, frames, false)) return kTfLiteError;
  return node_resize_output(context, node, 0, NULL);
}

/* The dimension of an input, -1 if it has not so many. */
static int64_t dimension(const TfLiteContext* context, const Node* node, int input, int index) {
  const TfLiteIntArray* dims = context->tensors[node->inputs->data[input]].dims;
  return index < dims->size ? dims->data[index] : -1;
}

static TfLiteStatus prepare_utterance(TfLiteContext* context, Node* node) {
  AttentionNode* layer = &node->attention;
  if (prepare_queries(context, node)) return kTfLiteError;
  const int64_t batch = layer->batch, frames = layer->frames, distances = frames == 0 ? 0 : 2 * frames - 1;
  const int64_t dim = (int64_t)layer->attributes.heads * layer->attributes.width;
  layer->mask_rows = dimension(context, node, MASK, 2) == 1 ? 1 : frames;
  const Expected position = {"position", kTfLiteFloat32, sizeof(float), 3, {1, distances, dim}};
  const Expected mask = {"mask", kTfLiteFloat32, sizeof(float), 4, {batch, 1, layer->mask_rows, frames}};
  if (node_check_variable(context, node, POSITION, position, false)) return kTfLiteError;
  return node_check_variable(context, node, MASK, mask, false);
}

static TfLiteStatus prepare_step(TfLiteContext* context, Node* node) {
  AttentionNode* layer = &node->attention;
  if (prepare_queries(context, node)) return kTfLiteError;
  const int64_t batch = layer->batch, dim = (int64_t)layer->attributes.heads * layer->attributes.width;
  layer->span = dimension(context, node, STEP_MASK, 3);
  layer->capacity = dimension(context, node, VALUES, 1);
  if (layer->span < 1 || layer->span > layer->capacity || layer->frames > layer->capacity) {
    return node_fail(context, node, "%lld frames look at %lld, of which %lld are kept", (long long)layer->frames,
                     (long long)layer->span, (long long)layer->capacity);
  }
  const int64_t columns = attention_columns(layer->capacity);
  const Expected mask = {"mask", kTfLiteFloat32, sizeof(float), 4, {batch, 1, layer->frames, layer->span}};
  const Expected first = {"first", kTfLiteInt32, sizeof(int32_t), 1, {1}};
  const Expected keys = {"keys", kTfLiteFloat32, sizeof(float), 3, {batch, dim, columns}};
  const Expected values = {"values", kTfLiteFloat32, sizeof(float), 3, {batch, layer->capacity, dim}};
  if (node_check_variable(context, node, STEP_MASK, mask, false)) return kTfLiteError;
  if (node_check_variable(context, node, FIRST, first, false)) return kTfLiteError;
  if (node_check_variable(context, node, KEYS, keys, true)) return kTfLiteError;
  return node_check_variable(context, node, VALUES, values, true);
}

static int64_t utterance_scratch_bytes(const Node* node) {
  const AttentionNode* layer = &node->attention;
  if (node->y_bytes == 0) return 0;
  return attention_utterance_scratch_bytes(&layer->attributes, layer->batch, layer->frames);
}

static int64_t step_scratch_bytes(const Node* node) {
  const AttentionNode* layer = &node->attention;
  if (node->y_bytes == 0) return 0;
  return attention_step_scratch_bytes(&layer->attributes, layer->batch, layer->span, layer->capacity);
}

static void run_utterance(const Node* node, void* const* inputs, void* scratch, float* y) {
  const AttentionNode* layer = &node->attention;
  const AttentionUtterance utterance = {
      .batch = layer->batch,
      .frames = layer->frames,
      .query = inputs[QUERY],
      .key = inputs[KEY],
      .value = inputs[VALUE],
      .position = inputs[POSITION],
      .mask = inputs[MASK],
      .mask_rows = layer->mask_rows,
  };
  attention_utterance(node->kernel, *node->pool, &layer->attributes, &layer->biases, &utterance, scratch, y);
}

static void run_step(const Node* node, void* const* inputs, void* scratch, float* y) {
  const AttentionNode* layer = &node->attention;
  const AttentionStep step = {
      .batch = layer->batch,
      .frames = layer->frames,
      .span = layer->span,
      .capacity = layer->capacity,
      .query = inputs[QUERY],
      .key = inputs[KEY],
      .value = inputs[VALUE],
      .mask = inputs[STEP_MASK],
      .first = *(const int32_t*)inputs[FIRST],
      .keys = inputs[KEYS],
      .values = inputs[VALUES],
      .position = layer->position,
  };
  attention_step(node->kernel, *node->pool, &layer->attributes, &layer->biases, &step, scratch, y);
}

const Operation attention_operation = {
    .name = "TfconformerAttention",
    .min_inputs = UTTERANCE_VARIABLES + POSITIONS,
    .max_inputs = UTTERANCE_VARIABLES + POSITIONS,
    .variables = UTTERANCE_VARIABLES,
    .read_constants = read_constants,
    .prepare = prepare_utterance,
    .scratch_bytes = utterance_scratch_bytes,
    .run = run_utterance,
};

const Operation attention_step_operation = {
    .name = "TfconformerAttentionStep",
    .min_inputs = STEP_VARIABLES + POSITIONS + 1,
    .max_inputs = STEP_VARIABLES + POSITIONS + 1,
    .variables = STEP_VARIABLES,
    .read_constants = read_constants,
    .prepare = prepare_step,
    .scratch_bytes = step_scratch_bytes,
    .run = run_step,
};
