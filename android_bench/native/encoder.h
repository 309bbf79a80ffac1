/* A graph that turns waveforms into frames, whole or step by step: logits, encodings of a transducer, or what a decoder
 * reads.
 *
 * Offline: from samples [1, samples] to frames [1, frames, columns].
 *
 * Streaming: a state is zero at the start of an utterance, and then the output of the step before. The samples of a
 * step are a fixed number; an INT32 input, if there is one, takes how many of them are valid. The frames are as above;
 * an INT32 output, if there is one, is the number of frames so far. The rest of an utterance, filled up with zeros, and
 * then the zeros that the metadata ask for go into the signature for the end of a stream, if there is one. */
#ifndef TFCONFORMER_BENCH_ENCODER_H_
#define TFCONFORMER_BENCH_ENCODER_H_

#include "search.h"

typedef struct {
  Session* session;
  const Graph* graph;
  TfLiteSignatureRunner* runner; /* of the graph's signature */
  TfLiteSignatureRunner* flush;  /* NULL: none */
  int samples;                   /* that the runner's input has room for */
  int flush_steps;               /* without samples, at the end of an utterance */
  States states;
  /* The utterance so far. */
  float* values; /* [frames, columns] */
  int frames;
  int columns;
  size_t capacity; /* floats that `values` has room for */
  Times times;     /* of its steps; offline there is one */
  int delayed;     /* frames to come that precede the utterance */
  int32_t valid;   /* frames of the utterance so far, by the model; -1: it does not say */
} Encoder;

/* Prepares a session for the graph, one for whole utterances at first for `samples`; `encoder` is zero, and the
 * metadata of the graph must outlive it. */
bool encoder_open(Encoder* encoder, Session* session, const Graph* graph, int samples, Failure* failure);
void encoder_close(Encoder* encoder);

/* Samples of a step; 0 of a graph for whole utterances. */
int encoder_step_samples(const Encoder* encoder);

/* Begins an utterance. */
void encoder_reset(Encoder* encoder);
/* Takes the samples of one step. After it there are the frames that no later step changes. */
bool encoder_push(Encoder* encoder, const float* samples, Failure* failure);
/* Ends the utterance with the last samples: fewer than those of a step, or the whole utterance. For another length of
 * that, memory is allocated before the clock runs. */
bool encoder_finish(Encoder* encoder, const float* samples, int count, Failure* failure);

/* The frames of the utterance so far. */
Frames encoder_frames(const Encoder* encoder);

#endif
