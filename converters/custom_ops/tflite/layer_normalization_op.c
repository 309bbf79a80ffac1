/* The custom operation TfconformerLayerNormalization.
 *
 * Inputs: x FLOAT32 [..., channels]; gain FLOAT32 [channels]; params INT32 [2]; epsilon FLOAT32 [1]; bias FLOAT32
 * [channels]. All but x are constants. Output: FLOAT32 as x.
 * What they hold is described in ../format/layer_normalization.h. */
#include "node.h"

enum { X, GAIN, PARAMS, EPSILON, BIAS, INPUTS };

static TfLiteStatus read_constants(TfLiteContext* context, Node* node) {
  LayerNormalizationNode* layer = &node->layer_normalization;
  const Expected numbers = {"params", kTfLiteInt32, sizeof(int32_t), 1, {LAYER_NORMALIZATION_PARAMS}};
  const Expected one = {"epsilon", kTfLiteFloat32, sizeof(float), 1, {1}};
  const int32_t* params = node_constant(context, node, PARAMS, numbers);
  if (params == NULL) return kTfLiteError;
  const float* epsilon = node_constant(context, node, EPSILON, one);
  if (epsilon == NULL) return kTfLiteError;
  char sentence[MESSAGE_SIZE];
  if (!layer_normalization_parse(params, *epsilon, &layer->attributes, sentence)) {
    return node_fail(context, node, "%s", sentence);
  }
  const Expected gain = {"gain", kTfLiteFloat32, sizeof(float), 1, {layer->attributes.channels}};
  const Expected bias = {"bias", kTfLiteFloat32, sizeof(float), 1, {layer->attributes.channels}};
  if ((layer->gain = node_constant(context, node, GAIN, gain)) == NULL) return kTfLiteError;
  return (layer->bias = node_constant(context, node, BIAS, bias)) == NULL ? kTfLiteError : kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext* context, Node* node) {
  LayerNormalizationNode* layer = &node->layer_normalization;
  if (node_count_vectors(context, node, layer->attributes.channels, &layer->rows)) return kTfLiteError;
  if (layer->rows > INT32_MAX) return node_fail(context, node, "%lld rows are too many", (long long)layer->rows);
  return node_resize_output(context, node, 0, NULL);
}

static void run(const Node* node, void* const* inputs, void* scratch, float* y) {
  (void)scratch;
  const LayerNormalizationNode* layer = &node->layer_normalization;
  layer_normalization(node->kernel, *node->pool, &layer->attributes, layer->gain, layer->bias, layer->rows, inputs[X], y);
}

const Operation layer_normalization_operation = {
    .name = "TfconformerLayerNormalization",
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .variables = 1,
    .read_constants = read_constants,
    .prepare = prepare,
    .run = run,
};
