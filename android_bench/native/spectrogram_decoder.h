/* The decoder of a conversion: a spectrogram, step by step, of the frames of an encoder
 * (tfconformer/decoding/spectrogram.py, docs/reference/conversion.md). */
#ifndef TFCONFORMER_BENCH_SPECTROGRAM_DECODER_H_
#define TFCONFORMER_BENCH_SPECTROGRAM_DECODER_H_

#include "step_graph.h"

typedef struct {
  StepGraph graph;
  Matrix memory;   /* input [window, columns that attention reads] */
  Matrix mask;     /* input [window, 1] */
  Matrix position; /* state [1, components], in frames from the first one of the window */
  int bins;        /* of the spectrogram */
  int step_frames; /* frames of the spectrogram in a step */
  int first;       /* number of the window's first frame in the utterance */
} SpectrogramDecoder;

/* The result of a step. */
typedef struct {
  const float* frames; /* [step_frames, bins], scaled log-mel; valid until the next step */
  bool stops;          /* the utterance ends with this step */
} DecoderStep;

/* Opens the graph decode_step of a file; `decoder` is zero. */
bool decoder_open(SpectrogramDecoder* decoder, Session* session, const ModelMetadata* metadata, Failure* failure);
void decoder_close(SpectrogramDecoder* decoder);

/* Begins an utterance. */
void decoder_reset(SpectrogramDecoder* decoder);

/* Computes a step that reads all frames of the utterance.
 *
 * `encoded` is [frames, columns]; attention reads the first columns of it. */
bool decoder_step(SpectrogramDecoder* decoder, const float* encoded, int frames, int columns, DecoderStep* step,
                  Failure* failure);

#endif
