#include "recognizer.h"

#include <stdlib.h>
#include <string.h>

static int64_t elements(const Session* session, const TfLiteTensor* tensor) {
  int64_t count = 1;
  for (int i = 0; i < tensor_rank(session, tensor); ++i) count *= tensor_dim(session, tensor, i);
  return count;
}

static bool allocate(Recognizer* recognizer, TfLiteSignatureRunner* runner, const char* name, Failure* failure) {
  if (signature_allocate(recognizer->session, runner)) return true;
  return fail(failure, RUN_MODEL_REFUSED, "the runtime cannot prepare '%s': %s", name,
              session_complaints(recognizer->session));
}

/* ---- Output ---- */

static bool append_logits(Recognizer* recognizer, const TfLiteTensor* tensor, Failure* failure) {
  const Session* session = recognizer->session;
  const int rank = tensor == NULL ? 0 : tensor_rank(session, tensor);
  if (rank < 2 || tensor_type(session, tensor) != TENSOR_FLOAT32) {
    return fail(failure, RUN_MODEL_REFUSED, "the logits should be FLOAT32 [1, frames, columns]");
  }
  const int64_t count = elements(session, tensor);
  if (count == 0) return true;
  const int columns = tensor_dim(session, tensor, rank - 1);
  if (recognizer->frames > 0 && columns != recognizer->columns) {
    return fail(failure, RUN_MODEL_REFUSED, "logits have %d columns, then %d", recognizer->columns, columns);
  }
  const int rows = (int)(count / columns);
  const int dropped = recognizer->delayed < rows ? recognizer->delayed : rows;
  const size_t used = (size_t)recognizer->frames * (size_t)columns, added = (size_t)(rows - dropped) * (size_t)columns;
  if (used + added > recognizer->capacity) {
    const size_t capacity = 2 * (used + added);
    float* grown = realloc(recognizer->logits, capacity * sizeof *grown);
    if (grown == NULL) return fail(failure, RUN_FAILED, "no memory for logits");
    recognizer->logits = grown;
    recognizer->capacity = capacity;
  }
  const float* kept = (const float*)tensor_data(session, tensor) + (size_t)dropped * (size_t)columns;
  if (added > 0) memcpy(recognizer->logits + used, kept, added * sizeof *kept);
  recognizer->columns = columns;
  recognizer->frames += rows - dropped;
  recognizer->delayed -= dropped;
  return true;
}

/* ---- Whole utterances ---- */

static bool prepare_offline(Recognizer* recognizer, int samples, Failure* failure) {
  const int dims[2] = {1, samples};
  if (samples == recognizer->samples) return true;
  recognizer->samples = 0;
  if (!signature_resize(recognizer->session, recognizer->runner, recognizer->graph->samples, dims, 2)) {
    return fail(failure, RUN_MODEL_REFUSED, "its signature '%s' takes no '%s' [1, %d]: %s",
                recognizer->graph->signature, recognizer->graph->samples, samples,
                session_complaints(recognizer->session));
  }
  if (!allocate(recognizer, recognizer->runner, recognizer->graph->signature, failure)) return false;
  recognizer->samples = samples;
  return true;
}

static bool run_offline(Recognizer* recognizer, const float* waveform, int samples, Failure* failure) {
  Session* session = recognizer->session;
  if (!prepare_offline(recognizer, samples, failure)) return false;
  const double began = now_us();
  const TfLiteTensor* input = signature_input(session, recognizer->runner, recognizer->graph->samples);
  memcpy(tensor_data(session, input), waveform, (size_t)samples * sizeof *waveform);
  if (!signature_invoke(session, recognizer->runner)) {
    return fail(failure, RUN_FAILED, "the runtime cannot compute it on %d samples: %s", samples,
                session_complaints(session));
  }
  const double ended = now_us();
  return append_logits(recognizer, signature_output(session, recognizer->runner, recognizer->graph->logits), failure) &&
         times_add(&recognizer->times, ended - began, failure);
}

static bool open_offline(Recognizer* recognizer, int samples, Failure* failure) {
  const Session* session = recognizer->session;
  const TfLiteTensor* input = signature_input(session, recognizer->runner, recognizer->graph->samples);
  if (input == NULL || tensor_type(session, input) != TENSOR_FLOAT32 ||
      signature_output(session, recognizer->runner, recognizer->graph->logits) == NULL) {
    return fail(failure, RUN_MODEL_REFUSED, "its signature '%s' should go from FLOAT32 '%s' to '%s'",
                recognizer->graph->signature, recognizer->graph->samples, recognizer->graph->logits);
  }
  return prepare_offline(recognizer, samples, failure);
}

