/* LiteRT's CompiledModel takes the delegate as an "accelerator".
 *
 * LiteRT 2.3 has no public way to bring a delegate, but libLiteRt.so exports the functions by which its own accelerators
 * register. They are looked up by name in the library of the caller, so that this one needs no other to load. They are
 * not promised to stay: what has changed is reported by the status of the call. */
#include <stddef.h>

#include "tflite_abi.h"

#define EXPORT __attribute__((visibility("default")))

TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                                              void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

typedef int LiteRtStatus;
enum { kLiteRtStatusOk = 0, kLiteRtStatusErrorNotFound = 6, kLiteRtStatusErrorRuntimeFailure = 3 };
enum { kLiteRtHwAcceleratorCpu = 1 };
typedef struct LiteRtEnvironment LiteRtEnvironment;
typedef struct LiteRtAccelerator LiteRtAccelerator;
typedef struct LiteRtOptions LiteRtOptions;
typedef struct LiteRtDelegateWrapper LiteRtDelegateWrapper;
typedef struct {
  int major, minor, patch;
} LiteRtApiVersion;

typedef void (*Function)(void);
typedef Function (*Lookup)(const char* name);
typedef LiteRtStatus (*WrapDelegate)(TfLiteDelegate*, void (*)(TfLiteDelegate*), LiteRtDelegateWrapper**);

int tfconformer_register_litert_accelerator(LiteRtEnvironment* environment, Lookup lookup);

static WrapDelegate wrap_delegate; /* the accelerator's functions get no data of ours in LiteRT 2.3 */

static LiteRtStatus get_name(LiteRtAccelerator* accelerator, const char** name) {
  (void)accelerator;
  *name = "tfconformer";
  return kLiteRtStatusOk;
}

static LiteRtStatus get_version(LiteRtAccelerator* accelerator, LiteRtApiVersion* version) {
  (void)accelerator;
  *version = (LiteRtApiVersion){1, 0, 0};
  return kLiteRtStatusOk;
}

static LiteRtStatus get_hardware(LiteRtAccelerator* accelerator, int* hardware) {
  (void)accelerator;
  *hardware = kLiteRtHwAcceleratorCpu;
  return kLiteRtStatusOk;
}

static LiteRtStatus create_delegate(void* runtime_context, LiteRtEnvironment* environment, LiteRtAccelerator* accelerator,
                                    LiteRtOptions* options, LiteRtDelegateWrapper** wrapper) {
  (void)runtime_context, (void)environment, (void)accelerator, (void)options;
  TfLiteDelegate* delegate = tflite_plugin_create_delegate(NULL, NULL, 0, NULL);
  if (delegate == NULL) return kLiteRtStatusErrorRuntimeFailure;
  return wrap_delegate(delegate, tflite_plugin_destroy_delegate, wrapper);
}

/* Registers the delegate with an environment, before models are compiled in it; `lookup` finds functions of libLiteRt.so.
 * Returns 0 or LiteRT's status. */
EXPORT int tfconformer_register_litert_accelerator(LiteRtEnvironment* environment, Lookup lookup) {
  LiteRtStatus (*create)(LiteRtAccelerator**) = (LiteRtStatus(*)(LiteRtAccelerator**))lookup("LiteRtCreateAccelerator");
  typedef LiteRtStatus (*Set)(LiteRtAccelerator*, Function);
  const struct {
    Set set;
    Function value;
  } parts[] = {
      {(Set)lookup("LiteRtSetAcceleratorGetName"), (Function)get_name},
      {(Set)lookup("LiteRtSetAcceleratorGetVersion"), (Function)get_version},
      {(Set)lookup("LiteRtSetAcceleratorGetHardwareSupport"), (Function)get_hardware},
      {(Set)lookup("LiteRtSetDelegateFunction"), (Function)create_delegate},
  };
  LiteRtStatus (*enter)(LiteRtEnvironment*, LiteRtAccelerator*, void*, void (*)(void*)) =
      (LiteRtStatus(*)(LiteRtEnvironment*, LiteRtAccelerator*, void*, void (*)(void*)))lookup("LiteRtRegisterAccelerator");
  wrap_delegate = (WrapDelegate)lookup("LiteRtWrapDelegate");
  if (create == NULL || enter == NULL || wrap_delegate == NULL) return kLiteRtStatusErrorNotFound;
  LiteRtAccelerator* accelerator;
  LiteRtStatus status = create(&accelerator);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0] && status == kLiteRtStatusOk; ++i) {
    status = parts[i].set == NULL ? kLiteRtStatusErrorNotFound : parts[i].set(accelerator, parts[i].value);
  }
  return status == kLiteRtStatusOk ? enter(environment, accelerator, NULL, NULL) : status;
}
