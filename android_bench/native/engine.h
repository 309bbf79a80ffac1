/* A TFLite runtime, found at run time: nothing here is linked with it.
 *
 * The functions of its C API are looked up by name in the library, so that one program works with every version from
 * 2.14 to LiteRT 1.x. The custom operations come in as a delegate (converters/custom_ops), which is part of this
 * program. */
#ifndef TFCONFORMER_BENCH_ENGINE_H_
#define TFCONFORMER_BENCH_ENGINE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "files.h"
#include "profile.h"

typedef struct TfLiteTensor TfLiteTensor;
typedef struct TfLiteSignatureRunner TfLiteSignatureRunner;

/* Numbers of TfLiteType that a recognizer's inputs and outputs have. */
enum { TENSOR_FLOAT32 = 1, TENSOR_INT32 = 2 };

typedef struct Engine Engine;

/* Loads a library with the TFLite C API: that path, or for NULL the one beside the program or in the app. */
Engine* engine_load(const char* path, Failure* failure);
/* Stays valid as long as the process; the library is never unloaded. */
const char* engine_version(const Engine* engine);
const char* engine_library(const Engine* engine);

typedef struct Session Session;

/* Creates an interpreter of a model in memory, which must outlive it.
 *
 * `kernel` computes the custom operations, NULL for the fastest. `profile` records every operation while it is enabled;
 * NULL records none. */
Session* session_open(Engine* engine, MappedFile model, int threads, const char* kernel, Profile* profile,
                      Failure* failure);
void session_close(Session* session);

/* Gives the built-in operations to XNNPACK, as Android's Java API does by default; called at most once. A graph in
 * which shapes are computed cannot take it and stays as it is, as does any with a library that has no XNNPACK.
 *
 * Only for a graph whose inputs keep their sizes: another size makes TFLite 2.14 undo its delegates, and then it takes
 * the float16 constants of the custom operation for some that it should have turned into float32, and loses them. */
bool session_use_xnnpack(Session* session, Failure* failure);
bool session_has_xnnpack(const Session* session);

/* The errors that the runtime has reported so far. */
const char* session_complaints(const Session* session);

/* The runner of a signature; NULL if the model has none of that name. Closed with `signature_close`. */
TfLiteSignatureRunner* session_signature(Session* session, const char* name);
void signature_close(const Session* session, TfLiteSignatureRunner* runner);

int signature_input_count(const Session* session, const TfLiteSignatureRunner* runner);
const char* signature_input_name(const Session* session, const TfLiteSignatureRunner* runner, int index);

bool signature_resize(const Session* session, TfLiteSignatureRunner* runner, const char* input, const int* dims,
                      int rank);
bool signature_allocate(const Session* session, TfLiteSignatureRunner* runner);
bool signature_invoke(const Session* session, TfLiteSignatureRunner* runner);

/* Valid until the next resize or invocation; NULL if there is none of that name. */
TfLiteTensor* signature_input(const Session* session, TfLiteSignatureRunner* runner, const char* name);
const TfLiteTensor* signature_output(const Session* session, TfLiteSignatureRunner* runner, const char* name);

int tensor_type(const Session* session, const TfLiteTensor* tensor);
int tensor_rank(const Session* session, const TfLiteTensor* tensor);
int tensor_dim(const Session* session, const TfLiteTensor* tensor, int index);
size_t tensor_bytes(const Session* session, const TfLiteTensor* tensor);
void* tensor_data(const Session* session, const TfLiteTensor* tensor);

#endif
