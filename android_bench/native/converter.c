#include "converter.h"

#include <math.h>

const char CONVERSION[] = "conversion";

/* Steps of the decoder for every frame that it reads, after which it is cut off, and frames before the first label that
 * it reads (tfconformer/decoding/onset.py). */
enum { LONGEST_RATIO = 2, LEAD_FRAMES = 12 };

/* Sets the pace for a lag, or for conversion after the end. */
static bool set_pace(Converter* converter, const Graph* graph, int lag_ms, Failure* failure) {
  converter->pace = (Pace){.lag = INFINITY};
  if (lag_ms == 0) return true;
  if (graph->frame_samples == 0) {
    return fail(failure, RUN_MODEL_REFUSED, "--lag-ms: the metadata do not say how long a frame of '%s' is",
                graph->signature);
  }
  const double step_samples = converter->decoder.step_frames * converter->vocoder.hop;
  const double frame_seconds = (double)graph->frame_samples / converter->sample_rate;
  converter->pace = (Pace){
      .lag = lag_ms / 1e3 / frame_seconds,
      .clock = step_samples / converter->sample_rate / frame_seconds,
  };
  return true;
}

bool converter_open(Converter* converter, Session* session, const ModelMetadata* metadata, int lag_ms,
                    Failure* failure) {
  SpectrogramDecoder* decoder = &converter->decoder;
  converter->sample_rate = metadata->sample_rate > 0 ? (int)metadata->sample_rate : USUAL_SAMPLE_RATE;
  if (metadata->graphs == 0 || metadata->graph[0].signature[0] == '\0') {
    return fail(failure, RUN_MODEL_REFUSED, "its metadata list no whole graph");
  }
  if (!metadata->graph[0].streams) {
    return fail(failure, RUN_MODEL_REFUSED, "the first graph of a conversion takes audio in steps, not so '%s'",
                metadata->graph[0].signature);
  }
  return recognizer_open_stream(&converter->encoder, session, &metadata->graph[0], failure) &&
         decoder_open(decoder, session, metadata, failure) &&
         vocoder_open(&converter->vocoder, session, metadata, decoder->bins, failure) &&
         set_pace(converter, &metadata->graph[0], lag_ms, failure);
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

/* Checks the frames that the encoder has made, and finds the first one that the decoder reads. */
static bool find_begin(Converter* converter, Failure* failure) {
  const Recognizer* encoder = &converter->encoder;
  const int memory = converter->decoder.memory.columns;
  if (encoder->frames > 0 && encoder->columns < memory + 2) {
    return fail(failure, RUN_MODEL_REFUSED,
                "the encoder's frames have %d columns; attention reads %d, then come logits", encoder->columns, memory);
  }
  const size_t end = (size_t)encoder->frames * (size_t)encoder->columns;
  for (size_t i = (size_t)converter->checked * (size_t)encoder->columns; i < end; ++i) {
    if (!isfinite(encoder->logits[i])) {
      return fail(failure, RUN_FAILED, "the encoder computes values that are not finite");
    }
  }
  if (converter->begin < 0) {
    const int label = ctc_first_label(converter_logits(converter), converter->checked);
    if (label >= 0) converter->begin = label > LEAD_FRAMES ? label - LEAD_FRAMES : 0;
  }
  converter->checked = encoder->frames;
  return true;
}

/* Lets the clock go on by what was computed since the last call, from when the audio for it has arrived. */
static void pass_time(Converter* converter, double arrived_us) {
  const double spent =
      converter->encoder.times.total + converter->decoder.graph.times.total + converter->vocoder.graph.times.total;
  if (arrived_us > converter->clock_us) converter->clock_us = arrived_us;
  converter->clock_us += spent - converter->spent_us;
  converter->spent_us = spent;
}

/* Computes the steps of decoder and vocoder that are due; `ended` after the last frame of the encoder. */
static bool speak(Converter* converter, bool ended, double audio_us, Failure* failure) {
  const Recognizer* encoder = &converter->encoder;
  SpectrogramDecoder* decoder = &converter->decoder;
  Vocoder* vocoder = &converter->vocoder;
  const int count = converter->begin < 0 ? 0 : encoder->frames - converter->begin;
  while (!converter->stopped && count > 0 && !(ended && converter->steps >= LONGEST_RATIO * count)) {
    const EncodedFrames encoded = {
        .values = encoder->logits + (size_t)converter->begin * (size_t)encoder->columns,
        .count = count,
        .columns = encoder->columns,
        .complete = ended,
    };
    const bool silent = vocoder->count == 0;
    DecoderStep step;
    if (!decoder_step(decoder, encoded, &step, failure)) return false;
    if (step.frames == NULL) return true;
    if (!vocoder_push(vocoder, step.frames, decoder->step_frames, failure)) return false;
    ++converter->steps;
    converter->stopped = ended && step.read == count && step.stops;
    pass_time(converter, 0);
    if (silent && vocoder->count > 0) converter->first_sound_us = converter->clock_us - audio_us;
  }
  return true;
}

/* Computes what comes after the last frame of the encoder. */
static bool finish(Converter* converter, double audio_us, Failure* failure) {
  Vocoder* vocoder = &converter->vocoder;
  if (!speak(converter, true, audio_us, failure)) return false;
  const bool silent = vocoder->count == 0;
  if (!vocoder_finish(vocoder, failure)) return false;
  pass_time(converter, 0);
  if (silent && vocoder->count > 0) converter->first_sound_us = converter->clock_us - audio_us;
  if (converter->begin < 0) converter->stopped = true; /* a decoder of noise would babble */
  return true;
}

static void reset(Converter* converter) {
  recognizer_reset(&converter->encoder);
  decoder_reset(&converter->decoder, converter->pace);
  vocoder_reset(&converter->vocoder);
  converter->begin = -1;
  converter->checked = converter->steps = 0;
  converter->stopped = false;
  converter->clock_us = converter->spent_us = converter->first_sound_us = 0;
}

bool converter_run(Converter* converter, const float* waveform, int samples, Failure* failure) {
  Recognizer* encoder = &converter->encoder;
  const double sample_us = 1e6 / converter->sample_rate, audio_us = samples * sample_us;
  int at = 0;
  reset(converter);
  while (samples - at >= encoder->samples) {
    if (!recognizer_push(encoder, waveform + at, failure) || !find_begin(converter, failure)) return false;
    at += encoder->samples;
    pass_time(converter, at * sample_us);
    if (!speak(converter, false, audio_us, failure)) return false;
  }
  if (!recognizer_finish(encoder, waveform + at, samples - at, failure) || !find_begin(converter, failure))
    return false;
  pass_time(converter, audio_us);
  return finish(converter, audio_us, failure);
}
