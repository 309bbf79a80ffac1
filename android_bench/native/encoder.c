#include "encoder.h"

#include <stdlib.h>
#include <string.h>

static int64_t elements(const Session* session, const TfLiteTensor* tensor) {
  int64_t count = 1;
  for (int i = 0; i < tensor_rank(session, tensor); ++i) count *= tensor_dim(session, tensor, i);
  return count;
}

static bool allocate(Encoder* encoder, TfLiteSignatureRunner* runner, const char* name, Failure* failure) {
  if (signature_allocate(encoder->session, runner)) return true;
  return fail(failure, RUN_MODEL_REFUSED, "the runtime cannot prepare '%s': %s", name,
              session_complaints(encoder->session));
}

/* ---- Output ---- */

static bool append_frames(Encoder* encoder, const TfLiteTensor* tensor, Failure* failure) {
  const Session* session = encoder->session;
  const int rank = tensor == NULL ? 0 : tensor_rank(session, tensor);
  if (rank < 2 || tensor_type(session, tensor) != TENSOR_FLOAT32) {
    return fail(failure, RUN_MODEL_REFUSED, "the logits should be FLOAT32 [1, frames, columns]");
  }
  const int64_t count = elements(session, tensor);
  if (count == 0) return true;
  const int columns = tensor_dim(session, tensor, rank - 1);
  if (encoder->frames > 0 && columns != encoder->columns) {
    return fail(failure, RUN_MODEL_REFUSED, "logits have %d columns, then %d", encoder->columns, columns);
  }
  const int rows = (int)(count / columns);
  const int dropped = encoder->delayed < rows ? encoder->delayed : rows;
  const size_t used = (size_t)encoder->frames * (size_t)columns, added = (size_t)(rows - dropped) * (size_t)columns;
  if (used + added > encoder->capacity) {
    const size_t capacity = 2 * (used + added);
    float* grown = realloc(encoder->values, capacity * sizeof *grown);
    if (grown == NULL) return fail(failure, RUN_FAILED, "no memory for logits");
    encoder->values = grown;
    encoder->capacity = capacity;
  }
  const float* kept = (const float*)tensor_data(session, tensor) + (size_t)dropped * (size_t)columns;
  if (added > 0) memcpy(encoder->values + used, kept, added * sizeof *kept);
  encoder->columns = columns;
  encoder->frames += rows - dropped;
  encoder->delayed -= dropped;
  return true;
}

/* ---- Whole utterances ---- */

static bool prepare_offline(Encoder* encoder, int samples, Failure* failure) {
  const int dims[2] = {1, samples};
  if (samples == encoder->samples) return true;
  encoder->samples = 0;
  if (!signature_resize(encoder->session, encoder->runner, encoder->graph->samples, dims, 2)) {
    return fail(failure, RUN_MODEL_REFUSED, "its signature '%s' takes no '%s' [1, %d]: %s", encoder->graph->signature,
                encoder->graph->samples, samples, session_complaints(encoder->session));
  }
  if (!allocate(encoder, encoder->runner, encoder->graph->signature, failure)) return false;
  encoder->samples = samples;
  return true;
}

static bool run_offline(Encoder* encoder, const float* waveform, int samples, Failure* failure) {
  Session* session = encoder->session;
  if (!prepare_offline(encoder, samples, failure)) return false;
  const double began = now_us();
  const TfLiteTensor* input = signature_input(session, encoder->runner, encoder->graph->samples);
  if (samples > 0) memcpy(tensor_data(session, input), waveform, (size_t)samples * sizeof *waveform);
  if (!signature_invoke(session, encoder->runner)) {
    return fail(failure, RUN_FAILED, "the runtime cannot compute it on %d samples: %s", samples,
                session_complaints(session));
  }
  const double ended = now_us();
  return append_frames(encoder, signature_output(session, encoder->runner, encoder->graph->output), failure) &&
         times_add(&encoder->times, ended - began, failure);
}

