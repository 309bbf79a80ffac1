/* The vocoder of a conversion: samples, step by step, of the frames of a spectrogram (tfconformer/decoding/vocoder.py,
 * docs/reference/conversion.md). */
#ifndef TFCONFORMER_BENCH_VOCODER_H_
#define TFCONFORMER_BENCH_VOCODER_H_

#include "step_graph.h"

typedef struct {
  StepGraph graph;
  Matrix spectrogram; /* input [frames of a step, bins]; the first `waiting` rows are filled */
  Matrix noise;       /* input [frames of a step, hop] */
  int hop;            /* samples of a frame */
  int delay;          /* frames by which samples come late */
  int waiting;
  int64_t pushed;  /* frames so far */
  int early;       /* samples to come that precede the utterance */
  uint64_t random; /* state of the generator of noise */
  /* The samples so far, [count] in about [-1, 1]. */
  float* samples;
  int count;
  int capacity;
} Vocoder;

/* Opens the graph vocode_step of a file for spectrograms of `bins`; `vocoder` is zero. */
bool vocoder_open(Vocoder* vocoder, Session* session, const ModelMetadata* metadata, int bins, Failure* failure);
void vocoder_close(Vocoder* vocoder);

/* Begins an utterance: there are no samples. */
void vocoder_reset(Vocoder* vocoder);
/* Takes frames [count, bins] and appends the samples that no later frame changes. */
bool vocoder_push(Vocoder* vocoder, const float* frames, int count, Failure* failure);
/* Ends the utterance and appends its last samples. */
bool vocoder_finish(Vocoder* vocoder, Failure* failure);

#endif
