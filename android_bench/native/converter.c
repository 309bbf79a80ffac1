#include "converter.h"

#include <math.h>

const char CONVERSION[] = "conversion";

/* Steps of the decoder for every frame of the encoder, after which it is cut off. */
enum { LONGEST_RATIO = 2 };

bool converter_open(Converter* converter, Session* session, const ModelMetadata* metadata, Failure* failure) {
  SpectrogramDecoder* decoder = &converter->decoder;
  if (metadata->graphs == 0 || metadata->graph[0].signature[0] == '\0') {
    return fail(failure, RUN_MODEL_REFUSED, "its metadata list no whole graph");
  }
  if (!metadata->graph[0].streams) {
    return fail(failure, RUN_MODEL_REFUSED, "the first graph of a conversion takes audio in steps, not so '%s'",
                metadata->graph[0].signature);
  }
  return recognizer_open_stream(&converter->encoder, session, &metadata->graph[0], failure) &&
         decoder_open(decoder, session, metadata, failure) &&
         vocoder_open(&converter->vocoder, session, metadata, decoder->bins, failure);
}

void converter_close(Converter* converter) {
  vocoder_close(&converter->vocoder);
  decoder_close(&converter->decoder);
  recognizer_close(&converter->encoder);
}

CtcLogits converter_logits(const Converter* converter) {
  const Recognizer* encoder = &converter->encoder;
  const int memory = converter->decoder.memory.columns;
  return (CtcLogits){
      .values = encoder->frames == 0 ? NULL : encoder->logits + memory,
      .frames = encoder->frames,
      .columns = encoder->columns - memory,
      .stride = encoder->columns,
  };
}

static bool check_encoded(const Converter* converter, Failure* failure) {
  const Recognizer* encoder = &converter->encoder;
  const int memory = converter->decoder.memory.columns;
  if (encoder->frames > 0 && encoder->columns < memory + 2) {
    return fail(failure, RUN_MODEL_REFUSED,
                "the encoder's frames have %d columns; attention reads %d, then come logits", encoder->columns, memory);
  }
  const size_t count = (size_t)encoder->frames * (size_t)encoder->columns;
  for (size_t i = 0; i < count; ++i) {
    if (!isfinite(encoder->logits[i])) {
      return fail(failure, RUN_FAILED, "the encoder computes values that are not finite");
    }
  }
  return true;
}

/* Computing from the end of the audio on, so far. */
static double since_end(const Converter* converter, int samples) {
  const Recognizer* encoder = &converter->encoder;
  double us = converter->decoder.graph.times.total + converter->vocoder.graph.times.total;
  for (int i = samples / encoder->samples; i < encoder->times.count; ++i) us += encoder->times.us[i];
  return us;
}

static bool speak(Converter* converter, int samples, Failure* failure) {
  const Recognizer* encoder = &converter->encoder;
  SpectrogramDecoder* decoder = &converter->decoder;
  Vocoder* vocoder = &converter->vocoder;
  for (int left = LONGEST_RATIO * encoder->frames; left > 0 && !converter->stopped; --left) {
    DecoderStep step;
    if (!decoder_step(decoder, encoder->logits, encoder->frames, encoder->columns, &step, failure) ||
        !vocoder_push(vocoder, step.frames, decoder->step_frames, failure)) {
      return false;
    }
    converter->stopped = step.stops;
    if (converter->first_sound_us == 0 && vocoder->count > 0) converter->first_sound_us = since_end(converter, samples);
  }
  if (!vocoder_finish(vocoder, failure)) return false;
  if (converter->first_sound_us == 0) converter->first_sound_us = since_end(converter, samples);
  return true;
}

bool converter_run(Converter* converter, const float* waveform, int samples, Failure* failure) {
  decoder_reset(&converter->decoder);
  vocoder_reset(&converter->vocoder);
  converter->stopped = false;
  converter->first_sound_us = 0;
  if (!recognizer_run(&converter->encoder, waveform, samples, failure) || !check_encoded(converter, failure)) {
    return false;
  }
  /* A decoder of noise would babble. */
  converter->stopped = !ctc_has_label(converter_logits(converter));
  return converter->stopped || speak(converter, samples, failure);
}