static bool open_offline(Encoder* encoder, int samples, Failure* failure) {
  const Session* session = encoder->session;
  const Graph* graph = encoder->graph;
  const TfLiteTensor* input = signature_input(session, encoder->runner, graph->samples);
  if (input == NULL || tensor_type(session, input) != TENSOR_FLOAT32 ||
      signature_output(session, encoder->runner, graph->output) == NULL) {
    return fail(failure, RUN_MODEL_REFUSED, "its signature '%s' should go from FLOAT32 '%s' to '%s'", graph->signature,
                graph->samples, graph->output);
  }
  return prepare_offline(encoder, samples, failure);
}

/* ---- Step by step ---- */

/* Writes one input: a state that is not in place, samples (followed by zeros), or their number. */
static void feed(Encoder* encoder, const char* name, TfLiteTensor* tensor, const float* samples, int count) {
  const Session* session = encoder->session;
  const State* state = states_find(&encoder->states, name);
  void* data = tensor_data(session, tensor);
  const size_t bytes = tensor_bytes(session, tensor);
  if (state != NULL) {
    if (data != state->content) memcpy(data, state->content, bytes);
  } else if (tensor_type(session, tensor) == TENSOR_INT32) {
    const int32_t number = count;
    memcpy(data, &number, sizeof number);
  } else {
    const size_t valid = (size_t)count * sizeof *samples;
    if (valid > 0) memcpy(data, samples, valid);
    memset((char*)data + valid, 0, bytes - valid);
  }
}

static bool run_step(Encoder* encoder, TfLiteSignatureRunner* runner, const float* samples, int count,
                     Failure* failure) {
  Session* session = encoder->session;
  const double began = now_us();
  for (int i = 0; i < signature_input_count(session, runner); ++i) {
    const char* name = signature_input_name(session, runner, i);
    feed(encoder, name, signature_input(session, runner, name), samples, count);
  }
  if (!signature_invoke(session, runner)) {
    return fail(failure, RUN_FAILED, "the runtime cannot compute step %d: %s", encoder->times.count + 1,
                session_complaints(session));
  }
  if (!states_update(&encoder->states, session, runner, failure)) return false;
  const TfLiteTensor* count_so_far = signature_output(session, runner, encoder->graph->frames);
  if (count_so_far != NULL && tensor_bytes(session, count_so_far) == sizeof encoder->valid) {
    memcpy(&encoder->valid, tensor_data(session, count_so_far), sizeof encoder->valid);
  }
  if (!append_frames(encoder, signature_output(session, runner, encoder->graph->output), failure)) return false;
  return times_add(&encoder->times, now_us() - began, failure);
}

static bool flush(Encoder* encoder, const float* samples, int count, Failure* failure) {
  TfLiteSignatureRunner* end = encoder->flush == NULL ? encoder->runner : encoder->flush;
  if (count > 0 && !run_step(encoder, end, samples, count, failure)) return false;
  for (int i = 0; i < encoder->flush_steps; ++i) {
    if (!run_step(encoder, end, NULL, 0, failure)) return false;
  }
  if (encoder->valid >= 0 && encoder->valid < encoder->frames) encoder->frames = encoder->valid;
  return true;
}

/* Format 2 lists the states; in format 1 they are the inputs that are outputs too. */
static bool is_state(const Encoder* encoder, const char* name) {
  if (encoder->graph->lists_states) return graph_has_state(encoder->graph, name);
  return signature_output(encoder->session, encoder->runner, name) != NULL;
}

/* Sorts the inputs of the step into states, samples and their number. */
static bool find_inputs(Encoder* encoder, Failure* failure) {
  Session* session = encoder->session;
  TfLiteSignatureRunner* runner = encoder->runner;
  for (int i = 0; i < signature_input_count(session, runner); ++i) {
    const char* name = signature_input_name(session, runner, i);
    const TfLiteTensor* tensor = signature_input(session, runner, name);
    const int64_t count = elements(session, tensor);
    if (is_state(encoder, name)) {
      if (!states_add(&encoder->states, session, name, tensor, failure)) return false;
    } else if (tensor_type(session, tensor) == TENSOR_FLOAT32 && encoder->samples == 0 && count > 0 &&
               count < INT32_MAX) {
      encoder->samples = (int)count;
    } else if (tensor_type(session, tensor) != TENSOR_INT32 || count != 1) {
      return fail(failure, RUN_MODEL_REFUSED, "the input '%s' of '%s' is neither state nor samples nor their number",
                  name, encoder->graph->signature);
    }
  }
  if (encoder->samples > 0) return true;
  return fail(failure, RUN_MODEL_REFUSED, "'%s' has no input for samples", encoder->graph->signature);
}

