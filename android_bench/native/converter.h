/* A model that converts speech to speech of one voice, by the graphs encode_step, decode_step and vocode_step of its
 * file (docs/reference/conversion.md).
 *
 * The encoder takes the waveform step by step. The decoder makes a spectrogram of its frames, after the end or behind
 * the speaker, and the vocoder samples of that, a few frames at a time. Frames long before the first label of the
 * encoder's CTC head are left out; where it has none, nothing was said, and there is no speech. */
#ifndef TFCONFORMER_BENCH_CONVERTER_H_
#define TFCONFORMER_BENCH_CONVERTER_H_

#include "encoder.h"
#include "spectrogram_decoder.h"
#include "vocoder.h"

typedef struct {
  Encoder encoder;
  Search search; /* of CTC, in the logits at the end of each of the encoder's frames */
  SpectrogramDecoder decoder;
  Vocoder vocoder;
  Pace pace;
  int sample_rate;
  /* The utterance so far; its samples are the vocoder's. */
  int received;          /* samples of the source */
  int begin;             /* first frame of the encoder that the decoder reads; -1: nothing was said so far */
  int steps;             /* of the decoder */
  bool stopped;          /* the decoder ended the utterance, or there was nothing to say */
  double clock_us;       /* when all so far was computed, on the clock of audio that arrives at the pace of speech */
  double spent_us;       /* computing so far */
  double sound_us;       /* when the first samples were made, on that clock */
  double first_sound_us; /* from the end of the audio to the first samples, on that clock; 0 without speech */
} Converter;

/* The task of files that a converter runs. */
extern const char CONVERSION[];

/* Prepares a session; `converter` is zero, and `metadata` must outlive it. `lag_ms` is the time by which the decoder
 * begins behind the speaker, 0 for conversion after the end of the utterance. */
bool converter_open(Converter* converter, Session* session, const ModelMetadata* metadata, int lag_ms,
                    Failure* failure);
void converter_close(Converter* converter);

/* Begins an utterance. */
void converter_reset(Converter* converter);
/* Takes the samples of a step of the encoder, and makes the speech that is due. */
bool converter_push(Converter* converter, const float* samples, Failure* failure);
/* Ends the utterance with its last samples, fewer than those of a step, and makes all of its speech. A decoder that
 * does not stop is cut off after twice as many steps as the encoder has frames. */
bool converter_finish(Converter* converter, const float* samples, int count, Failure* failure);

#endif
