/* The custom operation TfconformerFullyConnected.
 *
 * Inputs, by the names that files give them: x FLOAT32 [..., K], or [images, height, width, channels] if the op
 * attributes have a window; codes UINT8 [panels, words, 64]; params (op attributes) INT32 [12]; scales FLOAT16 [panels,
 * blocks, 16]; offsets (zero points), the same, if symmetric is 0; positions (sparsity indices) UINT8 [panels, words,
 * 64] if sparse; bias FLOAT32 [N] if it has one. All but x are constants. Output: FLOAT32 [..., N], or [images, windows
 * down, windows across, N]. Their contents are described in ../format/fully_connected.h. */
#include "node.h"

enum { X, CODES, ATTRIBUTES, SCALES, MIN_INPUTS, MAX_INPUTS = MIN_INPUTS + 3 };

/* Points the weights at the tensors that the op attributes ask for. */
static bool read_weights(TfLiteContext* context, tfc_node* node) {
  const tfc_fully_connected_attributes* attributes = &node->fully_connected.attributes;
  const bool sparse = attributes->sparsity_n != TFC_SPARSITY_M;
  const int64_t panels = tfc_fully_connected_panels(attributes), n = attributes->n;
  const int64_t words = tfc_fully_connected_panel_words(attributes, attributes->weight_bits);
  tfc_expected codes = {"codes", kTfLiteUInt8, 1, 3, {panels, words, TFC_PANEL_WORD}};
  tfc_expected scales = {"scales", kTfLiteFloat16, sizeof(uint16_t), 3, {panels, attributes->blocks, TFC_NR}};
  tfc_expected bias = {"bias", kTfLiteFloat32, sizeof(float), 1, {n}};
  int next = MIN_INPUTS;
  tfc_fully_connected_weights* weights = &node->fully_connected.weights;
  *weights = (tfc_fully_connected_weights){0};
  if ((weights->codes = tfc_node_constant(context, node, CODES, codes)) == NULL) return false;
  if ((weights->scales = tfc_node_constant(context, node, SCALES, scales)) == NULL) return false;
  if (tfc_stores_zero_points(attributes)) {
    scales.name = "offsets";
    if ((weights->zero_points = tfc_node_constant(context, node, next++, scales)) == NULL) return false;
  }
  if (sparse) {
    codes.name = "positions";
    codes.shape[1] = tfc_fully_connected_panel_words(attributes, TFC_INDEX_BITS);
    if ((weights->indices = tfc_node_constant(context, node, next++, codes)) == NULL) return false;
  }
  return !attributes->has_bias || (weights->bias = tfc_node_constant(context, node, next, bias)) != NULL;
}

static TfLiteStatus read_constants(TfLiteContext* context, tfc_node* node) {
  const tfc_expected expected = {"params", kTfLiteInt32, sizeof(int32_t), 1, {TFC_FULLY_CONNECTED_ATTRIBUTES}};
  const int32_t* params = tfc_node_constant(context, node, ATTRIBUTES, expected);
  if (params == NULL) return kTfLiteError;
  char sentence[TFC_MESSAGE_SIZE];
  tfc_fully_connected_attributes* attributes = &node->fully_connected.attributes;
  if (!tfc_fully_connected_parse(params, attributes, sentence)) return tfc_node_fail(context, node, "%s", sentence);
  const int inputs = MIN_INPUTS + tfc_stores_zero_points(attributes) + (attributes->sparsity_n != TFC_SPARSITY_M) +
                     attributes->has_bias;
  if (node->inputs->size != inputs) {
    return tfc_node_fail(context, node, "it has %d inputs, its params ask for %d", node->inputs->size, inputs);
  }
  if (!read_weights(context, node)) return kTfLiteError;
  if (!tfc_fully_connected_check_constants(attributes, &node->fully_connected.weights, sentence)) {
    return tfc_node_fail(context, node, "%s", sentence);
  }
  return kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext* context, tfc_node* node) {
  const tfc_fully_connected_attributes* attributes = &node->fully_connected.attributes;
  const TfLiteIntArray* dims = context->tensors[node->inputs->data[X]].dims;
  const int32_t window = attributes->window;
  int64_t vectors;
  if (window > 0 && dims->size != 4) return tfc_node_fail(context, node, "x has %d dimensions, expected 4", dims->size);
  if (tfc_node_count_vectors(context, node, window == 0 ? attributes->k : attributes->k / (window * window),
                             &vectors)) {
    return kTfLiteError;
  }
  tfc_fully_connected_input* x = &node->fully_connected.x;
  *x = (tfc_fully_connected_input){.m = vectors};
  if (window == 0) return tfc_node_resize_output(context, node, 1, (int64_t[]){attributes->n});
  x->height = dims->data[1];
  x->width = dims->data[2];
  const int64_t down = tfc_fully_connected_windows(attributes, x->height);
  const int64_t across = tfc_fully_connected_windows(attributes, x->width);
  x->m = dims->data[0] * down * across; /* no more than there are vectors */
  return tfc_node_resize_output(context, node, 3, (int64_t[]){down, across, attributes->n});
}

static int64_t scratch_bytes(const tfc_node* node) {
  const tfc_fully_connected_node* layer = &node->fully_connected;
  return tfc_fully_connected_scratch_bytes(node->kernels, &layer->attributes, layer->x.m);
}

static void run(const tfc_node* node, void* const* inputs, void* scratch, float* y) {
  static const tfc_fully_connected_weights no_weights;
  const tfc_context context = {node->kernels, *node->pool};
  const tfc_fully_connected_node* layer = &node->fully_connected;
  const bool has_next = layer->next > 0 && layer->next < node->layers->count;
  const tfc_fully_connected_weights* next = has_next ? &node->layers->weights[layer->next] : &no_weights;
  tfc_fully_connected_input input = layer->x;
  input.values = inputs[X];
  tfc_fully_connected_run(&context, &layer->attributes, &layer->weights, next, &input, scratch, y);
}

const tfc_operation tfc_fully_connected_operation = {
    .name = "TfconformerFullyConnected",
    .min_inputs = MIN_INPUTS,
    .max_inputs = MAX_INPUTS,
    .variables = 1,
    .read_constants = read_constants,
    .prepare = prepare,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
