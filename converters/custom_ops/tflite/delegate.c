/* The plug-in that brings the custom operations into a TFLite runtime: an "external delegate".
 *
 * A delegate claims nodes of a graph; the runtime merges claimed nodes that follow each other into one partition and
 * creates one kernel node for it, whose functions are below. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "tflite_abi.h"

#define EXPORT __attribute__((visibility("default")))
#define DELEGATE_NAME "TfconformerDelegate"

TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                                              void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

typedef struct {
  TfLiteDelegate base; /* first, so that a pointer to it is one to the whole */
  const tfc_kernel_set* kernels;
  tfc_thread_pool* pool; /* NULL: one thread */
  int threads;
  tfc_layer_sequence* layers; /* of the graph whose nodes are being claimed; NULL at other times */
} tfc_delegate;

typedef struct {
  tfc_delegate* delegate;
  tfc_layer_sequence* layers; /* of the whole graph; NULL without memory for it */
  int count;
  tfc_node* nodes;             /* [count], in execution order */
  TfLiteIntArray* temporaries; /* tensors that are only used in the partition; the scratch tensor is the last */
} tfc_partition;

static TfLiteIntArray* new_array(int capacity) {
  TfLiteIntArray* array = malloc(sizeof *array + (size_t)capacity * sizeof array->data[0]);
  if (array != NULL) array->size = 0;
  return array;
}

static TfLiteIntArray* copy_array(const TfLiteIntArray* source) {
  TfLiteIntArray* array = new_array(source->size);
  if (array != NULL) {
    array->size = source->size;
    memcpy(array->data, source->data, (size_t)source->size * sizeof source->data[0]);
  }
  return array;
}

static bool contains(const TfLiteIntArray* array, int value) {
  for (int i = 0; i < array->size; ++i) {
    if (array->data[i] == value) return true;
  }
  return false;
}

static tfc_layer_sequence* new_layers(int capacity) {
  tfc_layer_sequence* layers = calloc(1, sizeof *layers + (size_t)capacity * sizeof layers->weights[0]);
  if (layers != NULL) *layers = (tfc_layer_sequence){.owners = 1, .capacity = capacity};
  return layers;
}

static tfc_layer_sequence* share_layers(tfc_layer_sequence* layers) {
  if (layers != NULL) ++layers->owners;
  return layers;
}

static void release_layers(tfc_layer_sequence* layers) {
  if (layers != NULL && --layers->owners == 0) free(layers);
}

/* A runtime may already have destroyed the delegate. */
static void free_partition(TfLiteContext* context, void* user_data) {
  (void)context;
  tfc_partition* partition = user_data;
  if (partition == NULL) return;
  for (int i = 0; i < partition->count; ++i) {
    free(partition->nodes[i].inputs);
    free(partition->nodes[i].outputs);
  }
  release_layers(partition->layers);
  free(partition->nodes);
  free(partition->temporaries);
  free(partition);
}

static bool copy_nodes(TfLiteContext* context, const TfLiteIntArray* nodes, tfc_partition* partition) {
  partition->nodes = calloc((size_t)nodes->size, sizeof partition->nodes[0]);
  if (partition->nodes == NULL) return false;
  partition->count = nodes->size;
  for (int i = 0; i < nodes->size; ++i) {
    TfLiteNode* node;
    TfLiteRegistration* registration;
    if (context->GetNodeAndRegistration(context, nodes->data[i], &node, &registration) != kTfLiteOk) return false;
    partition->nodes[i].operation = tfc_find_operation(registration->custom_name);
    partition->nodes[i].kernels = partition->delegate->kernels;
    partition->nodes[i].pool = &partition->delegate->pool;
    partition->nodes[i].layers = partition->layers;
    partition->nodes[i].inputs = copy_array(node->inputs);
    partition->nodes[i].outputs = copy_array(node->outputs);
    if (partition->nodes[i].inputs == NULL || partition->nodes[i].outputs == NULL) return false;
  }
  return true;
}

/* Lists the node outputs that only other nodes of the partition read: unless they are declared as temporaries of
 * the kernel node, the runtime gives them no memory. Then adds a tensor for scratch memory, so that it
 * comes from the runtime's arena, where it shares its memory with the tensors of other nodes. */
static bool list_temporaries(TfLiteContext* context, const TfLiteIntArray* visible, tfc_partition* partition) {
  int outputs = 0, scratch;
  for (int i = 0; i < partition->count; ++i) outputs += partition->nodes[i].outputs->size;
  TfLiteIntArray* temporaries = partition->temporaries = new_array(outputs + 1);
  if (temporaries == NULL) return false;
  for (int i = 0; i < partition->count; ++i) {
    const TfLiteIntArray* produced = partition->nodes[i].outputs;
    for (int j = 0; j < produced->size; ++j) {
      if (!contains(visible, produced->data[j])) temporaries->data[temporaries->size++] = produced->data[j];
    }
  }
  if (context->AddTensors(context, 1, &scratch) != kTfLiteOk) return false;
  temporaries->data[temporaries->size++] = scratch;
  return true;
}

