/* The custom operation TfconformerLayerNormalization.
 *
 * Inputs, by the names that files give them: x FLOAT32 [..., channels]; gain (gamma) FLOAT32 [channels]; params (op
 * attributes) INT32 [2]; epsilon FLOAT32 [1]; bias (beta) FLOAT32 [channels]. All but x are constants. Output: FLOAT32
 * in the shape of x. Their contents are described in ../format/layer_normalization.h. */
#include "node.h"

enum { X, GAMMA, ATTRIBUTES, EPSILON, BETA, INPUTS };

static TfLiteStatus read_constants(TfLiteContext* context, tfc_node* node) {
  tfc_layer_normalization_node* layer = &node->layer_normalization;
  const tfc_expected numbers = {"params", kTfLiteInt32, sizeof(int32_t), 1, {TFC_LAYER_NORMALIZATION_ATTRIBUTES}};
  const tfc_expected one = {"epsilon", kTfLiteFloat32, sizeof(float), 1, {1}};
  const int32_t* params = tfc_node_constant(context, node, ATTRIBUTES, numbers);
  if (params == NULL) return kTfLiteError;
  const float* epsilon = tfc_node_constant(context, node, EPSILON, one);
  if (epsilon == NULL) return kTfLiteError;
  char sentence[TFC_MESSAGE_SIZE];
  if (!tfc_layer_normalization_parse(params, *epsilon, &layer->attributes, sentence)) {
    return tfc_node_fail(context, node, "%s", sentence);
  }
  const tfc_expected gamma = {"gain", kTfLiteFloat32, sizeof(float), 1, {layer->attributes.channels}};
  const tfc_expected beta = {"bias", kTfLiteFloat32, sizeof(float), 1, {layer->attributes.channels}};
  if ((layer->weights.gamma = tfc_node_constant(context, node, GAMMA, gamma)) == NULL) return kTfLiteError;
  return (layer->weights.beta = tfc_node_constant(context, node, BETA, beta)) == NULL ? kTfLiteError : kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext* context, tfc_node* node) {
  tfc_layer_normalization_node* layer = &node->layer_normalization;
  if (tfc_node_count_vectors(context, node, layer->attributes.channels, &layer->m)) return kTfLiteError;
  if (layer->m > INT32_MAX) return tfc_node_fail(context, node, "%lld rows are too many", (long long)layer->m);
  return tfc_node_resize_output(context, node, 0, NULL);
}

static void run(const tfc_node* node, void* const* inputs, void* scratch, float* y) {
  (void)scratch;
  const tfc_layer_normalization_node* layer = &node->layer_normalization;
  const tfc_context compute = {node->kernels, *node->pool};
  tfc_layer_normalization_run(&compute, &layer->attributes, &layer->weights, layer->m, inputs[X], y);
}

const tfc_operation tfc_layer_normalization_operation = {
    .name = "TfconformerLayerNormalization",
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .variables = 1,
    .read_constants = read_constants,
    .prepare = prepare,
    .run = run,
};
