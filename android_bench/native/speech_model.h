/* The model of a file, which recognizes or converts speech: its metadata name the task. */
#ifndef TFCONFORMER_BENCH_SPEECH_MODEL_H_
#define TFCONFORMER_BENCH_SPEECH_MODEL_H_

#include "converter.h"
#include "recognizer.h"

enum { MAX_COMPONENTS = 3 };

typedef struct {
  bool converts; /* the model is the converter, else the recognizer */
  Recognizer recognizer;
  Converter converter;
} SpeechModel;

/* What the model made of the last utterance: frames of the encoder, or speech in rows of a hop. */
typedef struct {
  const float* values; /* [frames, columns] */
  int frames;
  int columns;
} Output;

/* The parts of the model: "encoder", "decoder" and "vocoder" of a converter; "encoder", "prediction" and "joint" of a
 * transducer; of another recognizer there is one, without a name. */
typedef struct {
  int count;
  const char* name[MAX_COMPONENTS];
  const Times* times[MAX_COMPONENTS]; /* of the steps of the last utterance */
} Components;

/* Prepares a session, for whole utterances at first for one of so many samples; `model` is zero, and `metadata` must
 * outlive it. `lag_ms` is that of a converter. */
bool model_open(SpeechModel* model, Session* session, const ModelMetadata* metadata, Mode mode, int lag_ms, int samples,
                Failure* failure);
void model_close(SpeechModel* model);

/* Samples of a step; 0 of a model that takes whole utterances. */
int model_step_samples(const SpeechModel* model);
/* Begins an utterance. */
void model_reset(SpeechModel* model);
/* Takes the samples of a step. */
bool model_push(SpeechModel* model, const float* samples, Failure* failure);
/* Ends the utterance with the samples that whole steps leave. */
bool model_finish(SpeechModel* model, const float* samples, int count, Failure* failure);
/* Computes an utterance of any length. */
bool model_run(SpeechModel* model, const float* waveform, int samples, Failure* failure);

Output model_output(const SpeechModel* model);
/* The labels of the utterance so far, which a converter has too. */
const Search* model_search(const SpeechModel* model);
/* The graph from audio. */
const Graph* model_graph(const SpeechModel* model);
Components model_components(const SpeechModel* model);
/* Time in microseconds of all steps of the utterance. */
double model_compute_us(const SpeechModel* model);

#endif
