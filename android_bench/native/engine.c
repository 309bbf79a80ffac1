#include "engine.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteDelegate TfLiteDelegate;
typedef void (*ErrorReporter)(void* user, const char* format, va_list arguments);

/* Of converters/custom_ops. */
TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                                              void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

/* Every function of the C API that is used: result, name after "TfLite", parameters. */
#define TFLITE_FUNCTIONS(F)                                                                                       \
  F(const char*, Version, (void))                                                                                 \
  F(TfLiteModel*, ModelCreate, (const void* bytes, size_t size))                                                  \
  F(void, ModelDelete, (TfLiteModel * model))                                                                     \
  F(TfLiteInterpreterOptions*, InterpreterOptionsCreate, (void))                                                  \
  F(void, InterpreterOptionsDelete, (TfLiteInterpreterOptions * options))                                         \
  F(void, InterpreterOptionsSetNumThreads, (TfLiteInterpreterOptions * options, int32_t threads))                 \
  F(void, InterpreterOptionsSetErrorReporter, (TfLiteInterpreterOptions * options, ErrorReporter, void* user))    \
  F(void, InterpreterOptionsAddDelegate, (TfLiteInterpreterOptions * options, TfLiteDelegate * delegate))         \
  F(void, InterpreterOptionsSetTelemetryProfiler, (TfLiteInterpreterOptions * options, TelemetryProfiler*))       \
  F(TfLiteInterpreter*, InterpreterCreate, (const TfLiteModel* model, const TfLiteInterpreterOptions* options))   \
  F(void, InterpreterDelete, (TfLiteInterpreter * interpreter))                                                   \
  F(int32_t, InterpreterGetSignatureCount, (const TfLiteInterpreter* interpreter))                                \
  F(const char*, InterpreterGetSignatureKey, (const TfLiteInterpreter* interpreter, int32_t index))               \
  F(TfLiteSignatureRunner*, InterpreterGetSignatureRunner, (const TfLiteInterpreter* interpreter, const char*))   \
  F(void, SignatureRunnerDelete, (TfLiteSignatureRunner * runner))                                                \
  F(size_t, SignatureRunnerGetInputCount, (const TfLiteSignatureRunner* runner))                                  \
  F(const char*, SignatureRunnerGetInputName, (const TfLiteSignatureRunner* runner, int32_t index))               \
  F(int, SignatureRunnerResizeInputTensor, (TfLiteSignatureRunner * runner, const char*, const int*, int32_t))    \
  F(int, SignatureRunnerAllocateTensors, (TfLiteSignatureRunner * runner))                                        \
  F(int, SignatureRunnerInvoke, (TfLiteSignatureRunner * runner))                                                 \
  F(TfLiteTensor*, SignatureRunnerGetInputTensor, (TfLiteSignatureRunner * runner, const char* name))             \
  F(const TfLiteTensor*, SignatureRunnerGetOutputTensor, (const TfLiteSignatureRunner* runner, const char* name)) \
  F(int, TensorType, (const TfLiteTensor* tensor))                                                                \
  F(int32_t, TensorNumDims, (const TfLiteTensor* tensor))                                                         \
  F(int32_t, TensorDim, (const TfLiteTensor* tensor, int32_t index))                                              \
  F(size_t, TensorByteSize, (const TfLiteTensor* tensor))                                                         \
  F(void*, TensorData, (const TfLiteTensor* tensor))

/* XNNPACK's options: the runtime fills in its defaults, of which only the threads are changed. Later versions have more
 * of them; the structure is returned through a hidden pointer, so a longer one than the runtime's does no harm. */
typedef struct {
  int32_t threads;
  uint32_t flags;
  uint64_t others[31];
} XnnpackOptions;

