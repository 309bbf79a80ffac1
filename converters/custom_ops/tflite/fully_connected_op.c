#include "fully_connected_op.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { X, CODES, PARAMS, SCALES, OFFSETS_OR_BIAS, MIN_INPUTS = OFFSETS_OR_BIAS, MAX_INPUTS = 6 };

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
    return fail(context, op, "it has %d inputs, expected 4 to 6", inputs->size);
  }
  for (int i = 0; i < inputs->size; ++i) {
    if (!has_index(context, inputs->data[i])) return fail(context, op, "input %d is missing", i);
    if (inputs->data[i] == outputs->data[0]) return fail(context, op, "input %d is also the output", i);
  }
  return kTfLiteOk;
}

/* Checks input `index`: a constant of this type with exactly the dimensions rows x columns (columns 0: rank 1). */
static TfLiteStatus check_constant(TfLiteContext* context, const FullyConnectedOp* op, int index, const char* name,
                                   TfLiteType type, int64_t item_bytes, int64_t rows, int64_t columns) {
  const TfLiteTensor* tensor = &context->tensors[op->inputs->data[index]];
  if (tensor->type != type) {
    return fail(context, op, "%s is %s, expected %s", name, type_name(tensor->type), type_name(type));
  }
  if (tensor->allocation_type != kTfLiteMmapRo || tensor->data == NULL) {
    return fail(context, op, "%s must be a constant of the file", name);
  }
  const TfLiteIntArray* dims = tensor->dims;
  const int rank = columns > 0 ? 2 : 1;
  if (dims->size != rank || dims->data[0] != rows || (rank == 2 && dims->data[1] != columns)) {
    return rank == 1 ? fail(context, op, "%s has the wrong shape, expected [%lld]", name, (long long)rows)
                     : fail(context, op, "%s has the wrong shape, expected [%lld, %lld]", name, (long long)rows,
                            (long long)columns);
  }
  /* None of the three factors exceeds 2^31, 2^31 or 4, and rows * columns of a row's bytes stay below 2^62. */
  const uint64_t expected_bytes = (uint64_t)rows * (uint64_t)(columns > 0 ? columns : 1) * (uint64_t)item_bytes;
  if (tensor->bytes != expected_bytes) return fail(context, op, "%s has %zu bytes", name, tensor->bytes);
  if ((uintptr_t)tensor->data % (uintptr_t)item_bytes != 0) return fail(context, op, "%s is not aligned", name);
  return kTfLiteOk;
}

/* Reads the params and points the weights at the constant tensors. */
static TfLiteStatus read_constants(TfLiteContext* context, FullyConnectedOp* op) {
  if (check_constant(context, op, PARAMS, "params", kTfLiteInt32, sizeof(int32_t), FULLY_CONNECTED_PARAMS, 0)) {
    return kTfLiteError;
  }
  char sentence[FULLY_CONNECTED_MESSAGE_SIZE];
  FullyConnectedAttributes* attributes = &op->attributes;
  const int* inputs = op->inputs->data;
  if (!fully_connected_parse(context->tensors[inputs[PARAMS]].data, attributes, sentence)) {
    return fail(context, op, "%s", sentence);
  }
  const int expected_inputs = MIN_INPUTS + !attributes->symmetric + attributes->has_bias;
  if (op->inputs->size != expected_inputs) {
    return fail(context, op, "it has %d inputs, its params ask for %d", op->inputs->size, expected_inputs);
  }
  const int64_t n = attributes->n, row_bytes = fully_connected_row_bytes(attributes);
  const int bias = OFFSETS_OR_BIAS + !attributes->symmetric;
  if (check_constant(context, op, CODES, "codes", kTfLiteUInt8, 1, n, row_bytes) ||
      check_constant(context, op, SCALES, "scales", kTfLiteFloat16, 2, n, attributes->blocks) ||
      (!attributes->symmetric &&
       check_constant(context, op, OFFSETS_OR_BIAS, "offsets", kTfLiteFloat16, 2, n, attributes->blocks)) ||
      (attributes->has_bias && check_constant(context, op, bias, "bias", kTfLiteFloat32, sizeof(float), n, 0))) {
    return kTfLiteError;
  }
  op->weights = (FullyConnectedWeights){
      .codes = context->tensors[inputs[CODES]].data,
      .scales = context->tensors[inputs[SCALES]].data,
      .offsets = attributes->symmetric ? NULL : context->tensors[inputs[OFFSETS_OR_BIAS]].data,
      .bias = attributes->has_bias ? context->tensors[inputs[bias]].data : NULL,
  };
  if (!fully_connected_check_constants(attributes, &op->weights, sentence)) return fail(context, op, "%s", sentence);
  return kTfLiteOk;
}

/* Checks x and counts its rows. */
static TfLiteStatus read_input(TfLiteContext* context, FullyConnectedOp* op) {
  const TfLiteTensor* x = &context->tensors[op->inputs->data[X]];
  if (x->type != kTfLiteFloat32) return fail(context, op, "x is %s, expected FLOAT32", type_name(x->type));
  const TfLiteIntArray* dims = x->dims;
  if (dims->size < 1 || dims->data[dims->size - 1] != op->attributes.k) {
    return fail(context, op, "the last dimension of x is %d, expected %d", dims->size < 1 ? 0 : dims->data[dims->size - 1],
                (int)op->attributes.k);
  }
  int64_t rows = 1;
  for (int i = 0; i + 1 < dims->size; ++i) {
    if (dims->data[i] < 0 || __builtin_mul_overflow(rows, (int64_t)dims->data[i], &rows)) {
      return fail(context, op, "dimension %d of x is %d", i, dims->data[i]);
    }
  }
  int64_t x_bytes, y_bytes;
  if (__builtin_mul_overflow(rows, (int64_t)op->attributes.k * (int64_t)sizeof(float), &x_bytes) ||
      __builtin_mul_overflow(rows, (int64_t)op->attributes.n * (int64_t)sizeof(float), &y_bytes) ||
      x->bytes != (uint64_t)x_bytes) {
    return fail(context, op, "x has %zu bytes for %lld rows of %d", x->bytes, (long long)rows, (int)op->attributes.k);
  }
  if (x->allocation_type == kTfLiteMmapRo && (uintptr_t)x->data % sizeof(float) != 0) {
    return fail(context, op, "x is not aligned");
  }
  op->rows = rows;
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
  return fully_connected_scratch_bytes(&op->attributes, op->rows);
}

TfLiteStatus fully_connected_op_invoke(TfLiteContext* context, const FullyConnectedOp* op, void* scratch) {
  if (op->rows == 0) return kTfLiteOk;
  const TfLiteTensor* x = &context->tensors[op->inputs->data[X]];
  const TfLiteTensor* y = &context->tensors[op->outputs->data[0]];
  const size_t row_bytes = (size_t)op->rows * sizeof(float);
  if (x->data == NULL || y->data == NULL || x->bytes != row_bytes * (size_t)op->attributes.k ||
      y->bytes != row_bytes * (size_t)op->attributes.n) {
    return fail(context, op, "its tensors changed after they were prepared");
  }
  fully_connected(&op->attributes, &op->weights, op->rows, x->data, scratch, y->data);
  return kTfLiteOk;
}