static void* init_partition(TfLiteContext* context, const char* buffer, size_t length) {
  (void)length;
  const TfLiteDelegateParams* params = (const TfLiteDelegateParams*)(const void*)buffer;
  tfc_partition* partition = calloc(1, sizeof *partition);
  if (partition == NULL) return NULL;
  partition->delegate = (tfc_delegate*)(void*)params->delegate;
  partition->layers = share_layers(partition->delegate->layers);
  if (!copy_nodes(context, params->nodes_to_replace, partition) ||
      !list_temporaries(context, params->output_tensors, partition)) {
    free_partition(context, partition);
    return NULL;
  }
  return partition;
}

static int scratch_index(const tfc_partition* partition) {
  return partition->temporaries->data[partition->temporaries->size - 1];
}

static TfLiteStatus prepare_scratch(TfLiteContext* context, const tfc_partition* partition) {
  int64_t bytes = 0;
  for (int i = 0; i < partition->count; ++i) {
    const int64_t needed = tfc_node_scratch_bytes(&partition->nodes[i]);
    bytes = needed > bytes ? needed : bytes;
  }
  if (bytes > INT32_MAX) {
    context->ReportError(context, "%s: it needs %lld bytes of scratch memory, more than a tensor holds. ",
                         DELEGATE_NAME, (long long)bytes);
    return kTfLiteError;
  }
  TfLiteIntArray* size = new_array(1);
  if (size == NULL) return kTfLiteError;
  size->size = 1;
  size->data[0] = (int)bytes;
  TfLiteTensor* scratch = &context->tensors[scratch_index(partition)];
  scratch->type = kTfLiteUInt8;
  scratch->allocation_type = kTfLiteArenaRw;
  return context->ResizeTensor(context, scratch, size);
}

/* Checks that the computed tensors of the graph have the dimensions that the file fixes. A runtime lets its user resize
 * an input to a batch that the graph reshapes into one long utterance. */
static TfLiteStatus check_fixed_dimensions(TfLiteContext* context) {
  for (size_t i = 0; i < context->tensors_size; ++i) {
    const TfLiteTensor* tensor = &context->tensors[i];
    const TfLiteIntArray *dims = tensor->dims, *fixed = tensor->dims_signature;
    if (tensor->allocation_type == kTfLiteMmapRo || dims == NULL || fixed == NULL || fixed->size != dims->size)
      continue;
    for (int j = 0; j < dims->size; ++j) {
      if (fixed->data[j] < 0 || fixed->data[j] == dims->data[j]) continue;
      context->ReportError(context, "%s: dimension %d of the tensor '%.100s' is %d, the file allows only %d. ",
                           DELEGATE_NAME, j, tensor->name ? tensor->name : "", dims->data[j], fixed->data[j]);
      return kTfLiteError;
    }
  }
  return kTfLiteOk;
}

/* Takes the runtime's number of threads, which may change between two preparations. */
static TfLiteStatus prepare_threads(TfLiteContext* context, tfc_delegate* delegate) {
  const int wanted = context->recommended_num_threads;
  const int threads = wanted < 1 ? 1 : wanted > TFC_MAX_THREADS ? TFC_MAX_THREADS : wanted;
  if (threads == delegate->threads) return kTfLiteOk;
  tfc_thread_pool_destroy(delegate->pool);
  delegate->pool = NULL;
  delegate->threads = 1;
  if (threads > 1 && (delegate->pool = tfc_thread_pool_create(threads)) == NULL) {
    context->ReportError(context, "%s: %d threads cannot be started. ", DELEGATE_NAME, threads);
    return kTfLiteError;
  }
  delegate->threads = threads;
  return kTfLiteOk;
}

/* Appends a layer to the sequence when it is prepared for the first time, which happens in execution order. */
static void append_layer(tfc_node* node) {
  tfc_layer_sequence* layers = node->layers;
  if (node->operation != &tfc_fully_connected_operation || node->fully_connected.next > 0) return;
  if (layers == NULL || layers->count == layers->capacity) return;
  layers->weights[layers->count++] = node->fully_connected.weights;
  node->fully_connected.next = layers->count;
}