/* Functions that a library may lack. */
#define OPTIONAL_FUNCTIONS(F)                                                \
  F(XnnpackOptions, XNNPackDelegateOptionsDefault, (void))                   \
  F(TfLiteDelegate*, XNNPackDelegateCreate, (const XnnpackOptions* options)) \
  F(void, XNNPackDelegateDelete, (TfLiteDelegate * delegate))                \
  F(int, InterpreterModifyGraphWithDelegate, (const TfLiteInterpreter* interpreter, TfLiteDelegate* delegate))

/* Of TfLiteStatus: fine, and "the graph cannot take this delegate and stays as it is". */
enum { STATUS_OK = 0, STATUS_GRAPH_UNSUITABLE = 3 };
enum { LIBRARY_PATH_SIZE = 512, COMPLAINTS_SIZE = 600 };

struct Engine {
  char library[LIBRARY_PATH_SIZE];
#define MEMBER(result, name, parameters) result(*name) parameters;
  TFLITE_FUNCTIONS(MEMBER)
  OPTIONAL_FUNCTIONS(MEMBER)
#undef MEMBER
};

struct Session {
  const Engine* engine;
  TfLiteModel* model;
  TfLiteInterpreterOptions* options;
  TfLiteDelegate* delegate;
  TfLiteDelegate* xnnpack; /* NULL: not asked for */
  bool xnnpack_is_used;
  TfLiteInterpreter* interpreter;
  int threads;
  char complaints[COMPLAINTS_SIZE];
};

/* The name under which apps and this program carry the runtime, and the one of desktop builds. */
static const char* const LIBRARIES[] = {"libtensorflowlite_jni.so", "libtensorflowlite_c.so"};

/* The path of a file in the folder of this program. */
static bool beside_program(const char* name, char path[LIBRARY_PATH_SIZE]) {
  const ssize_t length = readlink("/proc/self/exe", path, LIBRARY_PATH_SIZE - 1);
  if (length < 0) return false;
  path[length] = '\0';
  char* slash = strrchr(path, '/');
  const size_t room = slash == NULL ? 0 : LIBRARY_PATH_SIZE - (size_t)(slash + 1 - path);
  return slash != NULL && snprintf(slash + 1, room, "%s", name) < (int)room;
}

static void* open_library(const char* path, Engine* engine) {
  snprintf(engine->library, sizeof engine->library, "%s", path);
  return dlopen(path, RTLD_NOW);
}

static void* find_library(const char* path, Engine* engine) {
  if (path != NULL) return open_library(path, engine);
  for (size_t i = 0; i < sizeof LIBRARIES / sizeof LIBRARIES[0]; ++i) {
    char beside[LIBRARY_PATH_SIZE];
    void* library = open_library(LIBRARIES[i], engine);
    if (library == NULL && beside_program(LIBRARIES[i], beside) && access(beside, R_OK) == 0) {
      library = open_library(beside, engine);
    }
    if (library != NULL) return library;
  }
  return NULL;
}

Engine* engine_load(const char* path, Failure* failure) {
  Engine* engine = calloc(1, sizeof *engine);
  if (engine == NULL) {
    fail(failure, RUN_FAILED, "no memory");
    return NULL;
  }
  void* library = find_library(path, engine);
  const char* missing = NULL;
  if (library == NULL) {
    const char* reason = dlerror();
    fail(failure, RUN_FAILED, "no TFLite library%s%.300s (%.300s)", path == NULL ? " beside the program" : " at ",
         path == NULL ? "" : path, reason == NULL ? "not found" : reason);
  } else {
    /* POSIX lets dlsym's result be a function's address; ISO C has no cast for it. */
#define LOOK_UP(result, name, parameters) *(void**)&engine->name = dlsym(library, "TfLite" #name);
#define REQUIRE(result, name, parameters) \
  if (engine->name == NULL && missing == NULL) missing = "TfLite" #name;
    TFLITE_FUNCTIONS(LOOK_UP)
    OPTIONAL_FUNCTIONS(LOOK_UP)
    TFLITE_FUNCTIONS(REQUIRE)
#undef LOOK_UP
#undef REQUIRE
    if (missing == NULL) return engine;
    fail(failure, RUN_FAILED, "%.300s has no function %s; expected TFLite 2.14 or later", engine->library, missing);
  }
  free(engine);
  return NULL;
}

