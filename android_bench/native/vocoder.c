#include "vocoder.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_AHEAD = 1 };
/* Scaled log-mel energy of digital silence: (log(1e-6) + 6) / 4. */
static const float SILENCE = -1.9538776397f;

/* White noise of deviation 1, as of tfconformer/decoding/noise.py: the sum of the eight bytes of a number of SplitMix64
 * (Steele et al. 2014), which is the same on every machine. */
static float next_noise(uint64_t* state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  int sum = 0;
  for (int i = 0; i < 8; ++i) sum += (int)(z >> (8 * i) & 0xFF);
  return (float)(sum - 1020) / 209.02153f; /* mean 8 * 255 / 2, variance 8 * (256^2 - 1) / 12 */
}

bool vocoder_open(Vocoder* vocoder, Session* session, const ModelMetadata* metadata, int bins, Failure* failure) {
  static const char* const inputs[] = {"spectrogram", "noise", NULL};
  StepGraph* graph = &vocoder->graph;
  Matrix overlap, samples;
  if (!step_graph_open(graph, session, metadata, "vocode_step", inputs, failure) ||
      !step_graph_input(graph, "spectrogram", &vocoder->spectrogram, failure) ||
      !step_graph_input(graph, "noise", &vocoder->noise, failure) ||
      !step_graph_input(graph, "overlap", &overlap, failure) ||
      !step_graph_output(graph, "samples", &samples, failure)) {
    return false;
  }
  vocoder->hop = vocoder->noise.columns;
  vocoder->delay = overlap.rows + LOOK_AHEAD;
  const int frames = vocoder->spectrogram.rows;
  if (vocoder->spectrogram.columns == bins && vocoder->noise.rows == frames && overlap.columns == vocoder->hop &&
      samples.rows == 1 && samples.columns == frames * vocoder->hop) {
    return true;
  }
  return fail(failure, RUN_MODEL_REFUSED, "'vocode_step' should make samples of a hop of every frame of %d bins", bins);
}

void vocoder_close(Vocoder* vocoder) {
  step_graph_close(&vocoder->graph);
  free(vocoder->samples);
}

void vocoder_reset(Vocoder* vocoder) {
  step_graph_reset(&vocoder->graph);
  vocoder->waiting = 0;
  vocoder->pushed = 0;
  vocoder->early = vocoder->delay * vocoder->hop;
  vocoder->random = 0;
  vocoder->count = 0;
}

static bool append_samples(Vocoder* vocoder, const float* samples, int count, Failure* failure) {
  const int dropped = vocoder->early < count ? vocoder->early : count;
  const int kept = count - dropped;
  vocoder->early -= dropped;
  if (vocoder->count > INT32_MAX / 4 - kept) return fail(failure, RUN_FAILED, "more speech than fits into memory");
  if (vocoder->count + kept > vocoder->capacity) {
    const int capacity = 2 * (vocoder->count + kept);
    float* grown = realloc(vocoder->samples, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return fail(failure, RUN_FAILED, "no memory for %d samples", capacity);
    vocoder->samples = grown;
    vocoder->capacity = capacity;
  }
  if (kept > 0) memcpy(vocoder->samples + vocoder->count, samples + dropped, (size_t)kept * sizeof *samples);
  vocoder->count += kept;
  return true;
}

static bool run_step(Vocoder* vocoder, Failure* failure) {
  Matrix samples;
  const int noise = vocoder->noise.rows * vocoder->noise.columns;
  for (int i = 0; i < noise; ++i) vocoder->noise.values[i] = next_noise(&vocoder->random);
  vocoder->waiting = 0;
  return step_graph_run(&vocoder->graph, failure) && step_graph_output(&vocoder->graph, "samples", &samples, failure) &&
         append_samples(vocoder, samples.values, samples.columns, failure);
}

/* Takes one frame; NULL is one of silence. */
static bool push_frame(Vocoder* vocoder, const float* frame, Failure* failure) {
  const Matrix* spectrogram = &vocoder->spectrogram;
  float* row = spectrogram->values + (size_t)vocoder->waiting * (size_t)spectrogram->columns;
  for (int i = 0; i < spectrogram->columns; ++i) row[i] = frame == NULL ? SILENCE : frame[i];
  ++vocoder->waiting;
  return vocoder->waiting < spectrogram->rows || run_step(vocoder, failure);
}

bool vocoder_push(Vocoder* vocoder, const float* frames, int count, Failure* failure) {
  for (int i = 0; i < count; ++i) {
    const float* frame = frames + (size_t)i * (size_t)vocoder->spectrogram.columns;
    if (!push_frame(vocoder, frame, failure)) return false;
  }
  vocoder->pushed += count;
  return true;
}

bool vocoder_finish(Vocoder* vocoder, Failure* failure) {
  if (vocoder->pushed == 0) return true;
  int silent = 0;
  while (silent < vocoder->delay || vocoder->waiting > 0) {
    if (!push_frame(vocoder, NULL, failure)) return false;
    ++silent;
  }
  vocoder->count -= (silent - vocoder->delay) * vocoder->hop;
  return true;
}
