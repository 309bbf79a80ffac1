#include "step_graph.h"

#include <string.h>

static bool is_listed(const char* const* names, const char* name) {
  for (; *names != NULL; ++names) {
    if (strcmp(*names, name) == 0) return true;
  }
  return false;
}

/* Sorts the inputs into states and others, of which there are only the expected ones. */
static bool find_states(StepGraph* graph, const Graph* description, const char* const* inputs, Failure* failure) {
  for (int i = 0; i < signature_input_count(graph->session, graph->runner); ++i) {
    const char* name = signature_input_name(graph->session, graph->runner, i);
    if (is_listed(inputs, name)) continue;
    if (!graph_has_state(description, name)) {
      return fail(failure, RUN_MODEL_REFUSED, "the input '%s' of '%s' is no state in the metadata", name,
                  graph->signature);
    }
    const TfLiteTensor* tensor = signature_input(graph->session, graph->runner, name);
    if (!states_add(&graph->states, graph->session, name, tensor, failure)) return false;
  }
  return true;
}

bool step_graph_open(StepGraph* graph, Session* session, const ModelMetadata* metadata, const char* signature,
                     const char* const* inputs, Failure* failure) {
  const Graph* description = find_graph(metadata, signature);
  graph->session = session;
  graph->signature = signature;
  graph->runner = description == NULL ? NULL : session_signature(session, signature);
  if (graph->runner == NULL) return fail(failure, RUN_MODEL_REFUSED, "the model has no graph '%s'", signature);
  if (!signature_allocate(session, graph->runner)) {
    return fail(failure, RUN_MODEL_REFUSED, "the runtime cannot prepare '%s': %s", signature,
                session_complaints(session));
  }
  return find_states(graph, description, inputs, failure);
}

void step_graph_close(StepGraph* graph) {
  signature_close(graph->session, graph->runner);
  times_free(&graph->times);
}

void step_graph_reset(StepGraph* graph) {
  states_reset(&graph->states);
  times_clear(&graph->times);
}

static bool read_matrix(const StepGraph* graph, const TfLiteTensor* tensor, const char* name, Matrix* matrix,
                        Failure* failure) {
  const Session* session = graph->session;
  const int rank = tensor == NULL ? 0 : tensor_rank(session, tensor);
  if (rank < 2 || rank > STEP_GRAPH_RANK || tensor_type(session, tensor) != TENSOR_FLOAT32 ||
      tensor_dim(session, tensor, 0) != 1 || tensor_bytes(session, tensor) == 0) {
    return fail(failure, RUN_MODEL_REFUSED, "'%s' should have FLOAT32 '%s' [1, columns] or [1, rows, columns]",
                graph->signature, name);
  }
  *matrix = (Matrix){
      .values = tensor_data(session, tensor),
      .rows = rank == 2 ? 1 : tensor_dim(session, tensor, 1),
      .columns = tensor_dim(session, tensor, rank - 1),
  };
  return true;
}

bool step_graph_input(const StepGraph* graph, const char* name, Matrix* matrix, Failure* failure) {
  return read_matrix(graph, signature_input(graph->session, graph->runner, name), name, matrix, failure);
}

bool step_graph_set_integer(const StepGraph* graph, const char* name, int32_t value, Failure* failure) {
  TfLiteTensor* tensor = signature_input(graph->session, graph->runner, name);
  if (tensor == NULL || tensor_type(graph->session, tensor) != TENSOR_INT32 ||
      tensor_bytes(graph->session, tensor) != sizeof value) {
    return fail(failure, RUN_MODEL_REFUSED, "'%s' should have INT32 '%s' [1]", graph->signature, name);
  }
  memcpy(tensor_data(graph->session, tensor), &value, sizeof value);
  return true;
}

bool step_graph_output(const StepGraph* graph, const char* name, Matrix* matrix, Failure* failure) {
  return read_matrix(graph, signature_output(graph->session, graph->runner, name), name, matrix, failure);
}

bool step_graph_run(StepGraph* graph, Failure* failure) {
  const double began = now_us();
  if (!signature_invoke(graph->session, graph->runner)) {
    return fail(failure, RUN_FAILED, "the runtime cannot compute step %d of '%s': %s", graph->times.count + 1,
                graph->signature, session_complaints(graph->session));
  }
  if (!states_update(&graph->states, graph->session, graph->runner, failure)) return false;
  return times_add(&graph->times, now_us() - began, failure);
}