const char* engine_version(const Engine* engine) { return engine->Version(); }

const char* engine_library(const Engine* engine) {
  const char* slash = strrchr(engine->library, '/');
  return slash == NULL ? engine->library : slash + 1;
}

/* Appends a message of the runtime, as one line. */
static void append_complaint(void* user, const char* format, va_list arguments) {
  Session* session = user;
  const size_t length = strlen(session->complaints);
  char* at = session->complaints + length;
  const size_t room = sizeof session->complaints - length;
  if (room < 2) return;
  if (length > 0 && at[-1] != ' ') *at++ = ' ';
  vsnprintf(at, sizeof session->complaints - (size_t)(at - session->complaints), format, arguments);
  for (; *at != '\0'; ++at) *at = *at == '\n' ? ' ' : *at;
}

/* A delegate reports an error without a context, so the message is stored here until its creation returns. */
static char delegate_error[FAILURE_MESSAGE_SIZE];

static void store_delegate_error(const char* message) {
  snprintf(delegate_error, sizeof delegate_error, "%s", message);
}

static bool create_delegate(Session* session, const char* kernel, Failure* failure) {
  static const char* const keys[] = {"kernel"};
  delegate_error[0] = '\0';
  session->delegate = tflite_plugin_create_delegate(keys, &kernel, kernel == NULL ? 0 : 1, store_delegate_error);
  if (session->delegate != NULL) return true;
  if (kernel == NULL) return fail(failure, RUN_FAILED, "no memory for the delegate");
  return fail(failure, RUN_BAD_ARGUMENTS, "--kernel=%.100s: %.400s", kernel, delegate_error);
}

static bool create_interpreter(Session* session, MappedFile model, int threads, Profile* profile, Failure* failure) {
  const Engine* engine = session->engine;
  session->model = engine->ModelCreate(model.bytes, model.size);
  if (session->model == NULL) {
    return fail(failure, RUN_MODEL_REFUSED, "the file is not a whole TFLite model (the runtime cannot verify it)");
  }
  session->options = engine->InterpreterOptionsCreate();
  engine->InterpreterOptionsSetNumThreads(session->options, threads);
  engine->InterpreterOptionsSetErrorReporter(session->options, append_complaint, session);
  engine->InterpreterOptionsAddDelegate(session->options, session->delegate);
  if (profile != NULL) engine->InterpreterOptionsSetTelemetryProfiler(session->options, &profile->profiler);
  session->interpreter = engine->InterpreterCreate(session->model, session->options);
  if (session->interpreter != NULL) return true;
  return fail(failure, RUN_MODEL_REFUSED, "the runtime refuses the model: %s", session->complaints);
}

Session* session_open(Engine* engine, MappedFile model, int threads, const char* kernel, Profile* profile,
                      Failure* failure) {
  Session* session = calloc(1, sizeof *session);
  if (session == NULL) {
    fail(failure, RUN_FAILED, "no memory");
    return NULL;
  }
  session->engine = engine;
  session->threads = threads;
  if (create_delegate(session, kernel, failure) && create_interpreter(session, model, threads, profile, failure)) {
    return session;
  }
  session_close(session);
  return NULL;
}

void session_close(Session* session) {
  if (session == NULL) return;
  const Engine* engine = session->engine;
  if (session->interpreter != NULL) engine->InterpreterDelete(session->interpreter);
  if (session->options != NULL) engine->InterpreterOptionsDelete(session->options);
  if (session->model != NULL) engine->ModelDelete(session->model);
  if (session->xnnpack != NULL) engine->XNNPackDelegateDelete(session->xnnpack);
  tflite_plugin_destroy_delegate(session->delegate);
  free(session);
}

