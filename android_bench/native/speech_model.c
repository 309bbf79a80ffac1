#include "speech_model.h"

#include <string.h>

bool model_open(SpeechModel* model, Session* session, const ModelMetadata* metadata, Mode mode, int lag_ms, int samples,
                Failure* failure) {
  model->converts = strcmp(metadata->task, CONVERSION) == 0;
  if (!model->converts && lag_ms > 0) {
    return fail(failure, RUN_BAD_ARGUMENTS, "--lag-ms is for models that convert speech");
  }
  if (!model->converts) return recognizer_open(&model->recognizer, session, mode, metadata, samples, failure);
  if (mode != MODE_STREAMING) {
    return fail(failure, RUN_MODEL_REFUSED, "a model of conversion runs step by step: --mode=streaming");
  }
  return converter_open(&model->converter, session, metadata, lag_ms, failure);
}

void model_close(SpeechModel* model) {
  recognizer_close(&model->recognizer);
  converter_close(&model->converter);
}

static const Encoder* encoder_of(const SpeechModel* model) {
  return model->converts ? &model->converter.encoder : &model->recognizer.encoder;
}

int model_step_samples(const SpeechModel* model) { return encoder_step_samples(encoder_of(model)); }

void model_reset(SpeechModel* model) {
  if (model->converts) {
    converter_reset(&model->converter);
  } else {
    recognizer_reset(&model->recognizer);
  }
}

bool model_push(SpeechModel* model, const float* samples, Failure* failure) {
  return model->converts ? converter_push(&model->converter, samples, failure)
                         : recognizer_push(&model->recognizer, samples, failure);
}

bool model_finish(SpeechModel* model, const float* samples, int count, Failure* failure) {
  return model->converts ? converter_finish(&model->converter, samples, count, failure)
                         : recognizer_finish(&model->recognizer, samples, count, failure);
}

bool model_run(SpeechModel* model, const float* waveform, int samples, Failure* failure) {
  const int step = model_step_samples(model);
  int at = 0;
  model_reset(model);
  for (; step > 0 && samples - at >= step; at += step) {
    if (!model_push(model, waveform + at, failure)) return false;
  }
  return model_finish(model, waveform + at, samples - at, failure);
}

Output model_output(const SpeechModel* model) {
  const Encoder* encoder = &model->recognizer.encoder;
  const Vocoder* vocoder = &model->converter.vocoder;
  return model->converts ? (Output){vocoder->samples, vocoder->count / vocoder->hop, vocoder->hop}
                         : (Output){encoder->values, encoder->frames, encoder->columns};
}

const Search* model_search(const SpeechModel* model) {
  return model->converts ? &model->converter.search : &model->recognizer.search;
}

const Graph* model_graph(const SpeechModel* model) { return encoder_of(model)->graph; }

Components model_components(const SpeechModel* model) {
  const Converter* converter = &model->converter;
  const Recognizer* recognizer = &model->recognizer;
  const Transducer* transducer = &recognizer->search.transducer;
  if (model->converts) {
    return (Components){
        .count = 3,
        .name = {"encoder", "decoder", "vocoder"},
        .times = {&converter->encoder.times, &converter->decoder.graph.times, &converter->vocoder.graph.times},
    };
  }
  if (recognizer->search.is_transducer) {
    return (Components){
        .count = 3,
        .name = {"encoder", "prediction", "joint"},
        .times = {&recognizer->encoder.times, &transducer->predict.times, &transducer->join.times},
    };
  }
  return (Components){.count = 1, .times = {&recognizer->encoder.times}};
}

double model_compute_us(const SpeechModel* model) {
  const Components components = model_components(model);
  double us = 0;
  for (int i = 0; i < components.count; ++i) us += components.times[i]->total;
  return us;
}
