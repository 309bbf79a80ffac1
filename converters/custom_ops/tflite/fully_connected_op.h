/* The custom operation TfconformerFullyConnected on the tensors of a TFLite subgraph.
 *
 * Inputs: x FLOAT32 [..., K], or [images, height, width, channels] if the params have a window; codes UINT8 [tiles,
 * cells, CELL]; params INT32 [12]; scales FLOAT16 [tiles, blocks, TILE]; offsets, the same, unless symmetric; positions
 * UINT8 [tiles, cells, CELL] if sparse; bias FLOAT32 [N] if it has one. All but x are constants. Output: FLOAT32 [...,
 * N], or [images, windows down, windows across, N].
 * What they hold is described in ../core/fully_connected.h. */
#ifndef TFCONFORMER_TFLITE_FULLY_CONNECTED_OP_H_
#define TFCONFORMER_TFLITE_FULLY_CONNECTED_OP_H_

#include "../kernels/fully_connected.h"
#include "tflite_abi.h"

#define FULLY_CONNECTED_OP_NAME "TfconformerFullyConnected"

/* One node of the graph. The first four members are set by whoever creates it, the rest by `fully_connected_op_prepare`. */
typedef struct {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  const Kernel* kernel;
  ThreadPool* const* pool; /* where to find it at run time: NULL for one thread */
  FullyConnectedAttributes attributes;
  FullyConnectedWeights weights; /* point into the model file, which outlives the node */
  bool constants_are_checked;
  FullyConnectedInput x; /* without its values */
  size_t x_bytes, y_bytes;
} FullyConnectedOp;

/* Checks every tensor of the node and gives the output its shape; may be called again after the shape of x changed. An
 * unusable node is reported to the context in one sentence. */
TfLiteStatus fully_connected_op_prepare(TfLiteContext* context, FullyConnectedOp* op);

/* Bytes of scratch memory that a prepared node needs. */
int64_t fully_connected_op_scratch_bytes(const FullyConnectedOp* op);

/* Runs a prepared node. */
TfLiteStatus fully_connected_op_invoke(TfLiteContext* context, const FullyConnectedOp* op, void* scratch);

#endif
