/* A model that converts speech to speech of one voice, by the graphs encode_step, decode_step and vocode_step of its
 * file (docs/reference/conversion.md).
 *
 * The encoder takes the waveform step by step. The decoder makes a spectrogram of its frames, after the end or behind
 * the speaker, and the vocoder samples of that, a few frames at a time. Frames long before the first label of the
 * encoder's CTC head are left out; where it has none, nothing was said, and there is no speech. */
#ifndef TFCONFORMER_BENCH_CONVERTER_H_
#define TFCONFORMER_BENCH_CONVERTER_H_

#include "recognizer.h"
#include "spectrogram_decoder.h"
#include "vocoder.h"

typedef struct {
  Recognizer encoder;
  SpectrogramDecoder decoder;
  Vocoder vocoder;
  Pace pace;
  int sample_rate;
  /* The utterance that was last converted; its samples are the vocoder's. */
  int begin;             /* first frame of the encoder that the decoder reads; -1: nothing was said so far */
  int checked;           /* frames of the encoder that were searched for it */
  int steps;             /* of the decoder */
  bool stopped;          /* the decoder ended the utterance, or there was nothing to say */
  double clock_us;       /* when all so far was computed, on the clock of audio that arrives at the pace of speech */
  double spent_us;       /* computing so far */
  double first_sound_us; /* from the end of the audio to the first samples, on that clock; 0 without speech */
} Converter;

/* The task of files that a converter runs. */
extern const char CONVERSION[];

/* Prepares a session; `converter` is zero, and `metadata` must outlive it. `lag_ms` is the time by which the decoder
 * begins behind the speaker, 0 for conversion after the end of the utterance. */
bool converter_open(Converter* converter, Session* session, const ModelMetadata* metadata, int lag_ms,
                    Failure* failure);
void converter_close(Converter* converter);

/* Converts an utterance of any length. A decoder that does not stop is cut off after twice as many steps as the encoder
 * has frames. */
bool converter_run(Converter* converter, const float* waveform, int samples, Failure* failure);

/* The columns of the encoder's frames that are the logits of its CTC head. */
CtcLogits converter_logits(const Converter* converter);

#endif
