#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "speech_model.h"

/* Audio overshoots [-1, 1] a little; farther out are 16-bit numbers (tfconformer/data/limits.py). */
static const float LOUDEST = 8;

struct Stream {
  MappedFile file;
  ModelMetadata metadata;
  Tokenizer tokenizer;
  Session* session;
  SpeechModel model;
  LabelTimes times;
  float* waiting; /* samples [count] that were accepted and not computed */
  int count;
  int capacity;
  bool finished;
  int taken; /* samples of converted speech */
};

/* Of all streams. */
static Engine* engine;

static bool load_engine(Failure* failure) {
  if (engine == NULL) engine = engine_load(NULL, failure);
  return engine != NULL;
}

static Mode mode_of(const Stream* stream) {
  const Graph* graph = find_audio_graph(&stream->metadata, MODE_STREAMING);
  TfLiteSignatureRunner* runner = graph == NULL ? NULL : session_signature(stream->session, graph->signature);
  signature_close(stream->session, runner);
  return runner == NULL ? MODE_OFFLINE : MODE_STREAMING;
}

static bool open_model(Stream* stream, int threads, bool converts, int lag_ms, Failure* failure) {
  const ModelMetadata* metadata = &stream->metadata;
  SpeechModel* model = &stream->model;
  if (metadata->json.begin == metadata->json.end) {
    return fail(failure, RUN_MODEL_REFUSED, "it was not written by `tfconformer export`");
  }
  if (!tokenizer_open(metadata->json, &stream->tokenizer)) {
    return fail(failure, RUN_MODEL_REFUSED, "the model has no tokenizer, so its output cannot be read");
  }
  if ((strcmp(metadata->task, CONVERSION) == 0) != converts) {
    return fail(failure, RUN_MODEL_REFUSED, "its task is '%s': it is none for a %s", metadata->task,
                converts ? "converter" : "recognizer");
  }
  stream->session = session_open(engine, stream->file, threads, NULL, NULL, failure);
  if (stream->session == NULL ||
      !model_open(model, stream->session, metadata, mode_of(stream), lag_ms, stream_sample_rate(stream), failure)) {
    return false;
  }
  stream->times = label_times(metadata, model_graph(model));
  if (stream->times.frame > 0) return true;
  return fail(failure, RUN_MODEL_REFUSED, "its metadata do not say how long a frame is");
}

Stream* stream_open(int descriptor, int64_t offset, int64_t size, int threads, bool converts, int lag_ms,
                    Failure* failure) {
  Stream* stream = calloc(1, sizeof *stream);
  if (stream == NULL) {
    fail(failure, RUN_FAILED, "no memory");
    return NULL;
  }
  if (load_engine(failure) && map_part(descriptor, offset, size, &stream->file, failure)) {
    stream->metadata = read_model_metadata(stream->file);
    if (open_model(stream, threads, converts, lag_ms, failure)) {
      stream_reset(stream);
      return stream;
    }
  }
  stream_close(stream);
  return NULL;
}

void stream_close(Stream* stream) {
  model_close(&stream->model);
  session_close(stream->session);
  tokenizer_close(&stream->tokenizer);
  unmap_file(&stream->file);
  free(stream->waiting);
  free(stream);
}

int stream_sample_rate(const Stream* stream) {
  return stream->metadata.sample_rate > 0 ? (int)stream->metadata.sample_rate : USUAL_SAMPLE_RATE;
}

static bool check_samples(const float* samples, int count, Failure* failure) {
  for (int i = 0; i < count; ++i) {
    if (!isfinite(samples[i])) return fail(failure, RUN_BAD_ARGUMENTS, "sample %d of the audio is not finite", i);
    if (fabsf(samples[i]) > LOUDEST) {
      return fail(failure, RUN_BAD_ARGUMENTS, "audio should be in [-1, 1], got %g: divide 16-bit numbers by 32768",
                  (double)samples[i]);
    }
  }
  return true;
}

static bool append_samples(Stream* stream, const float* samples, int count, Failure* failure) {
  if (count > INT32_MAX / 4 - stream->count) return fail(failure, RUN_FAILED, "more audio than fits into memory");
  if (stream->count + count > stream->capacity) {
    const int capacity = 2 * (stream->count + count);
    float* grown = realloc(stream->waiting, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return fail(failure, RUN_FAILED, "no memory for %d samples", capacity);
    stream->waiting = grown;
    stream->capacity = capacity;
  }
  if (count > 0) memcpy(stream->waiting + stream->count, samples, (size_t)count * sizeof *samples);
  stream->count += count;
  return true;
}

/* Computes the whole steps of the samples that wait. */
static bool compute_steps(Stream* stream, Failure* failure) {
  const int step = model_step_samples(&stream->model);
  int at = 0;
  bool done = true;
  for (; done && step > 0 && stream->count - at >= step; at += step) {
    done = model_push(&stream->model, stream->waiting + at, failure);
  }
  stream->count -= at;
  if (at > 0) memmove(stream->waiting, stream->waiting + at, (size_t)stream->count * sizeof *stream->waiting);
  return done;
}

bool stream_accept(Stream* stream, const float* samples, int count, Failure* failure) {
  if (stream->finished) {
    return fail(failure, RUN_BAD_ARGUMENTS, "the utterance has ended: reset the stream before more audio");
  }
  return check_samples(samples, count, failure) && append_samples(stream, samples, count, failure) &&
         compute_steps(stream, failure);
}

bool stream_finish(Stream* stream, Failure* failure) {
  const int rest = stream->count;
  if (stream->finished) return true;
  stream->finished = true;
  stream->count = 0;
  if (rest == 0 && model_step_samples(&stream->model) == 0) return true; /* an utterance without audio */
  return model_finish(&stream->model, stream->waiting, rest, failure);
}

void stream_reset(Stream* stream) {
  if (model_step_samples(&stream->model) == 0) stream->count = 0;
  model_reset(&stream->model);
  stream->finished = false;
  stream->taken = 0;
}

bool stream_is_endpoint(const Stream* stream) { return is_endpoint(model_search(&stream->model), stream->times.frame); }

bool stream_words(const Stream* stream, Words* words, Failure* failure) {
  return read_words(&stream->tokenizer, model_search(&stream->model), stream->times, words, failure);
}

int stream_take_speech(Stream* stream, const float** samples) {
  const Vocoder* vocoder = &stream->model.converter.vocoder;
  const int count = vocoder->count - stream->taken;
  *samples = count == 0 ? NULL : vocoder->samples + stream->taken;
  stream->taken = vocoder->count;
  return count;
}
