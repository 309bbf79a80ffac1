/* A node of a TFLite subgraph with one of the custom operations, and the checks of its tensors. */
#ifndef TFC_TFLITE_NODE_H_
#define TFC_TFLITE_NODE_H_

#include "../format/message.h"
#include "../ops/attention.h"
#include "../ops/depthwise_convolution.h"
#include "../ops/fully_connected.h"
#include "../ops/layer_normalization.h"
#include "tflite_abi.h"

enum {
  TFC_MAX_RANK = 4,
  TFC_MAX_VARIABLES = 7, /* inputs that are no constants */
};

typedef struct tfc_operation tfc_operation;

/* The results of `read_constants` and `prepare` of each operation; constants point into the model file, which outlives
 * the node. */
typedef struct {
  tfc_fully_connected_attributes attributes;
  tfc_fully_connected_weights weights;
  int next;                    /* index in `layers` of the layer that runs after this one; 0: not known */
  tfc_fully_connected_input x; /* without its values */
} tfc_fully_connected_node;

typedef struct {
  tfc_depthwise_convolution_attributes attributes;
  tfc_depthwise_convolution_weights weights;
  int64_t batch, frames; /* of the output */
} tfc_depthwise_convolution_node;

typedef struct {
  tfc_layer_normalization_attributes attributes;
  tfc_layer_normalization_weights weights;
  int64_t m;
} tfc_layer_normalization_node;

typedef struct {
  tfc_attention_attributes attributes;
  tfc_attention_biases biases;
  const float* position; /* of a step */
  int64_t batch, frames, span, capacity, mask_rows;
} tfc_attention_node;

/* Weights of the fully connected layers of a graph in execution order, so that one can prefetch those of the next. */
typedef struct {
  int owners; /* partitions that refer to it */
  int count, capacity;
  tfc_fully_connected_weights weights[];
} tfc_layer_sequence;

/* The members before `constants_are_checked` are set on creation, the others by tfc_node_prepare. */
typedef struct {
  const tfc_operation* operation;
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  const tfc_kernel_set* kernels;
  tfc_thread_pool* const* pool; /* the address of the delegate's pool, which is NULL for one thread */
  tfc_layer_sequence* layers;   /* NULL: not known */
  bool constants_are_checked;
  size_t input_bytes[TFC_MAX_VARIABLES], y_bytes;
  union {
    tfc_fully_connected_node fully_connected;
    tfc_depthwise_convolution_node depthwise_convolution;
    tfc_layer_normalization_node layer_normalization;
    tfc_attention_node attention;
  };
} tfc_node;

struct tfc_operation {
  const char* name;
  int min_inputs, max_inputs;
  int variables; /* the first so many inputs are no constants */
  /* Reads and checks the constants. A node is reported to the context in one sentence if it is unusable. */
  TfLiteStatus (*read_constants)(TfLiteContext* context, tfc_node* node);
  /* Checks the variables, gives the output its shape and sets the bytes of both; called again after a shape changed. */
  TfLiteStatus (*prepare)(TfLiteContext* context, tfc_node* node);
  /* Bytes of scratch memory that a prepared node needs; NULL: none. */
  int64_t (*scratch_bytes)(const tfc_node* node);
  /* Runs a prepared node on its variables. */
  void (*run)(const tfc_node* node, void* const* inputs, void* scratch, float* y);
};

extern const tfc_operation tfc_fully_connected_operation;

/* The operation of that name; NULL if there is none. */
const tfc_operation* tfc_find_operation(const char* name);

/* Bytes of scratch memory that a prepared node needs. */
int64_t tfc_node_scratch_bytes(const tfc_node* node);

/* Checks every tensor of the node and gives the output its shape; may be called again after the shape of x changed. */
TfLiteStatus tfc_node_prepare(TfLiteContext* context, tfc_node* node);

/* Runs a prepared node. */
TfLiteStatus tfc_node_invoke(TfLiteContext* context, const tfc_node* node, void* scratch);

/* Reports "operation 'name of its output': sentence" and returns kTfLiteError. */
__attribute__((format(printf, 3, 4))) TfLiteStatus tfc_node_fail(TfLiteContext* context, const tfc_node* node,
                                                                 const char* format, ...);

/* The shape and item size that a tensor must have. */
typedef struct {
  const char* name;
  TfLiteType type;
  int64_t item_bytes;
  int rank;
  int64_t shape[TFC_MAX_RANK];
} tfc_expected;

/* Checks that input `index` is a constant of the file, as expected, and returns its content; otherwise reports one
 * sentence and returns NULL. */
const void* tfc_node_constant(TfLiteContext* context, const tfc_node* node, int index, tfc_expected expected);

/* Checks that input `index` is a variable, as expected; `is_state` if it will be written. */
TfLiteStatus tfc_node_check_variable(TfLiteContext* context, tfc_node* node, int index, tfc_expected expected,
                                     bool is_state);

/* Checks that x, input 0, is FLOAT32 with the last dimension `last`, and counts its vectors of that length. */
TfLiteStatus tfc_node_count_vectors(TfLiteContext* context, tfc_node* node, int32_t last, int64_t* vectors);

/* Gives the output the shape of x, `dims` of whose last dimensions are replaced by `last`. */
TfLiteStatus tfc_node_resize_output(TfLiteContext* context, tfc_node* node, int dims, const int64_t* last);

#endif
