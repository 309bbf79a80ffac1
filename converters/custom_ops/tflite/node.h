/* One of our operations in a TFLite subgraph, and how it looks at its tensors. */
#ifndef TFCONFORMER_TFLITE_NODE_H_
#define TFCONFORMER_TFLITE_NODE_H_

#include "../format/message.h"
#include "../ops/attention.h"
#include "../ops/depthwise_convolution.h"
#include "../ops/fully_connected.h"
#include "../ops/layer_normalization.h"
#include "tflite_abi.h"

enum {
  MAX_RANK = 4,
  MAX_VARIABLES = 7, /* inputs that are no constants */
};

typedef struct Operation Operation;

/* What `prepare` of each operation finds out; constants point into the model file, which outlives the node. */
typedef struct {
  FullyConnectedAttributes attributes;
  FullyConnectedWeights weights;
  int next; /* place in `LayerSequence` of the layer that runs after this one; 0: not known */
  FullyConnectedInput x; /* without its values */
} FullyConnectedNode;

typedef struct {
  DepthwiseConvolutionAttributes attributes;
  const float *kernel, *bias;
  int64_t batch, frames; /* of the output */
} DepthwiseConvolutionNode;

typedef struct {
  LayerNormalizationAttributes attributes;
  const float *gain, *bias;
  int64_t rows;
} LayerNormalizationNode;

typedef struct {
  AttentionAttributes attributes;
  AttentionBiases biases;
  const float* position; /* of a step */
  int64_t batch, frames, span, capacity, mask_rows;
} AttentionNode;

/* Weights of the fully connected layers of a graph in execution order, to fetch those of the next one. */
typedef struct {
  int owners; /* partitions that refer to it */
  int count, capacity;
  FullyConnectedWeights weights[];
} LayerSequence;

/* The first six members are set by whoever creates it, the rest by `operation->prepare`. */
typedef struct {
  const Operation* operation;
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  const Kernel* kernel;
  ThreadPool* const* pool; /* where to find it at run time: NULL for one thread */
  LayerSequence* layers;   /* NULL: not known */
  bool constants_are_checked;
  size_t input_bytes[MAX_VARIABLES], y_bytes;
  union {
    FullyConnectedNode fully_connected;
    DepthwiseConvolutionNode depthwise_convolution;
    LayerNormalizationNode layer_normalization;
    AttentionNode attention;
  };
} Node;

struct Operation {
  const char* name;
  int min_inputs, max_inputs;
  int variables; /* so many of the inputs, the first ones, are no constants */
  /* Reads and checks the constants. A node is reported to the context in one sentence if it is unusable. */
  TfLiteStatus (*read_constants)(TfLiteContext* context, Node* node);
  /* Checks the variables, gives the output its shape and sets the bytes of both; called again after a shape changed. */
  TfLiteStatus (*prepare)(TfLiteContext* context, Node* node);
  /* Bytes of scratch memory that a prepared node needs; NULL: none. */
  int64_t (*scratch_bytes)(const Node* node);
  /* Runs a prepared node on its variables. */
  void (*run)(const Node* node, void* const* inputs, void* scratch, float* y);
};

extern const Operation fully_connected_operation;

/* The operation of that name, NULL if it is none of ours. */
const Operation* find_operation(const char* name);

/* Bytes of scratch memory that a prepared node needs. */
int64_t node_scratch_bytes(const Node* node);

/* Checks every tensor of the node and gives the output its shape; may be called again after the shape of x changed. */
TfLiteStatus node_prepare(TfLiteContext* context, Node* node);

/* Runs a prepared node. */
TfLiteStatus node_invoke(TfLiteContext* context, const Node* node, void* scratch);

/* Reports "operation 'name of its output': sentence" and returns kTfLiteError. */
__attribute__((format(printf, 3, 4))) TfLiteStatus node_fail(TfLiteContext* context, const Node* node,
                                                             const char* format, ...);

/* The shape and item size that a tensor must have. */
typedef struct {
  const char* name;
  TfLiteType type;
  int64_t item_bytes;
  int rank;
  int64_t shape[MAX_RANK];
} Expected;

/* Checks that input `index` is a constant of the file, just as expected, and returns its content; NULL if it is not. */
const void* node_constant(TfLiteContext* context, const Node* node, int index, Expected expected);

/* Checks that input `index` is a variable, just as expected; `is_state` if it will be written. */
TfLiteStatus node_check_variable(TfLiteContext* context, Node* node, int index, Expected expected, bool is_state);

/* Checks that x, input 0, is of floats whose last dimension is `last`, and counts its vectors. */
TfLiteStatus node_count_vectors(TfLiteContext* context, Node* node, int32_t last, int64_t* vectors);

/* Gives the output the shape of x, `dims` of whose last dimensions are replaced by `last`. */
TfLiteStatus node_resize_output(TfLiteContext* context, Node* node, int dims, const int64_t* last);

#endif
