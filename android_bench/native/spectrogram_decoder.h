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
  double due;      /* number of frames that the next step reads, if there are so many */
  double clock;
} SpectrogramDecoder;

/* The pace of a decoder, in frames of the encoder. */
typedef struct {
  double lag;   /* frames that the first step reads; infinite for conversion after the end of the utterance */
  double clock; /* frames that the speaker takes for a step, by which each step reads more than the one before it */
} Pace;

/* The frames of the encoder so far. */
typedef struct {
  const float* values; /* [count, columns], of which attention reads the first columns */
  int count;
  int columns;
  bool complete; /* no frame follows */
} EncodedFrames;

/* The result of a step. */
typedef struct {
  const float* frames; /* [step_frames, bins], scaled log-mel, valid until the next step; NULL: it waits for frames */
  int read;            /* number of frames that it could read */
  bool stops;          /* the utterance ends with this step, if all frames are read */
} DecoderStep;

/* Opens the graph decode_step of a file; `decoder` is zero. */
bool decoder_open(SpectrogramDecoder* decoder, Session* session, const ModelMetadata* metadata, Failure* failure);
void decoder_close(SpectrogramDecoder* decoder);

/* Begins an utterance. */
void decoder_reset(SpectrogramDecoder* decoder, Pace pace);

/* Computes a step once `pace.lag` frames are there, at the latest at the end of the utterance, and another one for
 * every `pace.clock` more. */
bool decoder_step(SpectrogramDecoder* decoder, EncodedFrames encoded, DecoderStep* step, Failure* failure);

#endif
