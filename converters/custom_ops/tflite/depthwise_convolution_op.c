/* The custom operation TfconformerDepthwiseConvolution.
 *
 * Inputs, by the names that files give them: x FLOAT32 [batch, frames, channels]; kernel (the filter) FLOAT32 [length,
 * channels]; params (op attributes) INT32 [3]; bias FLOAT32 [channels]. All but x are constants. Output: FLOAT32
 * [batch, frames - length + 1, channels], no frame if x has too few. Their contents are described in
 * ../format/depthwise_convolution.h. */
#include "node.h"

enum { X, FILTER, ATTRIBUTES, BIAS, INPUTS };

static TfLiteStatus read_constants(TfLiteContext* context, tfc_node* node) {
  tfc_depthwise_convolution_node* layer = &node->depthwise_convolution;
  const tfc_expected expected = {"params", kTfLiteInt32, sizeof(int32_t), 1, {TFC_DEPTHWISE_CONVOLUTION_ATTRIBUTES}};
  const int32_t* params = tfc_node_constant(context, node, ATTRIBUTES, expected);
  if (params == NULL) return kTfLiteError;
  char sentence[TFC_MESSAGE_SIZE];
  if (!tfc_depthwise_convolution_parse(params, &layer->attributes, sentence)) {
    return tfc_node_fail(context, node, "%s", sentence);
  }
  const int64_t length = layer->attributes.length, channels = layer->attributes.channels;
  const tfc_expected filter = {"kernel", kTfLiteFloat32, sizeof(float), 2, {length, channels}};
  const tfc_expected bias = {"bias", kTfLiteFloat32, sizeof(float), 1, {channels}};
  if ((layer->weights.filter = tfc_node_constant(context, node, FILTER, filter)) == NULL) return kTfLiteError;
  return (layer->weights.bias = tfc_node_constant(context, node, BIAS, bias)) == NULL ? kTfLiteError : kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext* context, tfc_node* node) {
  tfc_depthwise_convolution_node* layer = &node->depthwise_convolution;
  const TfLiteIntArray* dims = context->tensors[node->inputs->data[X]].dims;
  int64_t vectors;
  if (dims->size != 3) return tfc_node_fail(context, node, "x has %d dimensions, expected 3", dims->size);
  if (tfc_node_count_vectors(context, node, layer->attributes.channels, &vectors)) return kTfLiteError;
  if (vectors > INT32_MAX) return tfc_node_fail(context, node, "%lld frames are too many", (long long)vectors);
  layer->batch = dims->data[0];
  layer->frames = (int64_t)dims->data[1] - layer->attributes.length + 1;
  if (layer->frames < 0) layer->frames = 0;
  return tfc_node_resize_output(context, node, 2, (int64_t[]){layer->frames, layer->attributes.channels});
}

static void run(const tfc_node* node, void* const* inputs, void* scratch, float* y) {
  (void)scratch;
  const tfc_depthwise_convolution_node* layer = &node->depthwise_convolution;
  const tfc_context compute = {node->kernels, *node->pool};
  tfc_depthwise_convolution_run(&compute, &layer->attributes, &layer->weights, layer->batch, layer->frames, inputs[X],
                                y);
}

const tfc_operation tfc_depthwise_convolution_operation = {
    .name = "TfconformerDepthwiseConvolution",
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .variables = 1,
    .read_constants = read_constants,
    .prepare = prepare,
    .run = run,
};
