#include "speech_model.h"

#include <string.h>

bool model_open(SpeechModel* model, Session* session, const ModelMetadata* metadata, const Arguments* arguments,
                int samples, Failure* failure) {
  model->converts = strcmp(metadata->task, CONVERSION) == 0;
  if (!model->converts && arguments->lag_ms > 0) {
    return fail(failure, RUN_BAD_ARGUMENTS, "--lag-ms is for models that convert speech");
  }
  if (!model->converts) {
    return recognizer_open(&model->recognizer, session, arguments->mode, metadata, samples, failure);
  }
  if (arguments->mode != MODE_STREAMING) {
    return fail(failure, RUN_MODEL_REFUSED, "a model of conversion runs step by step: --mode=streaming");
  }
  return converter_open(&model->converter, session, metadata, arguments->lag_ms, failure);
}

void model_close(SpeechModel* model) {
  recognizer_close(&model->recognizer);
  converter_close(&model->converter);
}

bool model_run(SpeechModel* model, const float* waveform, int samples, Failure* failure) {
  return model->converts ? converter_run(&model->converter, waveform, samples, failure)
                         : recognizer_run(&model->recognizer, waveform, samples, failure);
}

Output model_output(const SpeechModel* model) {
  const Recognizer* recognizer = &model->recognizer;
  const Vocoder* vocoder = &model->converter.vocoder;
  return model->converts ? (Output){vocoder->samples, vocoder->count / vocoder->hop, vocoder->hop}
                         : (Output){recognizer->logits, recognizer->frames, recognizer->columns};
}

CtcLogits model_logits(const SpeechModel* model) {
  return model->converts ? converter_logits(&model->converter) : recognizer_logits(&model->recognizer);
}

Components model_components(const SpeechModel* model) {
  const Converter* converter = &model->converter;
  if (!model->converts) return (Components){.count = 1, .times = {&model->recognizer.times}};
  return (Components){
      .count = 3,
      .name = {"encoder", "decoder", "vocoder"},
      .times = {&converter->encoder.times, &converter->decoder.graph.times, &converter->vocoder.graph.times},
  };
}

double model_compute_us(const SpeechModel* model) {
  const Components components = model_components(model);
  double us = 0;
  for (int i = 0; i < components.count; ++i) us += components.times[i]->total;
  return us;
}
