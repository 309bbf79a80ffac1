/* Mutation fuzzing of the delegate: a runtime that believes any file.
 *
 *   fuzz CORPUS SEED FIRST COUNT KERNEL...
 *
 * CORPUS holds valid nodes. Case number I is one of them with a few mutations, drawn from SEED and I alone: params,
 * types, shapes, lengths, bytes, indices, allocation and alignment of its tensors, one at a time or in step. Every node
 * goes through the delegate's life as in a runtime, with several shapes of x. Each buffer is a block of its own,
 * exactly as long as the tensor, so that the sanitizers find every access outside. Prints how many nodes were run
 * and refused; a refusal must come with one sentence. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <sanitizer/common_interface_defs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../../converters/custom_ops/tflite/tflite_abi.h"

TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                                              void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

enum {
  MAX_TENSORS = 16,
  MAX_RANK = 6,
  MAX_X_BYTES = 1 << 16,    /* so that a case takes little time, */
  MAX_ARENA_BYTES = 1 << 24 /* and the most that a shape is given */
};

/* ---- Random numbers ---- */

static uint64_t random_state;

static uint64_t next(void) { /* splitmix64 */
  uint64_t z = random_state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static int below(int limit) { return (int)(next() % (uint64_t)limit); }

static int32_t odd_number(int32_t old) {
  static const int32_t numbers[] = {0,  1,  2,  3,   4,   7,   8,   9,    15,    16,      17,      31,      32,
                                    33, 64, 65, 127, 128, 255, 256, 1024, 65535, INT_MAX, INT_MIN, 1 << 30, 1 << 28,
                                    -1, -2, -8, 24,  12,  96,  511, 513,  4096,  1 << 16, 1 << 20, 1 << 24, 0x7FFFFFF0};
  switch (below(5)) {
    case 0:
      return (int32_t)((uint32_t)old + 1u);
    case 1:
      return (int32_t)((uint32_t)old - 1u);
    case 2:
      return (int32_t)((uint32_t)old * 2u);
    case 3:
      return (int32_t)((uint32_t)old ^ (1u << below(32)));
    default:
      return numbers[below(sizeof numbers / sizeof numbers[0])];
  }
}

/* ---- Nodes ---- */

typedef struct {
  int32_t type, rank, dims[MAX_RANK];
  int64_t bytes;
  uint8_t* data; /* NULL for a variable */
} Stored;

typedef struct {
  char operation[64];
  int32_t tensors; /* inputs in their order, then the output */
  Stored stored[MAX_TENSORS];
} Node;

static void read_exactly(FILE* file, void* to, size_t bytes) {
  if (fread(to, 1, bytes, file) != bytes) abort();
}

static Node* read_corpus(const char* path, int32_t* count) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) abort();
  read_exactly(file, count, sizeof *count);
  Node* nodes = calloc((size_t)*count, sizeof *nodes);
  for (int32_t i = 0; i < *count; ++i) {
    read_exactly(file, nodes[i].operation, sizeof nodes[i].operation);
    read_exactly(file, &nodes[i].tensors, sizeof nodes[i].tensors);
    for (int t = 0; t < nodes[i].tensors; ++t) {
      Stored* one = &nodes[i].stored[t];
      read_exactly(file, &one->type, sizeof one->type);
      read_exactly(file, &one->rank, sizeof one->rank);
      read_exactly(file, one->dims, sizeof one->dims);
      read_exactly(file, &one->bytes, sizeof one->bytes);
      if (one->bytes > 0) {
        one->data = malloc((size_t)one->bytes);
        read_exactly(file, one->data, (size_t)one->bytes);
      }
    }
  }
  fclose(file);
  return nodes;
}

/* ---- The runtime ---- */

static TfLiteIntArray* new_array(int size, const int* values) {
  TfLiteIntArray* array = malloc(sizeof *array + (size_t)size * sizeof array->data[0]);
  array->size = size;
  for (int i = 0; i < size; ++i) array->data[i] = values[i];
  return array;
}

typedef struct {
  TfLiteContext context; /* first, so that a pointer to it is one to the whole */
  TfLiteTensor tensors[MAX_TENSORS + 8];
  void* blocks[MAX_TENSORS + 8]; /* what `data` points into */
  TfLiteNode node, kernel_node;
  TfLiteRegistration registration, kernel;
  TfLiteIntArray* plan;
  int params; /* which tensor holds them */
  char sentence[512];
  int sentences;
} Runtime;

