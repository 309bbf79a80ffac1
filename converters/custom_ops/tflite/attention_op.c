/* The custom operations TfconformerAttention and TfconformerAttentionStep.
 *
 * Inputs, by the names that files give them: query, key and value FLOAT32 [batch, frames, dim];
 *   of whole utterances: position FLOAT32 [1, 2 frames - 1, dim]; mask FLOAT32 [batch, 1, frames or 1, frames];
 *   of a step: mask FLOAT32 [batch, 1, frames, span]; first INT32 [1], the index of its first key; the states keys
 *   FLOAT32 [batch, dim, padded capacity] and values FLOAT32 [batch, capacity, dim], which are written;
 * then constants: params (op attributes) INT32 [4]; content_bias and position_bias FLOAT32 [heads, width]; and of a
 * step positions (projected positions) FLOAT32 [dim, padded distances]. "Padded" means the next multiple of
 * TFC_COLUMN_MULTIPLE. Output: FLOAT32 [batch, frames, dim]. Their contents are described in ../format/attention.h and
 * ../include/tfconformer_ops.h. */
#include "node.h"

enum { QUERY, KEY, VALUE, POSITION, MASK, UTTERANCE_VARIABLES };
enum { STEP_MASK = POSITION, FIRST, KEYS, VALUES, STEP_VARIABLES };
enum { ATTRIBUTES, CONTENT_BIAS, POSITION_BIAS, POSITIONS }; /* after the variables */

static TfLiteStatus read_constants(TfLiteContext* context, tfc_node* node) {
  const tfc_expected numbers = {"params", kTfLiteInt32, sizeof(int32_t), 1, {TFC_ATTENTION_ATTRIBUTES}};
  const int first = node->operation->variables;
  tfc_attention_node* layer = &node->attention;
  const int32_t* params = tfc_node_constant(context, node, first + ATTRIBUTES, numbers);
  if (params == NULL) return kTfLiteError;
  char sentence[TFC_MESSAGE_SIZE];
  if (!tfc_attention_parse(params, &layer->attributes, sentence)) return tfc_node_fail(context, node, "%s", sentence);
  const tfc_attention_attributes* attributes = &layer->attributes;
  const bool is_step = first == STEP_VARIABLES;
  if (is_step != (attributes->distances > 0)) {
    return tfc_node_fail(context, node, "params: distances is %d, expected %s", (int)attributes->distances,
                         is_step ? "at least 1" : "0");
  }
  tfc_expected bias = {"content_bias", kTfLiteFloat32, sizeof(float), 2, {attributes->heads, attributes->width}};
  layer->biases.content_bias = tfc_node_constant(context, node, first + CONTENT_BIAS, bias);
  if (layer->biases.content_bias == NULL) return kTfLiteError;
  bias.name = "position_bias";
  layer->biases.position_bias = tfc_node_constant(context, node, first + POSITION_BIAS, bias);
  if (layer->biases.position_bias == NULL) return kTfLiteError;
  if (!is_step) return kTfLiteOk;
  const int64_t dim = (int64_t)attributes->heads * attributes->width;
  const tfc_expected positions = {
      "positions", kTfLiteFloat32, sizeof(float), 2, {dim, tfc_padded_columns(attributes->distances)}};
  layer->position = tfc_node_constant(context, node, first + POSITIONS, positions);
  return layer->position == NULL ? kTfLiteError : kTfLiteOk;
}

/* Checks the inputs of both operations: query, key and value of one shape. */
static TfLiteStatus prepare_queries(TfLiteContext* context, tfc_node* node) {
  tfc_attention_node* layer = &node->attention;
  const TfLiteIntArray* dims = context->tensors[node->inputs->data[QUERY]].dims;
  if (dims->size != 3) return tfc_node_fail(context, node, "query has %d dimensions, expected 3", dims->size);
  const int64_t dim = (int64_t)layer->attributes.heads * layer->attributes.width;
  layer->batch = dims->data[0];
  layer->frames = dims->data[1];
  tfc_expected frames = {"query", kTfLiteFloat32, sizeof(float), 3, {layer->batch, layer->frames, dim}};
  if (layer->batch < 0 || layer->frames < 0 || layer->batch * layer->attributes.heads > INT32_MAX) {
    return tfc_node_fail(context, node, "query has %lld times %lld frames", (long long)layer->batch,
                         (long long)layer->frames);
  }
  if (tfc_node_check_variable(context, node, QUERY, frames, false)) return kTfLiteError;
  frames.name = "key";
  if (tfc_node_check_variable(context, node, KEY, frames, false)) return kTfLiteError;
  frames.name = "value";
  if (tfc_node_check_variable(context, node, VALUE, frames, false)) return kTfLiteError;
  return tfc_node_resize_output(context, node, 0, NULL);
}

/* The dimension of an input, -1 if it has not so many. */
static int64_t dimension(const TfLiteContext* context, const tfc_node* node, int input, int index) {
  const TfLiteIntArray* dims = context->tensors[node->inputs->data[input]].dims;
  return index < dims->size ? dims->data[index] : -1;
}

