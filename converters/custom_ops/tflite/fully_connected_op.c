#include "fully_connected_op.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { X, CODES, PARAMS, SCALES, MIN_INPUTS, MAX_INPUTS = MIN_INPUTS + 3, MAX_RANK = 3 };

/* Reports "TfconformerFullyConnected 'name of its output': sentence" and returns kTfLiteError. */
__attribute__((format(printf, 3, 4))) static TfLiteStatus fail(TfLiteContext* context, const FullyConnectedOp* op,
                                                               const char* format, ...) {
  char sentence[FULLY_CONNECTED_MESSAGE_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  const char* name = op->outputs->size == 1 ? context->tensors[op->outputs->data[0]].name : NULL;
  context->ReportError(context, "%s '%.100s': %s. ", FULLY_CONNECTED_OP_NAME, name ? name : "", sentence);
  return kTfLiteError;
}

static const char* type_name(TfLiteType type) {
  switch (type) {
    case kTfLiteFloat32:
      return "FLOAT32";
    case kTfLiteInt32:
      return "INT32";
    case kTfLiteUInt8:
      return "UINT8";
    case kTfLiteFloat16:
      return "FLOAT16";
  }
  return "another type";
}

static bool has_index(const TfLiteContext* context, int index) {
  return index >= 0 && (size_t)index < context->tensors_size;
}

static TfLiteStatus check_indices(TfLiteContext* context, const FullyConnectedOp* op) {
  const TfLiteIntArray *inputs = op->inputs, *outputs = op->outputs;
  if (outputs->size != 1 || !has_index(context, outputs->data[0])) {
    context->ReportError(context, "%s: a node must have exactly one output. ", FULLY_CONNECTED_OP_NAME);
    return kTfLiteError;
  }
  if (inputs->size < MIN_INPUTS || inputs->size > MAX_INPUTS) {
    return fail(context, op, "it has %d inputs, expected 4 to 7", inputs->size);
  }
  for (int i = 0; i < inputs->size; ++i) {
    if (!has_index(context, inputs->data[i])) return fail(context, op, "input %d is missing", i);
    if (inputs->data[i] == outputs->data[0]) return fail(context, op, "input %d is also the output", i);
  }
  return kTfLiteOk;
}

/* The shape and item size that a constant must have. */
typedef struct {
  const char* name;
  TfLiteType type;
  int64_t item_bytes;
  int rank;
  int64_t shape[MAX_RANK];
} Expected;

/* Checks that input `index` is a constant of the file, just as expected, and returns its content; NULL if it is not. */
static const void* constant(TfLiteContext* context, const FullyConnectedOp* op, int index, Expected expected) {
  const TfLiteTensor* tensor = &context->tensors[op->inputs->data[index]];
  if (tensor->type != expected.type) {
    fail(context, op, "%s is %s, expected %s", expected.name, type_name(tensor->type), type_name(expected.type));
    return NULL;
  }
  if (tensor->allocation_type != kTfLiteMmapRo || tensor->data == NULL) {
    fail(context, op, "%s must be a constant of the file", expected.name);
    return NULL;
  }
  bool same = tensor->dims->size == expected.rank;
  char shape[64] = "";
  int64_t bytes = expected.item_bytes;
  for (int i = 0, at = 0; i < expected.rank; ++i) {
    same = same && tensor->dims->data[i] == expected.shape[i];
    at += snprintf(shape + at, sizeof shape - (size_t)at, i == 0 ? "%lld" : ", %lld", (long long)expected.shape[i]);
    if (same && __builtin_mul_overflow(bytes, expected.shape[i], &bytes)) same = false;
  }
  if (!same) {
    fail(context, op, "%s has the wrong shape, expected [%s]", expected.name, shape);
  } else if (tensor->bytes != (uint64_t)bytes) {
    fail(context, op, "%s has %zu bytes", expected.name, tensor->bytes);
  } else if ((uintptr_t)tensor->data % (uintptr_t)expected.item_bytes != 0) {
    fail(context, op, "%s is not aligned", expected.name);
  } else {
    return tensor->data;
  }
  return NULL;
}

/* Points the weights at the tensors that the attributes ask for. */
static bool read_weights(TfLiteContext* context, FullyConnectedOp* op) {
  const FullyConnectedAttributes* attributes = &op->attributes;
  const bool sparse = attributes->kept != GROUP;
  const int64_t tiles = fully_connected_tiles(attributes), n = attributes->n;
  const int64_t cells = fully_connected_tile_cells(attributes, attributes->weight_bits);
  Expected codes = {"codes", kTfLiteUInt8, 1, 3, {tiles, cells, CELL}};
  Expected scales = {"scales", kTfLiteFloat16, sizeof(uint16_t), 3, {tiles, attributes->blocks, TILE}};
  Expected bias = {"bias", kTfLiteFloat32, sizeof(float), 1, {n}};
  int next = MIN_INPUTS;
  FullyConnectedWeights* weights = &op->weights;
  *weights = (FullyConnectedWeights){0};
  if ((weights->codes = constant(context, op, CODES, codes)) == NULL) return false;
  if ((weights->scales = constant(context, op, SCALES, scales)) == NULL) return false;
  if (!attributes->symmetric) {
    scales.name = "offsets";
    if ((weights->offsets = constant(context, op, next++, scales)) == NULL) return false;
  }
  if (sparse) {
    codes.name = "positions";
    codes.shape[1] = fully_connected_tile_cells(attributes, POSITION_BITS);
    if ((weights->positions = constant(context, op, next++, codes)) == NULL) return false;
  }
  return !attributes->has_bias || (weights->bias = constant(context, op, next, bias)) != NULL;
}

/* Reads the params and all constants. */
static TfLiteStatus read_constants(TfLiteContext* context, FullyConnectedOp* op) {
  const Expected expected = {"params", kTfLiteInt32, sizeof(int32_t), 1, {FULLY_CONNECTED_PARAMS}};
  const int32_t* params = constant(context, op, PARAMS, expected);
  if (params == NULL) return kTfLiteError;
  char sentence[FULLY_CONNECTED_MESSAGE_SIZE];
  FullyConnectedAttributes* attributes = &op->attributes;
  if (!fully_connected_parse(params, attributes, sentence)) return fail(context, op, "%s", sentence);
  const int inputs = MIN_INPUTS + !attributes->symmetric + (attributes->kept != GROUP) + attributes->has_bias;
  if (op->inputs->size != inputs) {
    return fail(context, op, "it has %d inputs, its params ask for %d", op->inputs->size, inputs);
  }
  if (!read_weights(context, op)) return kTfLiteError;
  if (!fully_connected_check_constants(attributes, &op->weights, sentence)) return fail(context, op, "%s", sentence);
  return kTfLiteOk;
}

/* Checks x and counts its rows. */
static TfLiteStatus read_input(TfLiteContext* context, FullyConnectedOp* op) {
  const TfLiteTensor* x = &context->tensors[op->inputs->data[X]];
  if (x->type != kTfLiteFloat32) return fail(context, op, "x is %s, expected FLOAT32", type_name(x->type));
  const TfLiteIntArray* dims = x->dims;
  const int32_t k = op->attributes.k, window = op->attributes.window;
  const int32_t last = window == 0 ? k : k / (window * window);
  if (window > 0 && dims->size != 4) return fail(context, op, "x has %d dimensions, expected 4", dims->size);
  if (dims->size < 1 || dims->data[dims->size - 1] != last) {
    return fail(context, op, "the last dimension of x is %d, expected %d", dims->size < 1 ? 0 : dims->data[dims->size - 1],
                (int)last);
  }
  int64_t vectors = 1, x_bytes, y_bytes;
  for (int i = 0; i + 1 < dims->size; ++i) {
    if (dims->data[i] < 0 || __builtin_mul_overflow(vectors, (int64_t)dims->data[i], &vectors)) {
      return fail(context, op, "dimension %d of x is %d", i, dims->data[i]);
    }
  }
  if (__builtin_mul_overflow(vectors, (int64_t)last * (int64_t)sizeof(float), &x_bytes) ||
      x->bytes != (uint64_t)x_bytes) {
    return fail(context, op, "x has %zu bytes for %lld rows of %d", x->bytes, (long long)vectors, (int)last);
  }
  op->x = (FullyConnectedInput){.rows = vectors};
  if (window > 0) { /* of which there are no more than vectors */
    op->x.height = dims->data[1];
    op->x.width = dims->data[2];
    op->x.rows = dims->data[0] * fully_connected_windows(&op->attributes, op->x.height) *
                 fully_connected_windows(&op->attributes, op->x.width);
  }
  if (__builtin_mul_overflow(op->x.rows, (int64_t)op->attributes.n * (int64_t)sizeof(float), &y_bytes)) {
    return fail(context, op, "%lld rows are too many", (long long)op->x.rows);
  }
  if (x->allocation_type == kTfLiteMmapRo && (uintptr_t)x->data % sizeof(float) != 0) {
    return fail(context, op, "x is not aligned");
  }
  op->x_bytes = (size_t)x_bytes;
  op->y_bytes = (size_t)y_bytes;
  return kTfLiteOk;
}

static TfLiteStatus resize_output(TfLiteContext* context, const FullyConnectedOp* op) {
  TfLiteTensor* y = &context->tensors[op->outputs->data[0]];
  if (y->type != kTfLiteFloat32) return fail(context, op, "the output is %s, expected FLOAT32", type_name(y->type));
  const TfLiteIntArray* dims = context->tensors[op->inputs->data[X]].dims;
  const size_t bytes = sizeof *dims + (size_t)dims->size * sizeof dims->data[0];
  TfLiteIntArray* size = malloc(bytes);
  if (size == NULL) return fail(context, op, "no memory for a shape");
  memcpy(size, dims, bytes);
  size->data[size->size - 1] = op->attributes.n;
  if (op->attributes.window > 0) {
    size->data[1] = (int)fully_connected_windows(&op->attributes, op->x.height);
    size->data[2] = (int)fully_connected_windows(&op->attributes, op->x.width);
  }
  return context->ResizeTensor(context, y, size);
}

TfLiteStatus fully_connected_op_prepare(TfLiteContext* context, FullyConnectedOp* op) {
  if (!op->constants_are_checked) {
    if (check_indices(context, op) || read_constants(context, op)) return kTfLiteError;
    op->constants_are_checked = true;
  }
  if (read_input(context, op)) return kTfLiteError;
  return resize_output(context, op);
}

int64_t fully_connected_op_scratch_bytes(const FullyConnectedOp* op) {
  return fully_connected_scratch_bytes(&op->attributes, op->x.rows);
}

TfLiteStatus fully_connected_op_invoke(TfLiteContext* context, const FullyConnectedOp* op, void* scratch) {
  if (op->x.rows == 0) return kTfLiteOk;
  const TfLiteTensor* x = &context->tensors[op->inputs->data[X]];
  const TfLiteTensor* y = &context->tensors[op->outputs->data[0]];
  if (x->data == NULL || y->data == NULL || x->bytes != op->x_bytes || y->bytes != op->y_bytes) {
    return fail(context, op, "its tensors changed after they were prepared");
  }
  FullyConnectedInput input = op->x;
  input.values = x->data;
  fully_connected(op->kernel, *op->pool, &op->attributes, &op->weights, &input, scratch, y->data);
  return kTfLiteOk;
}
