/* The model of a file, which recognizes or converts speech: its metadata name the task. */
#ifndef TFCONFORMER_BENCH_SPEECH_MODEL_H_
#define TFCONFORMER_BENCH_SPEECH_MODEL_H_

#include "arguments.h"
#include "converter.h"

enum { MAX_COMPONENTS = 3 };

typedef struct {
  bool converts; /* the model is the converter, else the recognizer */
  Recognizer recognizer;
  Converter converter;
} SpeechModel;

/* What the model made of the last utterance: logits, or speech in rows of a hop. */
typedef struct {
  const float* values; /* [frames, columns] */
  int frames;
  int columns;
} Output;

/* The parts of the model: "encoder", "decoder" and "vocoder" of a converter; of a recognizer there is one, without a
 * name. */
typedef struct {
  int count;
  const char* name[MAX_COMPONENTS];
  const Times* times[MAX_COMPONENTS]; /* of the steps of the last utterance */
} Components;

/* Prepares a session for an utterance of `samples`; `model` is zero, and `metadata` must outlive it. */
bool model_open(SpeechModel* model, Session* session, const ModelMetadata* metadata, const Arguments* arguments,
                int samples, Failure* failure);
void model_close(SpeechModel* model);

/* Computes an utterance of any length. */
bool model_run(SpeechModel* model, const float* waveform, int samples, Failure* failure);

Output model_output(const SpeechModel* model);
/* The logits of the words of the utterance, which a converter has too. */
CtcLogits model_logits(const SpeechModel* model);
Components model_components(const SpeechModel* model);
/* Time in microseconds of all steps of the utterance. */
double model_compute_us(const SpeechModel* model);

#endif