/* Checks that `feed` can serve the flush: its states are the step's. */
static bool check_flush(Encoder* encoder, Failure* failure) {
  Session* session = encoder->session;
  for (int i = 0; i < signature_input_count(session, encoder->flush); ++i) {
    const char* name = signature_input_name(session, encoder->flush, i);
    const TfLiteTensor* tensor = signature_input(session, encoder->flush, name);
    const State* state = states_find(&encoder->states, name);
    const int type = tensor_type(session, tensor);
    const bool number = type == TENSOR_INT32 && elements(session, tensor) == 1;
    if (state != NULL ? tensor_bytes(session, tensor) != state->bytes : !number && type != TENSOR_FLOAT32) {
      return fail(failure, RUN_MODEL_REFUSED, "the input '%s' of '%s' does not fit '%s'", name, encoder->graph->flush,
                  encoder->graph->signature);
    }
  }
  return true;
}

static bool open_stream(Encoder* encoder, Failure* failure) {
  const Graph* graph = encoder->graph;
  if (graph->flush[0] != '\0') encoder->flush = session_signature(encoder->session, graph->flush);
  if (!session_use_xnnpack(encoder->session, failure)) return false;
  /* Both before any address is stored: they may be one graph, whose memory is arranged twice. */
  if (encoder->flush != NULL && !allocate(encoder, encoder->flush, graph->flush, failure)) return false;
  if (!allocate(encoder, encoder->runner, graph->signature, failure)) return false;
  if (!find_inputs(encoder, failure)) return false;
  if (encoder->flush != NULL && !check_flush(encoder, failure)) return false;
  encoder->flush_steps = (int)((graph->flush_samples + encoder->samples - 1) / encoder->samples);
  return true;
}

/* ---- Both ---- */

static bool is_stream(const Encoder* encoder) { return encoder->graph->mode == MODE_STREAMING; }

bool encoder_open(Encoder* encoder, Session* session, const Graph* graph, int samples, Failure* failure) {
  encoder->session = session;
  encoder->graph = graph;
  encoder->runner = session_signature(session, graph->signature);
  if (encoder->runner == NULL) {
    return fail(failure, RUN_MODEL_REFUSED, "the model has no signature '%s', which mode %s needs", graph->signature,
                mode_name(graph->mode));
  }
  return is_stream(encoder) ? open_stream(encoder, failure) : open_offline(encoder, samples, failure);
}

void encoder_close(Encoder* encoder) {
  signature_close(encoder->session, encoder->runner);
  signature_close(encoder->session, encoder->flush);
  free(encoder->values);
  times_free(&encoder->times);
}

int encoder_step_samples(const Encoder* encoder) { return is_stream(encoder) ? encoder->samples : 0; }

void encoder_reset(Encoder* encoder) {
  encoder->frames = encoder->columns = 0;
  encoder->delayed = (int)encoder->graph->delay_frames;
  encoder->valid = -1;
  times_clear(&encoder->times);
  states_reset(&encoder->states);
}

bool encoder_push(Encoder* encoder, const float* samples, Failure* failure) {
  return run_step(encoder, encoder->runner, samples, encoder->samples, failure);
}

bool encoder_finish(Encoder* encoder, const float* samples, int count, Failure* failure) {
  return (is_stream(encoder) ? flush : run_offline)(encoder, samples, count, failure);
}

Frames encoder_frames(const Encoder* encoder) {
  return (Frames){encoder->values, encoder->frames, encoder->columns, encoder->columns};
}
