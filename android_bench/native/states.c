#include "states.h"

#include <string.h>

bool states_add(States* states, const Session* session, const char* name, const TfLiteTensor* tensor,
                Failure* failure) {
  if (states->count == MAX_STATES) return fail(failure, RUN_MODEL_REFUSED, "more than %d states", MAX_STATES);
  states->state[states->count++] =
      (State){.name = name, .bytes = tensor_bytes(session, tensor), .content = tensor_data(session, tensor)};
  return true;
}

const State* states_find(const States* states, const char* name) {
  for (int i = 0; i < states->count; ++i) {
    if (strcmp(states->state[i].name, name) == 0) return &states->state[i];
  }
  return NULL;
}

void states_reset(const States* states) {
  for (int i = 0; i < states->count; ++i) memset(states->state[i].content, 0, states->state[i].bytes);
}

bool states_update(const States* states, const Session* session, TfLiteSignatureRunner* runner, Failure* failure) {
  for (int i = 0; i < states->count; ++i) {
    const State* state = &states->state[i];
    const TfLiteTensor* tensor = signature_output(session, runner, state->name);
    if (tensor == NULL || tensor_bytes(session, tensor) != state->bytes) {
      return fail(failure, RUN_MODEL_REFUSED, "the state '%s' gets lost or changes its size", state->name);
    }
    const void* content = tensor_data(session, tensor);
    if (content != state->content) memcpy(state->content, content, state->bytes); /* else it was changed in place */
  }
  return true;
}