/* ---- Step by step ---- */

/* Writes one input: a state that is not in place, samples (followed by zeros), or their number. */
static void feed(Recognizer* recognizer, const char* name, TfLiteTensor* tensor, const float* samples, int count) {
  const Session* session = recognizer->session;
  const State* state = states_find(&recognizer->states, name);
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

static bool run_step(Recognizer* recognizer, TfLiteSignatureRunner* runner, const float* samples, int count,
                     Failure* failure) {
  Session* session = recognizer->session;
  const double began = now_us();
  for (int i = 0; i < signature_input_count(session, runner); ++i) {
    const char* name = signature_input_name(session, runner, i);
    feed(recognizer, name, signature_input(session, runner, name), samples, count);
  }
  if (!signature_invoke(session, runner)) {
    return fail(failure, RUN_FAILED, "the runtime cannot compute step %d: %s", recognizer->times.count + 1,
                session_complaints(session));
  }
  if (!states_update(&recognizer->states, session, runner, failure)) return false;
  const TfLiteTensor* count_so_far = signature_output(session, runner, recognizer->graph->frames);
  if (count_so_far != NULL && tensor_bytes(session, count_so_far) == sizeof recognizer->valid) {
    memcpy(&recognizer->valid, tensor_data(session, count_so_far), sizeof recognizer->valid);
  }
  if (!append_logits(recognizer, signature_output(session, runner, recognizer->graph->logits), failure)) return false;
  return times_add(&recognizer->times, now_us() - began, failure);
}

void recognizer_reset(Recognizer* recognizer) {
  recognizer->frames = recognizer->columns = 0;
  recognizer->delayed = (int)recognizer->graph->delay_frames;
  recognizer->valid = -1;
  times_clear(&recognizer->times);
  states_reset(&recognizer->states);
}

bool recognizer_push(Recognizer* recognizer, const float* samples, Failure* failure) {
  return run_step(recognizer, recognizer->runner, samples, recognizer->samples, failure);
}

bool recognizer_finish(Recognizer* recognizer, const float* samples, int count, Failure* failure) {
  TfLiteSignatureRunner* end = recognizer->flush == NULL ? recognizer->runner : recognizer->flush;
  if (count > 0 && !run_step(recognizer, end, samples, count, failure)) return false;
  for (int i = 0; i < recognizer->flush_steps; ++i) {
    if (!run_step(recognizer, end, NULL, 0, failure)) return false;
  }
  if (recognizer->valid >= 0 && recognizer->valid < recognizer->frames) recognizer->frames = recognizer->valid;
  return true;
}

static bool run_streaming(Recognizer* recognizer, const float* waveform, int samples, Failure* failure) {
  int at = 0;
  for (; samples - at >= recognizer->samples; at += recognizer->samples) {
    if (!recognizer_push(recognizer, waveform + at, failure)) return false;
  }
  return recognizer_finish(recognizer, waveform + at, samples - at, failure);
}

/* Format 2 lists the states; in format 1 they are the inputs that are outputs too. */
static bool is_state(const Recognizer* recognizer, const char* name) {
  if (recognizer->graph->lists_states) return graph_has_state(recognizer->graph, name);
  return signature_output(recognizer->session, recognizer->runner, name) != NULL;
}

/* Sorts the inputs of the step into states, samples and their number. */
static bool find_inputs(Recognizer* recognizer, Failure* failure) {
  Session* session = recognizer->session;
  TfLiteSignatureRunner* runner = recognizer->runner;
  for (int i = 0; i < signature_input_count(session, runner); ++i) {
    const char* name = signature_input_name(session, runner, i);
    const TfLiteTensor* tensor = signature_input(session, runner, name);
    const int64_t count = elements(session, tensor);
    if (is_state(recognizer, name)) {
      if (!states_add(&recognizer->states, session, name, tensor, failure)) return false;
    } else if (tensor_type(session, tensor) == TENSOR_FLOAT32 && recognizer->samples == 0 && count > 0 &&
               count < INT32_MAX) {
      recognizer->samples = (int)count;
    } else if (tensor_type(session, tensor) != TENSOR_INT32 || count != 1) {
      return fail(failure, RUN_MODEL_REFUSED, "the input '%s' of '%s' is neither state nor samples nor their number",
                  name, recognizer->graph->signature);
    }
  }
  if (recognizer->samples > 0) return true;
  return fail(failure, RUN_MODEL_REFUSED, "'%s' has no input for samples", recognizer->graph->signature);
}

/* Checks that `feed` can serve the flush: its states are the step's. */
static bool check_flush(Recognizer* recognizer, Failure* failure) {
  Session* session = recognizer->session;
  for (int i = 0; i < signature_input_count(session, recognizer->flush); ++i) {
    const char* name = signature_input_name(session, recognizer->flush, i);
    const TfLiteTensor* tensor = signature_input(session, recognizer->flush, name);
    const State* state = states_find(&recognizer->states, name);
    const int type = tensor_type(session, tensor);
    const bool number = type == TENSOR_INT32 && elements(session, tensor) == 1;
    if (state != NULL ? tensor_bytes(session, tensor) != state->bytes : !number && type != TENSOR_FLOAT32) {
      return fail(failure, RUN_MODEL_REFUSED, "the input '%s' of '%s' does not fit '%s'", name,
                  recognizer->graph->flush, recognizer->graph->signature);
    }
  }
  return true;
}

/* Opens the graph's signature. */
static bool open_graph(Recognizer* recognizer, Session* session, const Graph* graph, Failure* failure) {
  recognizer->session = session;
  recognizer->graph = graph;
  recognizer->runner = session_signature(session, graph->signature);
  if (recognizer->runner != NULL) return true;
  return fail(failure, RUN_MODEL_REFUSED, "the model has no signature '%s', which mode %s needs", graph->signature,
              mode_name(graph->streams ? MODE_STREAMING : MODE_OFFLINE));
}

bool recognizer_open_stream(Recognizer* recognizer, Session* session, const Graph* graph, Failure* failure) {
  if (!open_graph(recognizer, session, graph, failure)) return false;
  if (graph->flush[0] != '\0') recognizer->flush = session_signature(recognizer->session, graph->flush);
  if (!session_use_xnnpack(recognizer->session, failure)) return false;
  /* Both before any address is stored: they may be one graph, whose memory is arranged twice. */
  if (recognizer->flush != NULL && !allocate(recognizer, recognizer->flush, graph->flush, failure)) return false;
  if (!allocate(recognizer, recognizer->runner, graph->signature, failure)) return false;
  if (!find_inputs(recognizer, failure)) return false;
  if (recognizer->flush != NULL && !check_flush(recognizer, failure)) return false;
  recognizer->flush_steps = (int)((graph->flush_samples + recognizer->samples - 1) / recognizer->samples);
  return true;
}

/* ---- Both ---- */

/* The first graph that runs in this mode; NULL if the file describes none. */
static const Graph* graph_of_mode(const ModelMetadata* metadata, Mode mode) {
  for (int i = 0; i < metadata->graphs; ++i) {
    if (metadata->graph[i].streams == (mode == MODE_STREAMING)) return &metadata->graph[i];
  }
  return NULL;
}

bool recognizer_open(Recognizer* recognizer, Session* session, Mode mode, const ModelMetadata* metadata, int samples,
                     Failure* failure) {
  if (metadata->search[0] == '\0') {
    return fail(failure, RUN_MODEL_REFUSED, "its task '%s' is none that this program runs", metadata->task);
  }
  if (strcmp(metadata->search, "ctc") != 0) {
    return fail(failure, RUN_MODEL_REFUSED, "its output is searched by '%s', this program has 'ctc'", metadata->search);
  }
  const Graph* graph = graph_of_mode(metadata, mode);
  if (graph == NULL) {
    return fail(failure, RUN_MODEL_REFUSED, "the model has no graph for mode %s", mode_name(mode));
  }
  if (mode == MODE_STREAMING) return recognizer_open_stream(recognizer, session, graph, failure);
  return open_graph(recognizer, session, graph, failure) && open_offline(recognizer, samples, failure);
}

void recognizer_close(Recognizer* recognizer) {
  signature_close(recognizer->session, recognizer->runner);
  signature_close(recognizer->session, recognizer->flush);
  free(recognizer->logits);
  times_free(&recognizer->times);
}

bool recognizer_run(Recognizer* recognizer, const float* waveform, int samples, Failure* failure) {
  recognizer_reset(recognizer);
  return recognizer->graph->streams ? run_streaming(recognizer, waveform, samples, failure)
                                    : run_offline(recognizer, waveform, samples, failure);
}

CtcLogits recognizer_logits(const Recognizer* recognizer) {
  return (CtcLogits){recognizer->logits, recognizer->frames, recognizer->columns, recognizer->columns};
}
