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
  if (metadata->graph[0].mode != MODE_STREAMING) {
    return fail(failure, RUN_MODEL_REFUSED, "the first graph of a conversion takes audio in steps, not so '%s'",
                metadata->graph[0].signature);
  }
  return encoder_open(&converter->encoder, session, &metadata->graph[0], 0, failure) &&
         decoder_open(decoder, session, metadata, failure) &&
         vocoder_open(&converter->vocoder, session, metadata, decoder->bins, failure) &&
         set_pace(converter, &metadata->graph[0], lag_ms, failure);
}

void converter_close(Converter* converter) {
  vocoder_close(&converter->vocoder);
  decoder_close(&converter->decoder);
  search_close(&converter->search);
  encoder_close(&converter->encoder);
}

/* Checks the frames that the encoder has made, searches them, and finds the first one that the decoder reads. */
static bool read_frames(Converter* converter, Failure* failure) {
  const Encoder* encoder = &converter->encoder;
  Search* search = &converter->search;
  const int memory = converter->decoder.memory.columns;
  if (encoder->frames > 0 && encoder->columns < memory + 2) {
    return fail(failure, RUN_MODEL_REFUSED,
                "the encoder's frames have %d columns; attention reads %d, then come logits", encoder->columns, memory);
  }
  const size_t end = (size_t)encoder->frames * (size_t)encoder->columns;
  for (size_t i = (size_t)search->frames * (size_t)encoder->columns; i < end; ++i) {
    if (!isfinite(encoder->values[i])) {
      return fail(failure, RUN_FAILED, "the encoder computes values that are not finite");
    }
  }
  const Frames logits = {
      .values = encoder->frames == 0 ? NULL : encoder->values + memory,
      .count = encoder->frames,
      .columns = encoder->columns - memory,
      .stride = encoder->columns,
  };
  if (!search_advance(search, logits, failure)) return false;
  if (converter->begin < 0 && search->count > 0) {
    const int label = search->labels[0].start;
    converter->begin = label > LEAD_FRAMES ? label - LEAD_FRAMES : 0;
  }
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

/* Notes when the first samples are there. */
static void note_sound(Converter* converter, bool was_silent) {
  if (was_silent && converter->vocoder.count > 0) converter->sound_us = converter->clock_us;
}

/* Computes the steps of decoder and vocoder that are due; `ended` after the last frame of the encoder. */
static bool speak(Converter* converter, bool ended, Failure* failure) {
  const Encoder* encoder = &converter->encoder;
  SpectrogramDecoder* decoder = &converter->decoder;
  Vocoder* vocoder = &converter->vocoder;
  const int count = converter->begin < 0 ? 0 : encoder->frames - converter->begin;
  while (!converter->stopped && count > 0 && !(ended && converter->steps >= LONGEST_RATIO * count)) {
    const EncodedFrames encoded = {
        .values = encoder->values + (size_t)converter->begin * (size_t)encoder->columns,
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
    note_sound(converter, silent);
  }
  return true;
}

/* Computes the speech that is due, of audio that has arrived at the pace of speech. */
static bool convert(Converter* converter, bool ended, Failure* failure) {
  if (!read_frames(converter, failure)) return false;
  pass_time(converter, 1e6 * converter->received / converter->sample_rate);
  return speak(converter, ended, failure);
}

void converter_reset(Converter* converter) {
  encoder_reset(&converter->encoder);
  search_reset(&converter->search);
  decoder_reset(&converter->decoder, converter->pace);
  vocoder_reset(&converter->vocoder);
  converter->begin = -1;
  converter->received = converter->steps = 0;
  converter->stopped = false;
  converter->clock_us = converter->spent_us = converter->sound_us = converter->first_sound_us = 0;
}

bool converter_push(Converter* converter, const float* samples, Failure* failure) {
  converter->received += encoder_step_samples(&converter->encoder);
  return encoder_push(&converter->encoder, samples, failure) && convert(converter, false, failure);
}

bool converter_finish(Converter* converter, const float* samples, int count, Failure* failure) {
  Vocoder* vocoder = &converter->vocoder;
  converter->received += count;
  if (!encoder_finish(&converter->encoder, samples, count, failure) || !convert(converter, true, failure)) return false;
  const bool silent = vocoder->count == 0;
  if (!vocoder_finish(vocoder, failure)) return false;
  pass_time(converter, 0);
  note_sound(converter, silent);
  if (vocoder->count > 0) {
    converter->first_sound_us = converter->sound_us - 1e6 * converter->received / converter->sample_rate;
  }
  if (converter->begin < 0) converter->stopped = true; /* a decoder of noise would babble */
  return true;
}