static TfLiteStatus prepare_partition(TfLiteContext* context, TfLiteNode* node) {
  tfc_partition* partition = node->user_data;
  if (partition == NULL) {
    context->ReportError(context, "%s: no memory for the node. ", DELEGATE_NAME);
    return kTfLiteError;
  }
  if (check_fixed_dimensions(context) != kTfLiteOk) return kTfLiteError;
  if (prepare_threads(context, partition->delegate) != kTfLiteOk) return kTfLiteError;
  free(node->temporaries);
  node->temporaries = copy_array(partition->temporaries);
  if (node->temporaries == NULL) return kTfLiteError;
  for (int i = 0; i < partition->count; ++i) {
    if (tfc_node_prepare(context, &partition->nodes[i]) != kTfLiteOk) return kTfLiteError;
    append_layer(&partition->nodes[i]);
  }
  return prepare_scratch(context, partition);
}

static TfLiteStatus invoke_partition(TfLiteContext* context, TfLiteNode* node) {
  const tfc_partition* partition = node->user_data;
  void* scratch = context->tensors[scratch_index(partition)].data;
  for (int i = 0; i < partition->count; ++i) {
    if (tfc_node_invoke(context, &partition->nodes[i], scratch) != kTfLiteOk) return kTfLiteError;
  }
  return kTfLiteOk;
}

/* Collects the nodes of the graph with custom operations of this library; NULL without memory or on a runtime error. */
static TfLiteIntArray* find_nodes(TfLiteContext* context) {
  TfLiteIntArray* plan;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return NULL;
  TfLiteIntArray* nodes = copy_array(plan); /* a copy, because `plan` only lives until the next call */
  if (nodes == NULL) return NULL;
  int found = 0;
  for (int i = 0; i < nodes->size; ++i) {
    TfLiteNode* node;
    TfLiteRegistration* registration;
    if (context->GetNodeAndRegistration(context, nodes->data[i], &node, &registration) != kTfLiteOk) {
      free(nodes);
      return NULL;
    }
    if (registration->builtin_code == kTfLiteBuiltinCustom && registration->custom_name != NULL &&
        tfc_find_operation(registration->custom_name) != NULL) {
      nodes->data[found++] = nodes->data[i];
    }
  }
  nodes->size = found;
  return nodes;
}

/* Called by the runtime for every subgraph. A second call would find nothing left to claim. */
static TfLiteStatus claim_nodes(TfLiteContext* context, TfLiteDelegate* delegate) {
  TfLiteIntArray* nodes = find_nodes(context);
  if (nodes == NULL) return kTfLiteError;
  const TfLiteRegistration registration = {
      .init = init_partition,
      .free = free_partition,
      .prepare = prepare_partition,
      .invoke = invoke_partition,
      .builtin_code = kTfLiteBuiltinDelegate,
      .custom_name = DELEGATE_NAME,
      .version = 1,
  };
  TfLiteStatus status = kTfLiteOk;
  if (nodes->size > 0) {
    tfc_delegate* ours = (tfc_delegate*)(void*)delegate;
    tfc_layer_sequence* layers = ours->layers = new_layers(nodes->size);
    status = context->ReplaceNodeSubsetsWithDelegateKernels(context, registration, nodes, delegate);
    ours->layers = NULL;
    release_layers(layers);
  }
  free(nodes);
  return status;
}

static void report(void (*report_error)(const char*), const char* format, const char* argument) {
  char sentence[TFC_MESSAGE_SIZE];
  snprintf(sentence, sizeof sentence, format, argument);
  if (report_error != NULL) report_error(sentence);
}

/* Creates the delegate. Its only option is "kernel", the name of the kernel to use instead of the fastest. */
EXPORT TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                                                     void (*report_error)(const char*)) {
  const char* name = NULL;
  /* Python passes the count as an int, whose upper half of the register is undefined. */
  for (uint32_t i = 0; i < (uint32_t)count; ++i) {
    if (strcmp(keys[i], "kernel") != 0) {
      report(report_error, "the tfconformer delegate has no option '%.80s', only 'kernel'", keys[i]);
      return NULL;
    }
    name = values[i];
  }
  const tfc_kernel_set* kernels = tfc_find_kernel_set(name);
  if (kernels == NULL) {
    report(report_error, "this processor has no kernel '%.80s' of the tfconformer delegate", name);
    return NULL;
  }
  tfc_delegate* delegate = calloc(1, sizeof *delegate);
  if (delegate == NULL) return NULL;
  delegate->kernels = kernels;
  delegate->threads = 1;
  delegate->base.Prepare = claim_nodes;
  /* Without this flag the runtime prepares the graph first and stops at the custom operations, which it does not
   * support. */
  delegate->base.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return &delegate->base;
}

EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  if (delegate != NULL) tfc_thread_pool_destroy(((tfc_delegate*)(void*)delegate)->pool);
  free(delegate);
}
