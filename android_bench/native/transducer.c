#include "transducer.h"

#include <string.h>

bool transducer_open(Transducer* transducer, Session* session, const ModelMetadata* metadata, Failure* failure) {
  static const char* const labels[] = {"label", NULL};
  static const char* const vectors[] = {"encoding", "prediction", NULL};
  Matrix prediction, logits;
  if (!step_graph_open(&transducer->predict, session, metadata, "predict", labels, failure) ||
      !step_graph_open(&transducer->join, session, metadata, "join", vectors, failure) ||
      !step_graph_output(&transducer->predict, "prediction", &prediction, failure) ||
      !step_graph_input(&transducer->join, "encoding", &transducer->encoding, failure) ||
      !step_graph_input(&transducer->join, "prediction", &transducer->prediction, failure) ||
      !step_graph_output(&transducer->join, "logits", &logits, failure)) {
    return false;
  }
  transducer->symbols = logits.columns;
  transducer->max_symbols = (int)metadata->max_symbols;
  if (prediction.rows == 1 && transducer->encoding.rows == 1 && transducer->prediction.rows == 1 && logits.rows == 1 &&
      prediction.columns == transducer->prediction.columns && transducer->max_symbols > 0) {
    return true;
  }
  return fail(failure, RUN_MODEL_REFUSED, "the graphs 'predict' and 'join' do not fit each other or the metadata");
}

void transducer_close(Transducer* transducer) {
  step_graph_close(&transducer->predict);
  step_graph_close(&transducer->join);
}

void transducer_reset(Transducer* transducer) {
  step_graph_reset(&transducer->predict);
  step_graph_reset(&transducer->join);
}

bool transducer_predict(Transducer* transducer, int label, Failure* failure) {
  Matrix prediction;
  if (!step_graph_set_integer(&transducer->predict, "label", label, failure) ||
      !step_graph_run(&transducer->predict, failure) ||
      !step_graph_output(&transducer->predict, "prediction", &prediction, failure)) {
    return false;
  }
  memcpy(transducer->prediction.values, prediction.values, (size_t)prediction.columns * sizeof *prediction.values);
  return true;
}

bool transducer_join(Transducer* transducer, const float* encoding, const float** logits, Failure* failure) {
  Matrix output;
  memcpy(transducer->encoding.values, encoding, (size_t)transducer->encoding.columns * sizeof *encoding);
  if (!step_graph_run(&transducer->join, failure) ||
      !step_graph_output(&transducer->join, "logits", &output, failure)) {
    return false;
  }
  *logits = output.values;
  return true;
}
