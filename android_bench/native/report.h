/* The results of a run, and their JSON (android_bench/report.schema.json). */
#ifndef TFCONFORMER_BENCH_REPORT_H_
#define TFCONFORMER_BENCH_REPORT_H_

#include "arguments.h"
#include "device.h"
#include "json_writer.h"
#include "profile.h"
#include "reference.h"
#include "speech_model.h"
#include "statistics.h"
#include "word_errors.h"
#include "words.h"

#define BENCH_VERSION "0.1.0"

typedef enum { CHECK_NOT_DONE, CHECK_EQUAL, CHECK_WITHIN_TOLERANCE, CHECK_MISMATCH } CheckStatus;

typedef struct {
  CheckStatus status;
  Comparison comparison; /* meaningless where the shapes differ */
  bool shape_differs;
  float tolerance;
  int frames, columns; /* of the output */
  bool repeatable;     /* the last timed run gave the first one's output, bit for bit */
} OutputCheck;

/* A part of a model that runs step by step: times of all its steps in an utterance, and of one step. */
typedef struct {
  const char* name;
  Summary utterance, step;
} Component;

/* Speech that the model made of an utterance. */
typedef struct {
  char* name;
  char* file; /* NULL: not written */
  double audio_seconds, speech_seconds;
  double component_seconds[MAX_COMPONENTS]; /* of computing */
  double first_sound_seconds;               /* from the end of the audio to the first samples */
  bool stopped;                             /* false: the decoder was cut off */
} Conversion;

typedef struct {
  char* name;
  char* reference; /* NULL: no transcript */
  char* hypothesis;
  Words words;
  bool has_times; /* the metadata say how long a frame is */
  double audio_seconds, compute_seconds;
} Utterance;

typedef struct {
  int utterances;
  Utterance* utterance;
  bool has_errors;
  WordErrors errors;
  double audio_seconds, compute_seconds;
} Recognition;

typedef struct {
  const char* entry_point; /* "cli" or "jni" */
  const Arguments* arguments;
  Failure failure; /* code RUN_OK: none */
  /* The model and its engine; empty or zero until known. */
  char model_sha256[SHA256_TEXT_SIZE];
  int64_t file_bytes, weight_bytes;
  const char* engine_version; /* NULL until loaded */
  const char* engine_library;
  const char* kernel;
  bool xnnpack;
  /* The machine. */
  Device device;
  int affinity_count, affinity[MAX_CORES];
  Thermal thermal_before, thermal_after;
  Memory memory_before, memory_init, memory_end;
  /* Times in microseconds; `finished` says that the timed runs are complete. */
  bool finished;
  const char* input;    /* "reference", "audio" or "noise" */
  double audio_seconds; /* of the timed utterance; 0: unknown */
  double init_us, first_us;
  Summary utterance;
  int components;
  Component component[MAX_COMPONENTS];
  Summary first_sound; /* of a model that converts, after the end of the audio */
  int profiled_runs;
  Profile profile;
  OutputCheck check;
  Recognition recognition;
  int conversions;
  Conversion* conversion;
} Report;

void write_report(JsonWriter* json, const Report* report);
/* The gist on one line, for logcat. */
void write_summary(JsonWriter* json, const Report* report);
void report_free(Report* report);

#endif