static TfLiteStatus get_execution_plan(TfLiteContext* context, TfLiteIntArray** plan) {
  *plan = ((Runtime*)(void*)context)->plan;
  return kTfLiteOk;
}

static int type_bytes(TfLiteType type) {
  return type == kTfLiteFloat32 || type == kTfLiteInt32 ? 4 : type == kTfLiteFloat16 ? 2 : 1;
}

static TfLiteStatus resize_tensor(TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* size) {
  Runtime* runtime = (Runtime*)(void*)context;
  const ptrdiff_t index = tensor - runtime->tensors;
  size_t bytes = (size_t)type_bytes(tensor->type);
  for (int i = 0; i < size->size; ++i) {
    if (size->data[i] < 0 || __builtin_mul_overflow(bytes, (size_t)size->data[i], &bytes)) {
      free(size);
      return kTfLiteError;
    }
  }
  free(tensor->dims);
  tensor->dims = size;
  tensor->bytes = bytes;
  free(runtime->blocks[index]);
  runtime->blocks[index] = tensor->data = bytes <= MAX_ARENA_BYTES ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
  return kTfLiteOk;
}

static void report_error(TfLiteContext* context, const char* format, ...) {
  Runtime* runtime = (Runtime*)(void*)context;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(runtime->sentence, sizeof runtime->sentence, format, arguments);
  va_end(arguments);
  ++runtime->sentences;
}

static TfLiteStatus add_tensors(TfLiteContext* context, int count, int* first) {
  *first = (int)context->tensors_size;
  for (int i = 0; i < count; ++i) context->tensors[context->tensors_size++].dims = new_array(0, NULL);
  return kTfLiteOk;
}

static TfLiteStatus get_node(TfLiteContext* context, int index, TfLiteNode** node, TfLiteRegistration** registration) {
  Runtime* runtime = (Runtime*)(void*)context;
  if (index != 0) return kTfLiteError;
  *node = &runtime->node;
  *registration = &runtime->registration;
  return kTfLiteOk;
}

static TfLiteStatus replace_nodes(TfLiteContext* context, TfLiteRegistration kernel, const TfLiteIntArray* nodes,
                                  TfLiteDelegate* delegate) {
  Runtime* runtime = (Runtime*)(void*)context;
  TfLiteDelegateParams params = {delegate, new_array(nodes->size, nodes->data), runtime->node.inputs,
                                 runtime->node.outputs};
  runtime->kernel = kernel;
  runtime->kernel_node = (TfLiteNode){.inputs = runtime->node.inputs, .outputs = runtime->node.outputs};
  runtime->kernel_node.user_data = kernel.init(context, (const char*)&params, sizeof params);
  free(params.nodes_to_replace);
  return kTfLiteOk;
}

/* Gives tensor `index` its own block of so many bytes; `shift` bytes before it keep it from being aligned. */
static void place(Runtime* runtime, int index, const uint8_t* content, int64_t content_bytes, size_t bytes,
                  size_t shift) {
  free(runtime->blocks[index]);
  uint8_t* block = malloc(bytes + shift);
  runtime->blocks[index] = block;
  memset(block, 0x5A, bytes + shift);
  const size_t copied = (size_t)content_bytes < bytes ? (size_t)content_bytes : bytes;
  if (copied > 0) memcpy(block + shift, content, copied);
  runtime->tensors[index].data = block + shift;
  runtime->tensors[index].bytes = bytes;
}

static void set_up(Runtime* runtime, const Node* seed, int threads) {
  memset(runtime, 0, sizeof *runtime);
  runtime->context = (TfLiteContext){
      .tensors_size = (size_t)seed->tensors,
      .GetExecutionPlan = get_execution_plan,
      .tensors = runtime->tensors,
      .ResizeTensor = resize_tensor,
      .ReportError = report_error,
      .AddTensors = add_tensors,
      .GetNodeAndRegistration = get_node,
      .ReplaceNodeSubsetsWithDelegateKernels = replace_nodes,
      .recommended_num_threads = threads,
  };
  runtime->registration = (TfLiteRegistration){.builtin_code = kTfLiteBuiltinCustom, .custom_name = seed->operation};
  int indices[MAX_TENSORS];
  for (int t = 0; t < seed->tensors; ++t) {
    const Stored* stored = &seed->stored[t];
    TfLiteTensor* tensor = &runtime->tensors[t];
    tensor->type = (TfLiteType)stored->type;
    tensor->dims = new_array(stored->rank, stored->dims);
    tensor->name = "layer";
    tensor->allocation_type = stored->data != NULL ? kTfLiteMmapRo : kTfLiteArenaRw;
    if (stored->data != NULL && stored->type == kTfLiteInt32) runtime->params = t;
    if (stored->data != NULL) place(runtime, t, stored->data, stored->bytes, (size_t)stored->bytes, 0);
    indices[t] = t;
  }
  runtime->plan = new_array(1, (int[]){0});
  runtime->node = (TfLiteNode){.inputs = new_array(seed->tensors - 1, indices),
                               .outputs = new_array(1, &indices[seed->tensors - 1])};
}

