/* A model that turns waveforms into logits, whole or step by step, by the first graph of its metadata that does so.
 *
 * Offline: from samples [1, samples] to logits [1, frames, columns].
 *
 * Streaming: a state is zero at the start of an utterance, and then the output of the step before. The samples of a
 * step are a fixed number; an INT32 input, if there is one, takes how many of them are valid. The logits are as above;
 * an INT32 output, if there is one, is the number of frames so far. The rest of an utterance, filled up with zeros, and
 * then the zeros that the metadata ask for go into the signature for the end of a stream, if there is one. */
#ifndef TFCONFORMER_BENCH_RECOGNIZER_H_
#define TFCONFORMER_BENCH_RECOGNIZER_H_

#include "arguments.h"
#include "model_metadata.h"
#include "recognition.h"
#include "states.h"
#include "statistics.h"

typedef struct {
  Session* session;
  const Graph* graph;
  TfLiteSignatureRunner* runner; /* of the graph's signature */
  TfLiteSignatureRunner* flush;  /* NULL: none */
  int samples;                   /* that the runner's input has room for */
  int flush_steps;               /* without samples, at the end of an utterance */
  States states;
  /* The utterance that was last recognized. */
  float* logits; /* [frames, columns] */
  int frames;
  int columns;
  size_t capacity; /* floats that `logits` has room for */
  Times times;     /* of its steps; offline there is one */
  int delayed;     /* frames to come that precede the utterance */
  int32_t valid;   /* frames of the utterance so far, by the model; -1: it does not say */
} Recognizer;

/* Prepares a session for an utterance of `samples`; `recognizer` is zero, and `metadata` must outlive it. */
bool recognizer_open(Recognizer* recognizer, Session* session, Mode mode, const ModelMetadata* metadata, int samples,
                     Failure* failure);
/* Prepares a session for streams of that graph, whatever its frames are. */
bool recognizer_open_stream(Recognizer* recognizer, Session* session, const Graph* graph, Failure* failure);
void recognizer_close(Recognizer* recognizer);

/* Computes the logits of an utterance of any length. Memory is allocated for another length before the clock runs.
 */
bool recognizer_run(Recognizer* recognizer, const float* waveform, int samples, Failure* failure);

/* The same for a stream, step by step: after each step there are the logits that no later one changes. */
void recognizer_reset(Recognizer* recognizer);
/* Takes the samples of one step. */
bool recognizer_push(Recognizer* recognizer, const float* samples, Failure* failure);
/* Ends the utterance with the last samples, fewer than those of a step. */
bool recognizer_finish(Recognizer* recognizer, const float* samples, int count, Failure* failure);

/* The logits of the utterance. */
CtcLogits recognizer_logits(const Recognizer* recognizer);

#endif
