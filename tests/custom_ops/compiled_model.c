/* Runs a file with one layer in LiteRT's CompiledModel, with our delegate as an accelerator, all by C interfaces.
 *
 *   compiled_model LIBLITERT MODEL M K N < x > y
 *
 * The functions are declared by hand, as they are in libLiteRt.so of ai-edge-litert 2.3, which ships no headers. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
  unsigned rank : 7;
  unsigned has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
} Layout;

typedef struct {
  int element_type;
  Layout layout;
} TensorType;

enum { FLOAT32 = 1, CPU = 1, READ = 0, WRITE = 1 };

typedef void (*Function)(void);
int tfconformer_register_litert_accelerator(void* environment, Function (*lookup)(const char*));

static void* library;

static Function lookup(const char* name) { return (Function)dlsym(library, name); }

static void check(const char* name, int status) {
  if (status == 0) return;
  fprintf(stderr, "%s: status %d\n", name, status);
  exit(1);
}

/* CALL(Name, (types), arguments): a function of the library that returns a status. */
#define CALL(name, types, ...) check(#name, ((int (*) types)dlsym(library, #name))(__VA_ARGS__))

static void* new_buffer(void* environment, void* requirements, int rows, int columns) {
  const TensorType type = {FLOAT32, {.rank = 2, .dimensions = {rows, columns}}};
  void* buffer;
  CALL(LiteRtCreateManagedTensorBufferFromRequirements, (void*, const TensorType*, void*, void**), environment, &type,
       requirements, &buffer);
  return buffer;
}

int main(int count, char** arguments) {
  if (count != 6 || (library = dlopen(arguments[1], RTLD_NOW)) == NULL) {
    fprintf(stderr, "%s\n", count == 6 ? dlerror() : "five arguments are needed");
    return 2;
  }
  const int m = atoi(arguments[3]), k = atoi(arguments[4]), n = atoi(arguments[5]);
  void *environment, *model, *options, *compiled, *requirements, *memory;
  CALL(LiteRtCreateEnvironment, (int, const void*, void**), 0, NULL, &environment);
  CALL(LiteRtCreateModelFromFile, (void*, const char*, void**), environment, arguments[2], &model);
  CALL(LiteRtCreateOptions, (void**), &options);
  CALL(LiteRtSetOptionsHardwareAccelerators, (void*, int), options, CPU);
  check("registration", tfconformer_register_litert_accelerator(environment, lookup));
  CALL(LiteRtCreateCompiledModel, (void*, void*, void*, void**), environment, model, options, &compiled);
  CALL(LiteRtGetCompiledModelInputBufferRequirements, (void*, size_t, size_t, void**), compiled, 0, 0, &requirements);
  void* x = new_buffer(environment, requirements, m, k);
  CALL(LiteRtGetCompiledModelOutputBufferRequirements, (void*, size_t, size_t, void**), compiled, 0, 0, &requirements);
  void* y = new_buffer(environment, requirements, m, n);
  CALL(LiteRtLockTensorBuffer, (void*, void**, int), x, &memory, WRITE);
  if (fread(memory, sizeof(float), (size_t)m * k, stdin) != (size_t)m * k) return 2;
  CALL(LiteRtUnlockTensorBuffer, (void*), x);
  CALL(LiteRtRunCompiledModel, (void*, size_t, size_t, void**, size_t, void**), compiled, 0, 1, &x, 1, &y);
  CALL(LiteRtLockTensorBuffer, (void*, void**, int), y, &memory, READ);
  if (fwrite(memory, sizeof(float), (size_t)m * n, stdout) != (size_t)m * n) return 2;
  return 0;
}
