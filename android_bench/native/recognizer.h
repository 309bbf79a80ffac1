/* A model that turns waveforms into logits, whole or step by step.
 *
 * Offline: signature "transcribe", from "waveform" [1, samples] to "logits" [1, frames, columns].
 *
 * Streaming: signature "encode_step". An input that is also an output is state: zero at the start of an utterance, then
 * what the step before gave. The remaining float input is the next samples, a fixed number; a remaining INT32 input, if
 * there is one, takes how many of them are real. The output "logits" is as above; an INT32 output "frames", if there is
 * one, is how many frames the utterance has so far. The rest of an utterance, filled up with zeros, and then
 * the zeros that its metadata ask for go into the signature "flush", if there is one. */
#ifndef TFCONFORMER_BENCH_RECOGNIZER_H_
#define TFCONFORMER_BENCH_RECOGNIZER_H_

#include "arguments.h"
#include "engine.h"
#include "model_metadata.h"

enum { MAX_STATES = 512 };

/* A tensor that goes from one step to the next. */
typedef struct {
  const char* name;
  size_t bytes;
  void* content; /* the input tensor of "encode_step" */
} State;

typedef struct {
  Session* session;
  Mode mode;
  TfLiteSignatureRunner* runner; /* "transcribe" or "encode_step" */
  TfLiteSignatureRunner* flush;  /* NULL: none */
  int samples;                   /* that the runner's input has room for */
  int flush_steps;               /* without samples, at the end of an utterance */
  int delay_frames;              /* that come before the first frame of an utterance */
  int states;
  State state[MAX_STATES];
  /* The utterance that was last recognized. */
  float* logits; /* [frames, columns] */
  int frames;
  int columns;
  size_t capacity; /* floats that `logits` has room for */
  double compute_us;
  int steps;       /* 1 offline */
  double* step_us; /* [steps] */
  int step_capacity;
} Recognizer;

/* Prepares a session for an utterance of `samples`; `recognizer` is zero. */
bool recognizer_open(Recognizer* recognizer, Session* session, Mode mode, const ModelMetadata* metadata, int samples,
                     Failure* failure);
void recognizer_close(Recognizer* recognizer);

/* Computes the logits of an utterance of any length. Memory is arranged anew for another length before the clock runs. */
bool recognizer_run(Recognizer* recognizer, const float* waveform, int samples, Failure* failure);

#endif