static void tear_down(Runtime* runtime) {
  if (runtime->kernel.free != NULL) runtime->kernel.free(&runtime->context, runtime->kernel_node.user_data);
  free(runtime->kernel_node.temporaries);
  for (size_t t = 0; t < runtime->context.tensors_size; ++t) {
    free(runtime->tensors[t].dims);
    free(runtime->blocks[t]);
  }
  free(runtime->node.inputs);
  free(runtime->node.outputs);
  free(runtime->plan);
}

/* ---- Mutations ---- */

enum { X = 0, FIRST_OTHER = 1 };

static void mutate_indices(TfLiteIntArray** list, int tensors) {
  TfLiteIntArray* old = *list;
  int values[MAX_TENSORS + 1] = {0}, size = old->size;
  for (int i = 0; i < size; ++i) values[i] = old->data[i];
  switch (below(4)) {
    case 0:
      if (size > 0) --size;
      break;
    case 1:
      if (size < MAX_TENSORS) values[size++] = below(tensors);
      break;
    case 2:
      if (size > 0) values[below(size)] = below(tensors);
      break;
    default:
      if (size > 0) values[below(size)] = odd_number(values[0]);
  }
  *list = new_array(size, values);
  free(old);
}

static void mutate_dims(TfLiteTensor* tensor) {
  TfLiteIntArray* old = tensor->dims;
  int values[MAX_RANK + 1] = {1, 1, 1, 1, 1, 1, 1}, size = old->size;
  for (int i = 0; i < size; ++i) values[i] = old->data[i];
  switch (below(3)) {
    case 0:
      if (size > 0) --size;
      break;
    case 1:
      if (size < MAX_RANK) values[size++] = odd_number(1);
      break;
    default:
      if (size > 0) {
        const int i = below(size);
        values[i] = odd_number(values[i]);
      }
  }
  tensor->dims = new_array(size, values);
  free(old);
}

/* A number of the params changes, and often so does every dimension that was the same number. */
static void mutate_params(Runtime* runtime, int tensors) {
  TfLiteTensor* params = &runtime->tensors[runtime->params];
  const int count = (int)(params->bytes / sizeof(int32_t));
  if (count == 0) return;
  int32_t* values = params->data;
  const int i = below(count);
  const int32_t old = values[i], new = odd_number(old);
  values[i] = new;
  if (below(2) == 0) return;
  for (int t = 0; t < tensors; ++t) {
    TfLiteIntArray* dims = runtime->tensors[t].dims;
    for (int d = 0; d < dims->size; ++d) {
      if (dims->data[d] == old) dims->data[d] = new;
    }
  }
}

/* The length of a constant changes, and often its first dimension in step. */
static void mutate_length(Runtime* runtime, int t) {
  TfLiteTensor* tensor = &runtime->tensors[t];
  size_t bytes = tensor->bytes;
  switch (below(4)) {
    case 0:
      bytes = bytes > 0 ? (size_t)below((int)bytes) : 0;
      break;
    case 1:
      bytes += (size_t)below(64);
      break;
    case 2:
      bytes /= 2;
      break;
    default:
      bytes *= 2;
  }
  uint8_t* content = malloc(tensor->bytes + 1);
  memcpy(content, tensor->data, tensor->bytes);
  const size_t old = tensor->bytes;
  place(runtime, t, content, (int64_t)old, bytes, 0);
  free(content);
  if (below(2) == 0 && old > 0 && tensor->dims->size > 0) {
    tensor->dims->data[0] = (int)((int64_t)tensor->dims->data[0] * (int64_t)bytes / (int64_t)old);
  }
}

