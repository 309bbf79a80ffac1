/* The delegate as an "accelerator" of LiteRT's CompiledModel.
 *
 * LiteRT 2.3 has no public way to bring a delegate, but libLiteRt.so exports the functions by which its own
 * accelerators register. They are looked up by name in the library of the caller, so that this one needs no other to
 * load. They are no stable interface: if one is missing, the call returns a status that says so. */
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

typedef void (*tfc_function)(void);
typedef tfc_function (*tfc_lookup)(const char* name);
typedef LiteRtStatus (*tfc_wrap_delegate)(TfLiteDelegate*, void (*)(TfLiteDelegate*), LiteRtDelegateWrapper**);

int tfc_register_litert_accelerator(LiteRtEnvironment* environment, tfc_lookup lookup);

static tfc_wrap_delegate
    wrap_delegate; /* global, since LiteRT 2.3 passes no user data to the accelerator's functions */

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

static LiteRtStatus create_delegate(void* runtime_context, LiteRtEnvironment* environment,
                                    LiteRtAccelerator* accelerator, LiteRtOptions* options,
                                    LiteRtDelegateWrapper** wrapper) {
  (void)runtime_context, (void)environment, (void)accelerator, (void)options;
  TfLiteDelegate* delegate = tflite_plugin_create_delegate(NULL, NULL, 0, NULL);
  if (delegate == NULL) return kLiteRtStatusErrorRuntimeFailure;
  return wrap_delegate(delegate, tflite_plugin_destroy_delegate, wrapper);
}

/* Registers the delegate with an environment, before models are compiled in it; `lookup` finds functions of
 * libLiteRt.so. Returns 0 or LiteRT's status. */
EXPORT int tfc_register_litert_accelerator(LiteRtEnvironment* environment, tfc_lookup lookup) {
  LiteRtStatus (*create)(LiteRtAccelerator**) = (LiteRtStatus(*)(LiteRtAccelerator**))lookup("LiteRtCreateAccelerator");
  typedef LiteRtStatus (*tfc_setter)(LiteRtAccelerator*, tfc_function);
  const struct {
    tfc_setter set;
    tfc_function value;
  } parts[] = {
      {(tfc_setter)lookup("LiteRtSetAcceleratorGetName"), (tfc_function)get_name},
      {(tfc_setter)lookup("LiteRtSetAcceleratorGetVersion"), (tfc_function)get_version},
      {(tfc_setter)lookup("LiteRtSetAcceleratorGetHardwareSupport"), (tfc_function)get_hardware},
      {(tfc_setter)lookup("LiteRtSetDelegateFunction"), (tfc_function)create_delegate},
  };
  LiteRtStatus (*enter)(LiteRtEnvironment*, LiteRtAccelerator*, void*, void (*)(void*)) = (LiteRtStatus(*)(
      LiteRtEnvironment*, LiteRtAccelerator*, void*, void (*)(void*)))lookup("LiteRtRegisterAccelerator");
  wrap_delegate = (tfc_wrap_delegate)lookup("LiteRtWrapDelegate");
  if (create == NULL || enter == NULL || wrap_delegate == NULL) return kLiteRtStatusErrorNotFound;
  LiteRtAccelerator* accelerator;
  LiteRtStatus status = create(&accelerator);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0] && status == kLiteRtStatusOk; ++i) {
    status = parts[i].set == NULL ? kLiteRtStatusErrorNotFound : parts[i].set(accelerator, parts[i].value);
  }
  return status == kLiteRtStatusOk ? enter(environment, accelerator, NULL, NULL) : status;
}