static TfLiteStatus prepare_utterance(TfLiteContext* context, tfc_node* node) {
  tfc_attention_node* layer = &node->attention;
  if (prepare_queries(context, node)) return kTfLiteError;
  const int64_t batch = layer->batch, frames = layer->frames, distances = frames == 0 ? 0 : 2 * frames - 1;
  const int64_t dim = (int64_t)layer->attributes.heads * layer->attributes.width;
  layer->mask_rows = dimension(context, node, MASK, 2) == 1 ? 1 : frames;
  const tfc_expected position = {"position", kTfLiteFloat32, sizeof(float), 3, {1, distances, dim}};
  const tfc_expected mask = {"mask", kTfLiteFloat32, sizeof(float), 4, {batch, 1, layer->mask_rows, frames}};
  if (tfc_node_check_variable(context, node, POSITION, position, false)) return kTfLiteError;
  return tfc_node_check_variable(context, node, MASK, mask, false);
}

static TfLiteStatus prepare_step(TfLiteContext* context, tfc_node* node) {
  tfc_attention_node* layer = &node->attention;
  if (prepare_queries(context, node)) return kTfLiteError;
  const int64_t batch = layer->batch, dim = (int64_t)layer->attributes.heads * layer->attributes.width;
  layer->span = dimension(context, node, STEP_MASK, 3);
  layer->capacity = dimension(context, node, VALUES, 1);
  if (layer->span < 1 || layer->span > layer->capacity || layer->frames > layer->capacity) {
    return tfc_node_fail(context, node, "%lld frames look at %lld, of which %lld are kept", (long long)layer->frames,
                         (long long)layer->span, (long long)layer->capacity);
  }
  const int64_t columns = tfc_padded_columns(layer->capacity);
  const tfc_expected mask = {"mask", kTfLiteFloat32, sizeof(float), 4, {batch, 1, layer->frames, layer->span}};
  const tfc_expected first = {"first", kTfLiteInt32, sizeof(int32_t), 1, {1}};
  const tfc_expected keys = {"keys", kTfLiteFloat32, sizeof(float), 3, {batch, dim, columns}};
  const tfc_expected values = {"values", kTfLiteFloat32, sizeof(float), 3, {batch, layer->capacity, dim}};
  if (tfc_node_check_variable(context, node, STEP_MASK, mask, false)) return kTfLiteError;
  if (tfc_node_check_variable(context, node, FIRST, first, false)) return kTfLiteError;
  if (tfc_node_check_variable(context, node, KEYS, keys, true)) return kTfLiteError;
  return tfc_node_check_variable(context, node, VALUES, values, true);
}

static int64_t utterance_scratch_bytes(const tfc_node* node) {
  const tfc_attention_node* layer = &node->attention;
  if (node->y_bytes == 0) return 0;
  return tfc_attention_utterance_scratch_bytes(&layer->attributes, layer->batch, layer->frames);
}

static int64_t step_scratch_bytes(const tfc_node* node) {
  const tfc_attention_node* layer = &node->attention;
  if (node->y_bytes == 0) return 0;
  return tfc_attention_step_scratch_bytes(&layer->attributes, layer->batch, layer->span, layer->capacity);
}

static void run_utterance(const tfc_node* node, void* const* inputs, void* scratch, float* y) {
  const tfc_attention_node* layer = &node->attention;
  const tfc_attention_utterance utterance = {
      .batch = layer->batch,
      .frames = layer->frames,
      .query = inputs[QUERY],
      .key = inputs[KEY],
      .value = inputs[VALUE],
      .position = inputs[POSITION],
      .mask = inputs[MASK],
      .mask_rows = layer->mask_rows,
  };
  const tfc_context context = {node->kernels, *node->pool};
  tfc_attention_utterance_run(&context, &layer->attributes, &layer->biases, &utterance, scratch, y);
}

static void run_step(const tfc_node* node, void* const* inputs, void* scratch, float* y) {
  const tfc_attention_node* layer = &node->attention;
  const tfc_attention_step_inputs step = {
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
  const tfc_context context = {node->kernels, *node->pool};
  tfc_attention_step_run(&context, &layer->attributes, &layer->biases, &step, scratch, y);
}

const tfc_operation tfc_attention_operation = {
    .name = "TfconformerAttention",
    .min_inputs = UTTERANCE_VARIABLES + POSITIONS,
    .max_inputs = UTTERANCE_VARIABLES + POSITIONS,
    .variables = UTTERANCE_VARIABLES,
    .read_constants = read_constants,
    .prepare = prepare_utterance,
    .scratch_bytes = utterance_scratch_bytes,
    .run = run_utterance,
};

const tfc_operation tfc_attention_step_operation = {
    .name = "TfconformerAttentionStep",
    .min_inputs = STEP_VARIABLES + POSITIONS + 1,
    .max_inputs = STEP_VARIABLES + POSITIONS + 1,
    .variables = STEP_VARIABLES,
    .read_constants = read_constants,
    .prepare = prepare_step,
    .scratch_bytes = step_scratch_bytes,
    .run = run_step,
};
