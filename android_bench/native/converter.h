/* A model that converts speech to speech of one voice, by the graphs encode_step, decode_step and vocode_step of its
 * file (docs/reference/conversion.md).
 *
 * The encoder takes the waveform step by step. After its end the decoder makes a spectrogram, and the vocoder samples
 * of it, a few frames at a time. Where the encoder's CTC head has no label, nothing was said, and there is no speech.
 */
#ifndef TFCONFORMER_BENCH_CONVERTER_H_
#define TFCONFORMER_BENCH_CONVERTER_H_

#include "recognizer.h"
#include "spectrogram_decoder.h"
#include "vocoder.h"

typedef struct {
  Recognizer encoder;
  SpectrogramDecoder decoder;
  Vocoder vocoder;
  /* The utterance that was last converted; its samples are the vocoder's. */
  bool stopped;          /* the decoder ended it, or there was nothing to say */
  double first_sound_us; /* computing from the end of the audio to the first samples; 0 without speech */
} Converter;

/* The task of files that a converter runs. */
extern const char CONVERSION[];

/* Prepares a session; `converter` is zero, and `metadata` must outlive it. */
bool converter_open(Converter* converter, Session* session, const ModelMetadata* metadata, Failure* failure);
void converter_close(Converter* converter);

/* Converts an utterance of any length. A decoder that does not stop is cut off after twice as many steps as the encoder
 * has frames. */
bool converter_run(Converter* converter, const float* waveform, int samples, Failure* failure);

/* The columns of the encoder's frames that are the logits of its CTC head. */
CtcLogits converter_logits(const Converter* converter);

#endif
