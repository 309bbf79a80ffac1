#include "recognizer.h"

bool recognizer_open(Recognizer* recognizer, Session* session, Mode mode, const ModelMetadata* metadata, int samples,
                     Failure* failure) {
  if (metadata->search[0] == '\0') {
    return fail(failure, RUN_MODEL_REFUSED, "its task '%s' is none that this program runs", metadata->task);
  }
  const Graph* graph = find_audio_graph(metadata, mode);
  if (graph == NULL) {
    return fail(failure, RUN_MODEL_REFUSED, "the model has no graph for mode %s", mode_name(mode));
  }
  return encoder_open(&recognizer->encoder, session, graph, samples, failure) &&
         search_open(&recognizer->search, session, metadata, failure);
}

void recognizer_close(Recognizer* recognizer) {
  search_close(&recognizer->search);
  encoder_close(&recognizer->encoder);
}

void recognizer_reset(Recognizer* recognizer) {
  encoder_reset(&recognizer->encoder);
  search_reset(&recognizer->search);
}

static bool search_on(Recognizer* recognizer, Failure* failure) {
  return search_advance(&recognizer->search, encoder_frames(&recognizer->encoder), failure);
}

bool recognizer_push(Recognizer* recognizer, const float* samples, Failure* failure) {
  return encoder_push(&recognizer->encoder, samples, failure) && search_on(recognizer, failure);
}

bool recognizer_finish(Recognizer* recognizer, const float* samples, int count, Failure* failure) {
  return encoder_finish(&recognizer->encoder, samples, count, failure) && search_on(recognizer, failure);
}
