#include "spectrogram_decoder.h"

#include <math.h>
#include <string.h>

/* Frames of the window that lie behind the position when the window moves on. */
enum { FRAMES_BEHIND = 24, MOST_FRAMES = 1 << 24 };
/* States that have a number for each frame of the window. */
static const char* const FRAME_STATES[] = {"last_weights", "weight_sums"};

bool decoder_open(SpectrogramDecoder* decoder, Session* session, const ModelMetadata* metadata, Failure* failure) {
  static const char* const inputs[] = {"memory", "mask", NULL};
  StepGraph* graph = &decoder->graph;
  Matrix previous, frames, stop;
  if (!step_graph_open(graph, session, metadata, "decode_step", inputs, failure) ||
      !step_graph_input(graph, "memory", &decoder->memory, failure) ||
      !step_graph_input(graph, "mask", &decoder->mask, failure) ||
      !step_graph_input(graph, "position", &decoder->position, failure) ||
      !step_graph_input(graph, "previous", &previous, failure) ||
      !step_graph_output(graph, "frames", &frames, failure) || !step_graph_output(graph, "stop", &stop, failure)) {
    return false;
  }
  decoder->bins = previous.columns;
  decoder->step_frames = frames.columns / previous.columns;
  if (decoder->mask.rows == decoder->memory.rows && decoder->mask.columns == 1 && decoder->position.rows == 1 &&
      frames.rows == 1 && frames.columns % previous.columns == 0) {
    return true;
  }
  return fail(failure, RUN_MODEL_REFUSED, "the inputs and outputs of 'decode_step' do not fit each other");
}

void decoder_close(SpectrogramDecoder* decoder) { step_graph_close(&decoder->graph); }

void decoder_reset(SpectrogramDecoder* decoder, Pace pace) {
  step_graph_reset(&decoder->graph);
  decoder->first = 0;
  decoder->due = pace.lag;
  decoder->clock = pace.clock;
}

/* Drops the first frames of the window. */
static void move_window(SpectrogramDecoder* decoder, int dropped) {
  const size_t window = (size_t)decoder->memory.rows;
  const size_t lost = (size_t)dropped < window ? (size_t)dropped : window;
  decoder->first += dropped;
  for (int i = 0; i < decoder->position.columns; ++i) decoder->position.values[i] -= (float)dropped;
  for (size_t i = 0; i < sizeof FRAME_STATES / sizeof FRAME_STATES[0]; ++i) {
    const State* state = states_find(&decoder->graph.states, FRAME_STATES[i]);
    if (state == NULL || state->bytes != window * sizeof(float)) continue;
    float* values = state->content;
    memmove(values, values + lost, (window - lost) * sizeof *values);
    memset(values + (window - lost), 0, lost * sizeof *values);
  }
}

static bool not_finite(Failure* failure) {
  return fail(failure, RUN_FAILED, "the decoder computes values that are not finite");
}

/* A number of frames as an integer, bounded by more than there ever are. */
static int whole_frames(float frames) { return (int)fminf(fmaxf(frames, 0), (float)MOST_FRAMES); }

/* Moves the window to where attention is, if more frames are to be read than it holds. */
static bool follow_attention(SpectrogramDecoder* decoder, int read, Failure* failure) {
  const int beyond = read - decoder->first - decoder->memory.rows;
  float least = decoder->position.values[0];
  for (int i = 1; i < decoder->position.columns; ++i) least = fminf(least, decoder->position.values[i]);
  if (!isfinite(least)) return not_finite(failure);
  const int passed = whole_frames(least) - FRAMES_BEHIND;
  const int dropped = passed < beyond ? passed : beyond;
  if (dropped > 0) move_window(decoder, dropped);
  return true;
}

static void fill_window(const SpectrogramDecoder* decoder, EncodedFrames encoded, int read) {
  const Matrix *memory = &decoder->memory, *mask = &decoder->mask;
  const size_t width = (size_t)memory->columns;
  for (int i = 0; i < memory->rows; ++i) {
    const bool valid = decoder->first + i < read;
    float* row = memory->values + (size_t)i * width;
    mask->values[i] = valid ? 1.0f : 0.0f;
    if (valid) {
      memcpy(row, encoded.values + (size_t)(decoder->first + i) * (size_t)encoded.columns, width * sizeof *row);
    } else {
      memset(row, 0, width * sizeof *row);
    }
  }
}

static bool read_step(const SpectrogramDecoder* decoder, int read, DecoderStep* step, Failure* failure) {
  Matrix made, stop;
  if (!step_graph_output(&decoder->graph, "frames", &made, failure) ||
      !step_graph_output(&decoder->graph, "stop", &stop, failure)) {
    return false;
  }
  for (int i = 0; i < decoder->step_frames * decoder->bins; ++i) {
    if (!isfinite(made.values[i])) return not_finite(failure);
  }
  *step = (DecoderStep){.frames = made.values, .read = read, .stops = stop.values[0] > 0};
  return true;
}

bool decoder_step(SpectrogramDecoder* decoder, EncodedFrames encoded, DecoderStep* step, Failure* failure) {
  *step = (DecoderStep){0};
  if (!encoded.complete && decoder->due >= encoded.count + 1) return true;
  const int read = decoder->due < encoded.count ? (int)decoder->due : encoded.count;
  decoder->due += decoder->clock;
  if (!follow_attention(decoder, read, failure)) return false;
  fill_window(decoder, encoded, read);
  return step_graph_run(&decoder->graph, failure) && read_step(decoder, read, step, failure);
}
