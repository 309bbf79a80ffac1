/* A model that recognizes speech: an encoder, and the search in its frames. */
#ifndef TFCONFORMER_BENCH_RECOGNIZER_H_
#define TFCONFORMER_BENCH_RECOGNIZER_H_

#include "encoder.h"

typedef struct {
  Encoder encoder;
  Search search;
} Recognizer;

/* Prepares a session, for whole utterances at first for one of so many samples; `recognizer` is zero, and `metadata`
 * must outlive it. */
bool recognizer_open(Recognizer* recognizer, Session* session, Mode mode, const ModelMetadata* metadata, int samples,
                     Failure* failure);
void recognizer_close(Recognizer* recognizer);

/* The utterance is taken as by an encoder; the search follows it. */
void recognizer_reset(Recognizer* recognizer);
bool recognizer_push(Recognizer* recognizer, const float* samples, Failure* failure);
bool recognizer_finish(Recognizer* recognizer, const float* samples, int count, Failure* failure);

#endif
