/* The custom operation TfconformerDepthwiseConvolution.
 *
 * Inputs: x FLOAT32 [batch, frames, channels]; kernel FLOAT32 [length, channels]; params INT32 [3]; bias FLOAT32
 * [channels]. All but x are constants. Output: FLOAT32 [batch, frames - length + 1, channels], no frame if x has too few.
 * What they hold is described in ../format/depthwise_convolution.h. */
#include "node.h"

enum { X, KERNEL, PARAMS, BIAS, INPUTS };

static TfLiteStatus read_constants(TfLiteContext* context, Node* node) {
  DepthwiseConvolutionNode* layer = &node->depthwise_convolution;
  const Expected expected = {"params", kTfLiteInt32, sizeof(int32_t), 1, {DEPTHWISE_CONVOLUTION_PARAMS}};
  const int32_t* params = node_constant(context, node, PARAMS, expected);
  if (params == NULL) return kTfLiteError;
  char sentence[MESSAGE_SIZE];
  if (!depthwise_convolution_parse(params, &layer->attributes, sentence)) {
    return node_fail(context, node, "%s", sentence);
  }
  const int64_t length = layer->attributes.length, channels = layer->attributes.channels;
  const Expected kernel = {"kernel", kTfLiteFloat32, sizeof(float), 2, {length, channels}};
  const Expected bias = {"bias", kTfLiteFloat32, sizeof(float), 1, {channels}};
  if ((layer->kernel = node_constant(context, node, KERNEL, kernel)) == NULL) return kTfLiteError;
  return (layer->bias = node_constant(context, node, BIAS, bias)) == NULL ? kTfLiteError : kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext* context, Node* node) {
  DepthwiseConvolutionNode* layer = &node->depthwise_convolution;
  const TfLiteIntArray* dims = context->tensors[node->inputs->data[X]].dims;
  int64_t vectors;
  if (dims->size != 3) return node_fail(context, node, "x has %d dimensions, expected 3", dims->size);
  if (node_count_vectors(context, node, layer->attributes.channels, &vectors)) return kTfLiteError;
  if (vectors > INT32_MAX) return node_fail(context, node, "%lld frames are too many", (long long)vectors);
  layer->batch = dims->data[0];
  layer->frames = (int64_t)dims->data[1] - layer->attributes.length + 1;
  if (layer->frames < 0) layer->frames = 0;
  return node_resize_output(context, node, 2, (int64_t[]){layer->frames, layer->attributes.channels});
}

static void run(const Node* node, void* const* inputs, void* scratch, float* y) {
  (void)scratch;
  const DepthwiseConvolutionNode* layer = &node->depthwise_convolution;
  depthwise_convolution(node->kernel, *node->pool, &layer->attributes, layer->kernel, layer->bias, layer->batch,
                        layer->frames, inputs[X], y);
}

const Operation depthwise_convolution_operation = {
    .name = "TfconformerDepthwiseConvolution",
    .min_inputs = INPUTS,
    .max_inputs = INPUTS,
    .variables = 1,
    .read_constants = read_constants,
    .prepare = prepare,
    .run = run,
};