static void mutate(Runtime* runtime) {
  const int tensors = (int)runtime->context.tensors_size;
  const int t = below(tensors), constant = FIRST_OTHER + below(tensors - 2);
  TfLiteTensor* tensor = &runtime->tensors[constant];
  static const int types[] = {0, kTfLiteFloat32, kTfLiteInt32, kTfLiteUInt8, kTfLiteFloat16, 7, 9, 20, -1};
  switch (below(16)) {
    case 0: /* fall through */
    case 1:
    case 2:
    case 3:
      if (runtime->tensors[runtime->params].data != NULL) mutate_params(runtime, tensors);
      break;
    case 4:
    case 5:
    case 6: /* bits of a constant */
      for (int i = below(8); i >= 0 && tensor->data != NULL && tensor->bytes > 0; --i) {
        ((uint8_t*)tensor->data)[next() % tensor->bytes] ^= (uint8_t)(1 << below(8));
      }
      break;
    case 7: /* a run of equal bytes: NaN, infinity, zero */
      if (tensor->data != NULL && tensor->bytes > 0) {
        const size_t first = next() % tensor->bytes, most = tensor->bytes - first;
        static const uint8_t patterns[] = {0x00, 0xFF, 0x7C, 0x80, 0x7F, 0xFC};
        memset((uint8_t*)tensor->data + first, patterns[below(sizeof patterns)], 1 + next() % most);
      }
      break;
    case 8:
    case 9:
      mutate_dims(&runtime->tensors[t]);
      break;
    case 10:
    case 11:
      if (tensor->data != NULL) mutate_length(runtime, constant);
      break;
    case 12:
      runtime->tensors[t].type = (TfLiteType)types[below(sizeof types / sizeof types[0])];
      break;
    case 13:
      mutate_indices(below(4) == 0 ? &runtime->node.outputs : &runtime->node.inputs, tensors);
      break;
    case 14:
      if (below(2) == 0) {
        const bool is_constant = tensor->allocation_type == kTfLiteMmapRo;
        tensor->allocation_type = is_constant ? kTfLiteArenaRw : kTfLiteMmapRo;
      } else {
        free(runtime->blocks[constant]);
        runtime->blocks[constant] = tensor->data = NULL;
      }
      break;
    default:
      if (tensor->data != NULL) { /* not aligned */
        uint8_t* content = malloc(tensor->bytes + 1);
        memcpy(content, tensor->data, tensor->bytes);
        place(runtime, constant, content, (int64_t)tensor->bytes, tensor->bytes, 1 + (size_t)below(3));
        free(content);
      }
  }
}

/* ---- One case ---- */

static float odd_float(void) {
  static const float numbers[] = {0.0f,    -0.0f,  1.0f,     127.0f,    FLT_MAX, -FLT_MAX,
                                  FLT_MIN, 1e-42f, INFINITY, -INFINITY, NAN};
  if (below(64) == 0) return numbers[below(sizeof numbers / sizeof numbers[0])];
  return (float)(int32_t)next() * 0x1p-29f;
}

/* Gives a variable room for its shape, and numbers; false if that would be too much for a test. */
static bool fill_variable(Runtime* runtime, int index) {
  TfLiteTensor* tensor = &runtime->tensors[index];
  uint64_t bytes = (uint64_t)type_bytes(tensor->type);
  for (int i = 0; i < tensor->dims->size; ++i) {
    if (tensor->dims->data[i] < 0 || __builtin_mul_overflow(bytes, (uint64_t)tensor->dims->data[i], &bytes)) {
      bytes = (uint64_t)below(1000); /* the runtime would not get so far; the operation must not rely on it */
      break;
    }
  }
  if (bytes > MAX_X_BYTES) return false;
  if (below(50) == 0) bytes = (uint64_t)below(1000);
  place(runtime, index, NULL, 0, (size_t)bytes, 0);
  for (size_t i = 0; i < bytes / sizeof(float); ++i) {
    if (tensor->type == kTfLiteInt32) ((int32_t*)tensor->data)[i] = odd_number(0);
    if (tensor->type != kTfLiteInt32) ((float*)tensor->data)[i] = odd_float();
  }
  return true;
}

/* Fills the inputs that are no constants; x often has another shape. Where an array of indices, or a tensor, is out of
 * the runtime's reach a real runtime refuses the file itself; the operation checks again. */
static bool fill_variables(Runtime* runtime) {
  const TfLiteIntArray* inputs = runtime->node.inputs;
  for (int i = 0; i < inputs->size; ++i) {
    const int index = inputs->data[i];
    if (index < 0 || (size_t)index >= runtime->context.tensors_size) continue;
    TfLiteTensor* tensor = &runtime->tensors[index];
    if (tensor->allocation_type != kTfLiteArenaRw) continue;
    const int rank = tensor->dims->size;
    if (i == X && rank >= 2 && below(2) == 0) tensor->dims->data[below(rank - 1)] = below(20);
    if (!fill_variable(runtime, index)) return false;
  }
  return true;
}

