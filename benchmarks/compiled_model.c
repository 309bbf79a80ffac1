/* Runs a file with one layer in LiteRT's CompiledModel, all by C interfaces.
 *
 *   compiled_model LIBLITERT OPERATIONS MODEL M K N RUNS < x > y
 *
 * OPERATIONS is libtfconformer_ops.so, whose delegate becomes an accelerator, or "" for LiteRT alone. After a first run
 * come RUNS more, each between two instructions that do nothing, by which `count_instructions.c` finds them.
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

#ifdef __aarch64__
#define BEGIN_RUN() __asm__ volatile("hint #126" ::: "memory")
#define END_RUN() __asm__ volatile("hint #127" ::: "memory")
#else
#define BEGIN_RUN()
#define END_RUN()
#endif

typedef void (*Function)(void);
typedef int (*Register)(void* environment, Function (*lookup)(const char*));

static void* library;

static Function lookup(const char* name) { return (Function)dlsym(library, name); }

static void check(const char* name, int status) {
  if (status == 0) return;
  fprintf(stderr, "%s: status %d\n", name, status);
  exit(1);
}

/* CALL(Name, (types), arguments): a function of the library that returns a status. */
#define CALL(name, types, ...) check(#name, ((int(*) types)dlsym(library, #name))(__VA_ARGS__))

static void* new_buffer(void* environment, void* requirements, int rows, int columns) {
  const TensorType type = {FLOAT32, {.rank = 2, .dimensions = {rows, columns}}};
  void* buffer;
  CALL(LiteRtCreateManagedTensorBufferFromRequirements, (void*, const TensorType*, void*, void**), environment, &type,
       requirements, &buffer);
  return buffer;
}

static void register_operations(const char* path, void* environment) {
  void* operations = dlopen(path, RTLD_NOW);
  Register enter = operations == NULL ? NULL : (Register)dlsym(operations, "tfc_register_litert_accelerator");
  if (enter == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  check("registration", enter(environment, lookup));
}

int main(int count, char** arguments) {
  if (count != 8 || (library = dlopen(arguments[1], RTLD_NOW)) == NULL) {
    fprintf(stderr, "%s\n", count == 8 ? dlerror() : "seven arguments are needed");
    return 2;
  }
  const int m = atoi(arguments[4]), k = atoi(arguments[5]), n = atoi(arguments[6]), runs = atoi(arguments[7]);
  void *environment, *model, *options, *compiled, *requirements, *memory;
  CALL(LiteRtCreateEnvironment, (int, const void*, void**), 0, NULL, &environment);
  CALL(LiteRtCreateModelFromFile, (void*, const char*, void**), environment, arguments[3], &model);
  CALL(LiteRtCreateOptions, (void**), &options);
  CALL(LiteRtSetOptionsHardwareAccelerators, (void*, int), options, CPU);
  if (arguments[2][0] != '\0') register_operations(arguments[2], environment);
  CALL(LiteRtCreateCompiledModel, (void*, void*, void*, void**), environment, model, options, &compiled);
  CALL(LiteRtGetCompiledModelInputBufferRequirements, (void*, size_t, size_t, void**), compiled, 0, 0, &requirements);
  void* x = new_buffer(environment, requirements, m, k);
  CALL(LiteRtGetCompiledModelOutputBufferRequirements, (void*, size_t, size_t, void**), compiled, 0, 0, &requirements);
  void* y = new_buffer(environment, requirements, m, n);
  CALL(LiteRtLockTensorBuffer, (void*, void**, int), x, &memory, WRITE);
  if (fread(memory, sizeof(float), (size_t)m * k, stdin) != (size_t)m * k) return 2;
  CALL(LiteRtUnlockTensorBuffer, (void*), x);
  int (*run)(void*, size_t, size_t, void**, size_t, void**) =
      (int (*)(void*, size_t, size_t, void**, size_t, void**))dlsym(library, "LiteRtRunCompiledModel");
  for (int i = 0; i <= runs; ++i) {
    if (i > 0) BEGIN_RUN();
    const int status = run(compiled, 0, 1, &x, 1, &y);
    if (i > 0) END_RUN();
    check("LiteRtRunCompiledModel", status);
  }
  CALL(LiteRtLockTensorBuffer, (void*, void**, int), y, &memory, READ);
  if (fwrite(memory, sizeof(float), (size_t)m * n, stdout) != (size_t)m * n) return 2;
  return 0;
}