static bool has_xnnpack_functions(const Engine* engine) {
  return engine->XNNPackDelegateOptionsDefault != NULL && engine->XNNPackDelegateCreate != NULL &&
         engine->XNNPackDelegateDelete != NULL && engine->InterpreterModifyGraphWithDelegate != NULL;
}

bool session_use_xnnpack(Session* session, Failure* failure) {
  const Engine* engine = session->engine;
  if (!has_xnnpack_functions(engine)) return true;
  XnnpackOptions options = engine->XNNPackDelegateOptionsDefault();
  options.threads = session->threads;
  session->xnnpack = engine->XNNPackDelegateCreate(&options);
  if (session->xnnpack == NULL) return fail(failure, RUN_FAILED, "no memory for XNNPACK");
  const int status = engine->InterpreterModifyGraphWithDelegate(session->interpreter, session->xnnpack);
  session->xnnpack_is_used = status == STATUS_OK;
  if (status != STATUS_OK && status != STATUS_GRAPH_UNSUITABLE) {
    return fail(failure, RUN_MODEL_REFUSED, "XNNPACK refuses the model: %s", session->complaints);
  }
  session->complaints[0] = '\0';
  return true;
}

bool session_has_xnnpack(const Session* session) { return session->xnnpack_is_used; }

const char* session_complaints(const Session* session) { return session->complaints; }

TfLiteSignatureRunner* session_signature(Session* session, const char* name) {
  const Engine* engine = session->engine;
  const int32_t count = engine->InterpreterGetSignatureCount(session->interpreter);
  for (int32_t i = 0; i < count; ++i) {
    if (strcmp(engine->InterpreterGetSignatureKey(session->interpreter, i), name) == 0) {
      return engine->InterpreterGetSignatureRunner(session->interpreter, name);
    }
  }
  return NULL;
}

void signature_close(const Session* session, TfLiteSignatureRunner* runner) {
  if (runner != NULL) session->engine->SignatureRunnerDelete(runner);
}

int signature_input_count(const Session* session, const TfLiteSignatureRunner* runner) {
  return (int)session->engine->SignatureRunnerGetInputCount(runner);
}

const char* signature_input_name(const Session* session, const TfLiteSignatureRunner* runner, int index) {
  return session->engine->SignatureRunnerGetInputName(runner, index);
}

bool signature_resize(const Session* session, TfLiteSignatureRunner* runner, const char* input, const int* dims,
                      int rank) {
  return session->engine->SignatureRunnerResizeInputTensor(runner, input, dims, rank) == STATUS_OK;
}

bool signature_allocate(const Session* session, TfLiteSignatureRunner* runner) {
  return session->engine->SignatureRunnerAllocateTensors(runner) == STATUS_OK;
}

bool signature_invoke(const Session* session, TfLiteSignatureRunner* runner) {
  return session->engine->SignatureRunnerInvoke(runner) == STATUS_OK;
}

TfLiteTensor* signature_input(const Session* session, TfLiteSignatureRunner* runner, const char* name) {
  return session->engine->SignatureRunnerGetInputTensor(runner, name);
}

const TfLiteTensor* signature_output(const Session* session, TfLiteSignatureRunner* runner, const char* name) {
  return session->engine->SignatureRunnerGetOutputTensor(runner, name);
}

int tensor_type(const Session* session, const TfLiteTensor* tensor) { return session->engine->TensorType(tensor); }

int tensor_rank(const Session* session, const TfLiteTensor* tensor) { return session->engine->TensorNumDims(tensor); }

int tensor_dim(const Session* session, const TfLiteTensor* tensor, int index) {
  return session->engine->TensorDim(tensor, index);
}

size_t tensor_bytes(const Session* session, const TfLiteTensor* tensor) {
  return session->engine->TensorByteSize(tensor);
}

void* tensor_data(const Session* session, const TfLiteTensor* tensor) { return session->engine->TensorData(tensor); }
