/* The custom operation TfconformerFullyConnected.
 *
 * Inputs: x FLOAT32 [..., K], or [images, height, width, channels] if the params have a window; codes UINT8 [tiles,
 * cells, CELL]; params INT32 [12]; scales FLOAT16 [tiles, blocks, TILE]; offsets, the same, unless symmetric; positions
 * UINT8 [tiles, cells, CELL] if sparse; bias FLOAT32 [N] if it has one. All but x are constants. Output: FLOAT32 [...,
 * N], or [images, windows down, windows across, N].
 * What they hold is described in ../format/fully_connected.h. */
#include "node.h"

enum { X, CODES, PARAMS, SCALES, MIN_INPUTS, MAX_INPUTS = MIN_INPUTS + 3 };

/* Points the weights at the tensors that the attributes ask for. */
static bool read_weights(TfLiteContext* context, Node* node) {
  const FullyConnectedAttributes* attributes = &node->fully_connected.attributes;
  const bool sparse = attributes->kept != GROUP;
  const int64_t tiles = fully_connected_tiles(attributes), n = attributes->n;
  const int64_t cells = fully_connected_tile_cells(attributes, attributes->weight_bits);
  Expected codes = {"codes", kTfLiteUInt8, 1, 3, {tiles, cells, CELL}};
  Expected scales = {"scales", kTfLiteFloat16, sizeof(uint16_t), 3, {tiles, attributes->blocks, TILE}};
  Expected bias = {"bias", kTfLiteFloat32, sizeof(float), 1, {n}};
  int next = MIN_INPUTS;
  FullyConnectedWeights* weights = &node->fully_connected.weights;
  *weights = (FullyConnectedWeights){0};
  if ((weights->codes = node_constant(context, node, CODES, codes)) == NULL) return false;
  if ((weights->scales = node_constant(context, node, SCALES, scales)) == NULL) return false;
  if (!attributes->symmetric) {
    scales.name = "offsets";
    if ((weights->offsets = node_constant(context, node, next++, scales)) == NULL) return false;
  }
  if (sparse) {
    codes.name = "positions";
    codes.shape[1] = fully_connected_tile_cells(attributes, POSITION_BITS);
    if ((weights->positions = node_constant(context, node, next++, codes)) == NULL) return false;
  }
  return !attributes->has_bias || (weights->bias = node_constant(context, node, next, bias)) != NULL;
}

static TfLiteStatus read_constants(TfLiteContext* context, Node* node) {
  const Expected expected = {"params", kTfLiteInt32, sizeof(int32_t), 1, {FULLY_CONNECTED_PARAMS}};
  const int32_t* params = node_constant(context, node, PARAMS, expected);
  if (params == NULL) return kTfLiteError;
  char sentence[MESSAGE_SIZE];
  FullyConnectedAttributes* attributes = &node->fully_connected.attributes;
  if (!fully_connected_parse(params, attributes, sentence)) return node_fail(context, node, "%s", sentence);
  const int inputs = MIN_INPUTS + !attributes->symmetric + (attributes->kept != GROUP) + attributes->has_bias;
  if (node->inputs->size != inputs) {
    return node_fail(context, node, "it has %d inputs, its params ask for %d", node->inputs->size, inputs);
  }
  if (!read_weights(context, node)) return kTfLiteError;
  if (!fully_connected_check_constants(attributes, &node->fully_connected.weights, sentence)) {
    return node_fail(context, node, "%s", sentence);
  }
  return kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext* context, Node* node) {
  const FullyConnectedAttributes* attributes = &node->fully_connected.attributes;
  const TfLiteIntArray* dims = context->tensors[node->inputs->data[X]].dims;
  const int32_t window = attributes->window;
  int64_t vectors;
  if (window > 0 && dims->size != 4) return node_fail(context, node, "x has %d dimensions, expected 4", dims->size);
  if (node_count_vectors(context, node, window == 0 ? attributes->k : attributes->k / (window * window), &vectors)) {
    return kTfLiteError;
  }
  FullyConnectedInput* x = &node->fully_connected.x;
  *x = (FullyConnectedInput){.rows = vectors};
  if (window == 0) return node_resize_output(context, node, 1, (int64_t[]){attributes->n});
  x->height = dims->data[1];
  x->width = dims->data[2];
  const int64_t down = fully_connected_windows(attributes, x->height);
  const int64_t across = fully_connected_windows(attributes, x->width);
  x->rows = dims->data[0] * down * across; /* no more than there are vectors */
  return node_resize_output(context, node, 3, (int64_t[]){down, across, attributes->n});
}

static int64_t scratch_bytes(const Node* node) {
  return fully_connected_scratch_bytes(&node->fully_connected.attributes, node->fully_connected.x.rows);
}

static void run(const Node* node, void* const* inputs, void* scratch, float* y) {
  static const FullyConnectedWeights nothing;
  const FullyConnectedNode* layer = &node->fully_connected;
  const bool has_next = layer->next > 0 && layer->next < node->layers->count;
  const FullyConnectedWeights* next = has_next ? &node->layers->weights[layer->next] : &nothing;
  FullyConnectedInput input = layer->x;
  input.values = inputs[X];
  fully_connected(node->kernel, *node->pool, &layer->attributes, &layer->weights, next, &input, scratch, y);
}

const Operation fully_connected_operation = {
    .name = "TfconformerFullyConnected",
    .min_inputs = MIN_INPUTS,
    .max_inputs = MAX_INPUTS,
    .variables = 1,
    .read_constants = read_constants,
    .prepare = prepare,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
