#include "node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const tfc_operation tfc_depthwise_convolution_operation, tfc_layer_normalization_operation,
    tfc_attention_operation, tfc_attention_step_operation;

const tfc_operation* tfc_find_operation(const char* name) {
  const tfc_operation* const operations[] = {&tfc_fully_connected_operation, &tfc_depthwise_convolution_operation,
                                             &tfc_layer_normalization_operation, &tfc_attention_operation,
                                             &tfc_attention_step_operation};
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; ++i) {
    if (strcmp(operations[i]->name, name) == 0) return operations[i];
  }
  return NULL;
}

TfLiteStatus tfc_node_fail(TfLiteContext* context, const tfc_node* node, const char* format, ...) {
  char sentence[TFC_MESSAGE_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  const char* name = node->outputs->size == 1 ? context->tensors[node->outputs->data[0]].name : NULL;
  context->ReportError(context, "%s '%.100s': %s. ", node->operation->name, name ? name : "", sentence);
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

static TfLiteStatus check_indices(TfLiteContext* context, const tfc_node* node) {
  const TfLiteIntArray *inputs = node->inputs, *outputs = node->outputs;
  const int least = node->operation->min_inputs, most = node->operation->max_inputs;
  if (outputs->size != 1 || !has_index(context, outputs->data[0])) {
    context->ReportError(context, "%s: a node must have exactly one output. ", node->operation->name);
    return kTfLiteError;
  }
  if (inputs->size < least || inputs->size > most) {
    return tfc_node_fail(context, node, "it has %d inputs, expected %d to %d", inputs->size, least, most);
  }
  for (int i = 0; i < inputs->size; ++i) {
    if (!has_index(context, inputs->data[i])) return tfc_node_fail(context, node, "input %d is missing", i);
    if (inputs->data[i] == outputs->data[0]) return tfc_node_fail(context, node, "input %d is also the output", i);
  }
  return kTfLiteOk;
}

/* Checks a tensor; reports one sentence if it is not as expected. */
static bool is_as_expected(TfLiteContext* context, const tfc_node* node, const TfLiteTensor* tensor,
                           tfc_expected expected) {
  if (tensor->type != expected.type) {
    tfc_node_fail(context, node, "%s is %s, expected %s", expected.name, type_name(tensor->type),
                  type_name(expected.type));
    return false;
  }
  bool same = tensor->dims->size == expected.rank;
  char shape[TFC_MAX_RANK * 24] = "";
  int64_t bytes = expected.item_bytes;
  for (int i = 0, at = 0; i < expected.rank; ++i) {
    same = same && tensor->dims->data[i] == expected.shape[i];
    at += snprintf(shape + at, sizeof shape - (size_t)at, i == 0 ? "%lld" : ", %lld", (long long)expected.shape[i]);
    if (same && __builtin_mul_overflow(bytes, expected.shape[i], &bytes)) same = false;
  }
  if (!same) {
    tfc_node_fail(context, node, "%s has the wrong shape, expected [%s]", expected.name, shape);
  } else if (tensor->bytes != (uint64_t)bytes) {
    tfc_node_fail(context, node, "%s has %zu bytes", expected.name, tensor->bytes);
  } else if (tensor->allocation_type == kTfLiteMmapRo &&
             (uintptr_t)tensor->data % (uintptr_t)expected.item_bytes != 0) {
    tfc_node_fail(context, node, "%s is not aligned", expected.name);
  } else {
    return true;
  }
  return false;
}

const void* tfc_node_constant(TfLiteContext* context, const tfc_node* node, int index, tfc_expected expected) {
  const TfLiteTensor* tensor = &context->tensors[node->inputs->data[index]];
  if (tensor->allocation_type != kTfLiteMmapRo || tensor->data == NULL) {
    tfc_node_fail(context, node, "%s must be a constant of the file", expected.name);
    return NULL;
  }
  return is_as_expected(context, node, tensor, expected) ? tensor->data : NULL;
}

TfLiteStatus tfc_node_check_variable(TfLiteContext* context, tfc_node* node, int index, tfc_expected expected,
                                     bool is_state) {
  const TfLiteTensor* tensor = &context->tensors[node->inputs->data[index]];
  if (!is_as_expected(context, node, tensor, expected)) return kTfLiteError;
  if (is_state && tensor->allocation_type == kTfLiteMmapRo) {
    return tfc_node_fail(context, node, "%s must not be a constant", expected.name);
  }
  node->input_bytes[index] = tensor->bytes;
  return kTfLiteOk;
}

TfLiteStatus tfc_node_count_vectors(TfLiteContext* context, tfc_node* node, int32_t last, int64_t* vectors) {
  const TfLiteTensor* x = &context->tensors[node->inputs->data[0]];
  if (x->type != kTfLiteFloat32) return tfc_node_fail(context, node, "x is %s, expected FLOAT32", type_name(x->type));
  const TfLiteIntArray* dims = x->dims;
  if (dims->size < 1 || dims->data[dims->size - 1] != last) {
    return tfc_node_fail(context, node, "the last dimension of x is %d, expected %d",
                         dims->size < 1 ? 0 : dims->data[dims->size - 1], (int)last);
  }
  int64_t bytes;
  *vectors = 1;
  for (int i = 0; i + 1 < dims->size; ++i) {
    if (dims->data[i] < 0 || __builtin_mul_overflow(*vectors, (int64_t)dims->data[i], vectors)) {
      return tfc_node_fail(context, node, "dimension %d of x is %d", i, dims->data[i]);
    }
  }
  if (__builtin_mul_overflow(*vectors, (int64_t)last * (int64_t)sizeof(float), &bytes) || x->bytes != (uint64_t)bytes) {
    return tfc_node_fail(context, node, "x has %zu bytes for %lld rows of %d", x->bytes, (long long)*vectors,
                         (int)last);
  }
  if (x->allocation_type == kTfLiteMmapRo && (uintptr_t)x->data % sizeof(float) != 0) {
    return tfc_node_fail(context, node, "x is not aligned");
  }
  node->input_bytes[0] = (size_t)bytes;
  return kTfLiteOk;
}

TfLiteStatus tfc_node_resize_output(TfLiteContext* context, tfc_node* node, int dims, const int64_t* last) {
  TfLiteTensor* y = &context->tensors[node->outputs->data[0]];
  if (y->type != kTfLiteFloat32) {
    return tfc_node_fail(context, node, "the output is %s, expected FLOAT32", type_name(y->type));
  }
  const TfLiteIntArray* x_dims = context->tensors[node->inputs->data[0]].dims;
  const size_t size_bytes = sizeof *x_dims + (size_t)x_dims->size * sizeof x_dims->data[0];
  TfLiteIntArray* size = malloc(size_bytes);
  if (size == NULL) return tfc_node_fail(context, node, "no memory for a shape");
  memcpy(size, x_dims, size_bytes);
  int64_t bytes = sizeof(float);
  bool fits = true;
  for (int i = 0; i < size->size; ++i) {
    const int64_t dim = i < size->size - dims ? size->data[i] : last[i - (size->size - dims)];
    size->data[i] = (int)dim;
    fits = fits && !__builtin_mul_overflow(bytes, dim, &bytes);
  }
  if (!fits) {
    free(size);
    return tfc_node_fail(context, node, "the output would be too large");
  }
  node->y_bytes = (size_t)bytes;
  const TfLiteStatus status = context->ResizeTensor(context, y, size);
  if (status == kTfLiteOk && y->allocation_type == kTfLiteMmapRo) { /* of that shape, and mapped from the file */
    return tfc_node_fail(context, node, "the output is a constant");
  }
  return status;
}

TfLiteStatus tfc_node_prepare(TfLiteContext* context, tfc_node* node) {
  if (!node->constants_are_checked) {
    if (check_indices(context, node) || node->operation->read_constants(context, node)) return kTfLiteError;
    node->constants_are_checked = true;
  }
  return node->operation->prepare(context, node);
}

int64_t tfc_node_scratch_bytes(const tfc_node* node) {
  return node->operation->scratch_bytes == NULL ? 0 : node->operation->scratch_bytes(node);
}

TfLiteStatus tfc_node_invoke(TfLiteContext* context, const tfc_node* node, void* scratch) {
  if (node->y_bytes == 0) return kTfLiteOk;
  const TfLiteTensor* y = &context->tensors[node->outputs->data[0]];
  void* inputs[TFC_MAX_VARIABLES];
  bool same = y->data != NULL && y->bytes == node->y_bytes;
  for (int i = 0; i < node->operation->variables; ++i) {
    const TfLiteTensor* input = &context->tensors[node->inputs->data[i]];
    same = same && input->data != NULL && input->bytes == node->input_bytes[i];
    inputs[i] = input->data;
  }
  if (!same) return tfc_node_fail(context, node, "its tensors changed after they were prepared");
  node->operation->run(node, inputs, scratch, y->data);
  return kTfLiteOk;
}