typedef enum { REFUSED, RUN, SKIPPED, OUTCOMES } Outcome;

/* A delegate of its own is destroyed before the graph that it served, as happens where objects are collected. */
static Outcome run_case(const Node* seed, int mutations, int threads, TfLiteDelegate* delegate, bool is_own) {
  Runtime runtime;
  set_up(&runtime, seed, threads);
  for (int i = 0; i < mutations; ++i) mutate(&runtime);
  Outcome outcome = SKIPPED;
  TfLiteContext* context = &runtime.context;
  if (delegate->Prepare(context, delegate) != kTfLiteOk) abort();
  for (int shapes = 1 + below(3); shapes > 0; --shapes) {
    if (!fill_variables(&runtime)) break;
    runtime.sentences = 0;
    if (runtime.kernel.prepare(context, &runtime.kernel_node) != kTfLiteOk) {
      outcome = REFUSED;
      if (runtime.sentences != 1 || strlen(runtime.sentence) < 10) {
        fprintf(stderr, "refused with %d sentences: %s\n", runtime.sentences, runtime.sentence);
        abort();
      }
      break;
    }
    bool has_memory = true;
    for (size_t t = 0; t < context->tensors_size; ++t) {
      has_memory = has_memory && (runtime.tensors[t].data != NULL || runtime.tensors[t].bytes == 0);
    }
    if (!has_memory) break;
    const int repeats = 1 + below(2);
    for (int i = 0; i < repeats; ++i) {
      outcome = runtime.kernel.invoke(context, &runtime.kernel_node) == kTfLiteOk ? RUN : REFUSED;
    }
  }
  if (is_own) tflite_plugin_destroy_delegate(delegate);
  tear_down(&runtime);
  return outcome;
}

static unsigned long long current_seed, current_case;

static void name_the_case(void) { fprintf(stderr, "case %llu of seed %llu\n", current_case, current_seed); }

/* UBSan calls it before it ends the process. */
void __ubsan_on_report(void);
void __ubsan_on_report(void) { name_the_case(); }

static void print_error(const char* message) { fprintf(stderr, "%s\n", message); }

static TfLiteDelegate* create_delegate(const char* kernel) {
  const char* key = "kernel";
  return tflite_plugin_create_delegate(&key, &kernel, 1, print_error);
}

int main(int count, char** arguments) {
  if (count < 6) return 2;
  int32_t seeds;
  Node* corpus = read_corpus(arguments[1], &seeds);
  current_seed = strtoull(arguments[2], NULL, 10);
  const unsigned long long first = strtoull(arguments[3], NULL, 10), cases = strtoull(arguments[4], NULL, 10);
  const int kernels = count - 5;
  TfLiteDelegate* delegates[8];
  for (int i = 0; i < kernels && i < 8; ++i) {
    if ((delegates[i] = create_delegate(arguments[5 + i])) == NULL) return 2;
  }
  __sanitizer_set_death_callback(name_the_case);
  unsigned long long outcomes[OUTCOMES] = {0};
  for (unsigned long long i = 0; i < cases; ++i) {
    current_case = first + i;
    random_state = current_seed * 0x2545F4914F6CDD1Du + current_case;
    next();
    const Node* seed = &corpus[below(seeds)];
    const int kernel = below(kernels);
    /* Starting threads takes long, so one number of them serves many cases. */
    const int threads = 1 + (int)(current_case / 1000 % 2);
    /* Some stay valid, so that the kernels run at all, with all shapes of x. */
    const bool is_own = below(64) == 0;
    TfLiteDelegate* delegate = is_own ? create_delegate(arguments[5 + kernel]) : delegates[kernel];
    ++outcomes[run_case(seed, below(4), threads, delegate, is_own)];
  }
  printf("run %llu refused %llu skipped %llu\n", outcomes[RUN], outcomes[REFUSED], outcomes[SKIPPED]);
  for (int i = 0; i < kernels; ++i) tflite_plugin_destroy_delegate(delegates[i]);
  for (int32_t i = 0; i < seeds; ++i) {
    for (int t = 0; t < corpus[i].tensors; ++t) free(corpus[i].stored[t].data);
  }
  free(corpus);
  return 0;
}
