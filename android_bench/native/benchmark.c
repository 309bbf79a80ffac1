#include "benchmark.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../converters/custom_ops/include/tfconformer_ops.h"
#include "speech.h"
#include "tokenizer.h"

enum { MAX_PATH = 1024, MAX_TRANSCRIPT = 16384, NOISE_SECONDS = 4, PROFILED_RUNS = 3 };

/* The resources of a run. */
typedef struct {
  const Arguments* arguments;
  const Host* host;
  MappedFile file;
  ModelMetadata metadata;
  bool has_reference;
  Reference reference;
  PathList wav_files;
  Waveform audio;     /* the first of them, or noise */
  const float* input; /* the waveform that is timed */
  int input_samples;
  Session* session;
  SpeechModel model;
  float* first_output;
  /* Of the timed runs. */
  Times utterance_times, first_sound_times;
  Times component_times[MAX_COMPONENTS], step_times[MAX_COMPONENTS];
} Run;

/* Calls the listener; fails if it ends the run. */
static bool report_progress(const Run* run, Report* report, int done, int total, const char* stage) {
  const Host* host = run->host;
  if (host->progress == NULL || host->progress(host->user, done, total, stage)) return true;
  return fail(&report->failure, RUN_FAILED, "stopped during %s", stage);
}

/* ---- Input ---- */

static bool open_model(Run* run, Report* report) {
  uint8_t digest[SHA256_BYTES];
  if (!map_file(run->arguments->model, RUN_MODEL_REFUSED, &run->file, &report->failure)) return false;
  sha256(run->file.bytes, run->file.size, digest);
  sha256_text(digest, report->model_sha256);
  report->file_bytes = (int64_t)run->file.size;
  run->metadata = read_model_metadata(run->file);
  report->weight_bytes = run->metadata.weight_bytes;

  char beside[MAX_PATH];
  const char* path = run->arguments->reference;
  if (path == NULL) {
    const char* model = run->arguments->model;
    const char* end = strrchr(model, '.');
    const int length = end != NULL && strcmp(end, ".tflite") == 0 ? (int)(end - model) : (int)strlen(model);
    snprintf(beside, sizeof beside, "%.*s.reference", length, model);
    if (access(beside, F_OK) != 0) return true;
    path = beside;
  }
  run->has_reference = reference_open(path, digest, &run->reference, &report->failure);
  return run->has_reference;
}

static bool check_sample_rate(const Run* run, const char* path, const Waveform* waveform, Failure* failure) {
  if (run->metadata.sample_rate == 0 || waveform->sample_rate == run->metadata.sample_rate) return true;
  return fail(failure, RUN_BAD_ARGUMENTS, "%.400s: %d samples a second, the model takes %d", path,
              waveform->sample_rate, (int)run->metadata.sample_rate);
}

/* Four seconds of even noise from a fixed generator (Numerical Recipes' quick one), the same on every machine. */
static bool make_noise(Run* run, Failure* failure) {
  const int rate = run->metadata.sample_rate > 0 ? (int)run->metadata.sample_rate : USUAL_SAMPLE_RATE;
  run->audio = (Waveform){.count = NOISE_SECONDS * rate, .sample_rate = rate};
  run->audio.samples = malloc((size_t)run->audio.count * sizeof(float));
  if (run->audio.samples == NULL) return fail(failure, RUN_FAILED, "no memory for %d samples", run->audio.count);
  uint32_t state = 1;
  for (int i = 0; i < run->audio.count; ++i) {
    state = state * 1664525u + 1013904223u;
    run->audio.samples[i] = ((float)(state >> 8) / 8388608.0f - 1.0f) * 0.1f;
  }
  return true;
}

/* The timed utterance: the reference's, else the first WAV file, else noise. */
static bool choose_input(Run* run, Report* report) {
  Failure* failure = &report->failure;
  if (run->arguments->audio != NULL && !list_wav_files(run->arguments->audio, &run->wav_files, failure)) return false;
  if (run->has_reference) {
    report->input = "reference";
    run->input = run->reference.waveform;
    run->input_samples = run->reference.samples;
  } else {
    if (run->wav_files.count > 0) {
      report->input = "audio";
      if (!read_wav(run->wav_files.paths[0], &run->audio, failure)) return false;
      if (!check_sample_rate(run, run->wav_files.paths[0], &run->audio, failure)) return false;
    } else {
      report->input = "noise";
      if (!make_noise(run, failure)) return false;
    }
    run->input = run->audio.samples;
    run->input_samples = run->audio.count;
  }
  if (run->metadata.sample_rate > 0) {
    report->audio_seconds = (double)run->input_samples / (double)run->metadata.sample_rate;
  }
  return true;
}

/* ---- Timed runs ---- */

static bool start_engine(Run* run, Report* report) {
  const Arguments* arguments = run->arguments;
  Engine* engine = engine_load(arguments->engine, &report->failure);
  if (engine == NULL) return false;
  report->engine_version = engine_version(engine);
  report->engine_library = engine_library(engine);
  report->kernel = arguments->kernel == NULL ? tfc_kernel_name(0) : arguments->kernel;
  read_memory(&report->memory_before);
  const double began = now_us();
  run->session =
      session_open(engine, run->file, arguments->threads, arguments->kernel, &report->profile, &report->failure);
  if (run->session == NULL) return false;
  if (!model_open(&run->model, run->session, &run->metadata, arguments->mode, arguments->lag_ms, run->input_samples,
                  &report->failure)) {
    return false;
  }
  report->init_us = now_us() - began;
  report->xnnpack = session_has_xnnpack(run->session);
  read_memory(&report->memory_init);
  return true;
}

static size_t output_bytes(Output output) {
  return (size_t)output.frames * (size_t)output.columns * sizeof *output.values;
}

static bool run_once(Run* run, Report* report) {
  return model_run(&run->model, run->input, run->input_samples, &report->failure);
}

/* The first run, whose output is kept. */
static bool first_run(Run* run, Report* report) {
  if (!run_once(run, report)) return false;
  const Times* steps = model_components(&run->model).times[0];
  report->first_us = steps->count > 0 ? steps->us[0] : 0;
  const Output output = model_output(&run->model);
  report->check.frames = output.frames;
  report->check.columns = output.columns;
  const size_t bytes = output_bytes(output);
  run->first_output = malloc(bytes + 1);
  if (run->first_output == NULL) return fail(&report->failure, RUN_FAILED, "no memory for the output");
  if (bytes > 0) memcpy(run->first_output, output.values, bytes);
  return true;
}

static bool repeats_first(const Run* run, const Report* report) {
  const Output output = model_output(&run->model);
  const size_t bytes = output_bytes(output);
  return output.frames == report->check.frames && output.columns == report->check.columns &&
         (bytes == 0 || memcmp(run->first_output, output.values, bytes) == 0);
}

/* Adds the times of the last utterance to those of the timed runs. */
static bool note_times(Run* run, Failure* failure) {
  const Components components = model_components(&run->model);
  for (int i = 0; i < components.count; ++i) {
    const Times* steps = components.times[i];
    if (!times_add(&run->component_times[i], steps->total, failure)) return false;
    for (int j = 0; j < steps->count; ++j) {
      if (!times_add(&run->step_times[i], steps->us[j], failure)) return false;
    }
  }
  return times_add(&run->utterance_times, model_compute_us(&run->model), failure) &&
         (!run->model.converts || times_add(&run->first_sound_times, run->model.converter.first_sound_us, failure));
}

static Summary summary_of(Times* times) { return summarize(times->us, times->count); }

static void summarize_times(Run* run, Report* report) {
  const Components components = model_components(&run->model);
  report->components = components.count;
  for (int i = 0; i < components.count; ++i) {
    report->component[i] =
        (Component){components.name[i], summary_of(&run->component_times[i]), summary_of(&run->step_times[i])};
  }
  report->utterance = summary_of(&run->utterance_times);
  report->first_sound = summary_of(&run->first_sound_times);
}

static bool timed_runs(Run* run, Report* report) {
  const int warmup = run->arguments->warmup, runs = run->arguments->runs;
  if (!first_run(run, report)) return false;
  for (int i = 0; i < warmup; ++i) {
    if (!report_progress(run, report, i, warmup, "warm-up") || !run_once(run, report)) return false;
  }
  for (int i = 0; i < runs; ++i) {
    if (!report_progress(run, report, i, runs, "timed runs") || !run_once(run, report)) return false;
    if (!note_times(run, &report->failure)) return false;
  }
  summarize_times(run, report);
  report->check.repeatable = repeats_first(run, report);
  return true;
}

static bool profiled_runs(Run* run, Report* report) {
  report->profiled_runs = PROFILED_RUNS;
  report->profile.enabled = true;
  for (int i = 0; i < PROFILED_RUNS; ++i) {
    if (!report_progress(run, report, i, PROFILED_RUNS, "profiled runs") || !run_once(run, report)) return false;
  }
  report->profile.enabled = false;
  profile_sort(&report->profile);
  return true;
}

/* ---- Output ---- */

static void check_output(const Run* run, OutputCheck* check) {
  /* Speech of a reference was made after the end of the utterance. */
  if (!run->has_reference || run->arguments->lag_ms > 0) return;
  const Reference* reference = &run->reference;
  check->tolerance = reference->tolerance;
  check->shape_differs = check->frames != reference->frames || check->columns != reference->columns;
  check->status = CHECK_MISMATCH;
  if (check->shape_differs) return;
  check->comparison = compare_output(reference, run->first_output);
  if (check->comparison.bit_exact) {
    check->status = CHECK_EQUAL;
  } else if (check->comparison.relative_rms <= check->tolerance) {
    check->status = CHECK_WITHIN_TOLERANCE;
  }
}

/* Adds an empty utterance; NULL without memory. */
static Utterance* add_utterance(Recognition* recognition) {
  Utterance* grown = realloc(recognition->utterance, ((size_t)recognition->utterances + 1) * sizeof *grown);
  if (grown == NULL) return NULL;
  recognition->utterance = grown;
  grown[recognition->utterances] = (Utterance){0};
  return &grown[recognition->utterances++];
}

/* Adds the words that the model has recognized; `reference` may be NULL. */
static Utterance* note_words(const Run* run, const Tokenizer* tokenizer, const char* name, const char* reference,
                             Report* report) {
  const LabelTimes times = label_times(&run->metadata, model_graph(&run->model));
  Recognition* recognition = &report->recognition;
  Utterance* utterance = add_utterance(recognition);
  if (utterance != NULL) {
    if (!read_words(tokenizer, model_search(&run->model), times, &utterance->words, &report->failure)) return NULL;
    utterance->has_times = times.frame > 0;
    utterance->name = strdup(name);
    utterance->reference = reference == NULL ? NULL : strdup(reference);
    utterance->hypothesis = join_words(&utterance->words);
    const bool complete =
        utterance->name != NULL && utterance->hypothesis != NULL && (reference == NULL || utterance->reference != NULL);
    if (complete && (reference == NULL || add_word_errors(reference, utterance->hypothesis, &recognition->errors))) {
      return utterance;
    }
  }
  fail(&report->failure, RUN_FAILED, "no memory for transcripts");
  return NULL;
}

/* ---- Converted speech ---- */

static bool add_conversion(Report* report, const char* name, const char* file, Conversion conversion) {
  Conversion* grown = realloc(report->conversion, ((size_t)report->conversions + 1) * sizeof *grown);
  if (grown == NULL) return fail(&report->failure, RUN_FAILED, "no memory for conversions");
  report->conversion = grown;
  conversion.name = strdup(name);
  conversion.file = file == NULL ? NULL : strdup(file);
  grown[report->conversions++] = conversion;
  if (conversion.name != NULL && (file == NULL || conversion.file != NULL)) return true;
  return fail(&report->failure, RUN_FAILED, "no memory for conversions");
}

/* Writes the speech of the last utterance into the folder of the command, and notes it in the report. */
static bool keep_speech(const Run* run, const char* name, double audio_seconds, Report* report) {
  char path[MAX_PATH];
  const Converter* converter = &run->model.converter;
  const Vocoder* vocoder = &converter->vocoder;
  const int rate = converter->sample_rate;
  const char* folder = run->arguments->speech;
  if (folder != NULL) {
    if (snprintf(path, sizeof path, "%s/%s.wav", folder, name) >= (int)sizeof path) {
      return fail(&report->failure, RUN_BAD_ARGUMENTS, "--speech=%.400s: the path is too long", folder);
    }
    if (!write_wav(path, vocoder->samples, vocoder->count, rate, &report->failure)) return false;
  }
  const Components components = model_components(&run->model);
  Conversion conversion = {
      .audio_seconds = audio_seconds,
      .speech_seconds = (double)vocoder->count / rate,
      .first_sound_seconds = converter->first_sound_us / 1e6,
      .stopped = converter->stopped,
  };
  for (int i = 0; i < components.count; ++i) conversion.component_seconds[i] = components.times[i]->total / 1e6;
  return add_conversion(report, name, folder == NULL ? NULL : path, conversion);
}

/* Keeps the speech of the timed utterance, unless it is a WAV file's, which is converted with the others. */
static bool keep_timed_speech(const Run* run, Report* report) {
  if (!run->model.converts || strcmp(report->input, "audio") == 0) return true;
  return keep_speech(run, report->input, report->audio_seconds, report);
}

/* ---- Speech of the command ---- */

static bool recognize_waveform(Run* run, const Tokenizer* tokenizer, const char* path, const Waveform* waveform,
                               MappedFile transcripts, Report* report) {
  char name[256];
  static char transcript[MAX_TRANSCRIPT];
  const bool has_transcripts = transcripts.bytes != NULL;
  utterance_name(path, name, sizeof name);
  if (!check_sample_rate(run, path, waveform, &report->failure)) return false;
  if (has_transcripts && !find_transcript(transcripts, name, transcript, sizeof transcript)) {
    return fail(&report->failure, RUN_BAD_ARGUMENTS, "%.300s has no line for %.200s", run->arguments->transcripts,
                name);
  }
  if (!model_run(&run->model, waveform->samples, waveform->count, &report->failure)) return false;
  Utterance* utterance = note_words(run, tokenizer, name, has_transcripts ? transcript : NULL, report);
  if (utterance == NULL) return false;
  utterance->audio_seconds = (double)waveform->count / waveform->sample_rate;
  utterance->compute_seconds = model_compute_us(&run->model) / 1e6;
  report->recognition.audio_seconds += utterance->audio_seconds;
  report->recognition.compute_seconds += utterance->compute_seconds;
  return !run->model.converts || keep_speech(run, name, utterance->audio_seconds, report);
}

static bool recognize_files(Run* run, const Tokenizer* tokenizer, MappedFile transcripts, Report* report) {
  for (int i = 0; i < run->wav_files.count; ++i) {
    Waveform waveform = {0};
    const bool done = report_progress(run, report, i, run->wav_files.count, "recognition") &&
                      read_wav(run->wav_files.paths[i], &waveform, &report->failure) &&
                      recognize_waveform(run, tokenizer, run->wav_files.paths[i], &waveform, transcripts, report);
    free_waveform(&waveform);
    if (!done) return false;
  }
  report->recognition.has_errors = transcripts.bytes != NULL && report->recognition.errors.words > 0;
  return true;
}

static bool recognize(Run* run, Report* report) {
  if (run->wav_files.count == 0) return true;
  Tokenizer tokenizer;
  MappedFile transcripts = {0};
  if (!tokenizer_open(run->metadata.json, &tokenizer)) {
    return fail(&report->failure, RUN_MODEL_REFUSED, "the model has no tokenizer, so its output cannot be read");
  }
  const char* path = run->arguments->transcripts;
  const bool done = (path == NULL || map_file(path, RUN_BAD_ARGUMENTS, &transcripts, &report->failure)) &&
                    recognize_files(run, &tokenizer, transcripts, report);
  unmap_file(&transcripts);
  tokenizer_close(&tokenizer);
  return done;
}

/* ---- The whole ---- */

static bool run_all(Run* run, Report* report) {
  if (!report_progress(run, report, 0, 1, "loading")) return false;
  if (!open_model(run, report) || !choose_input(run, report) || !start_engine(run, report)) return false;
  if (!timed_runs(run, report) || !profiled_runs(run, report)) return false;
  check_output(run, &report->check);
  if (!keep_timed_speech(run, report) || !recognize(run, report)) return false;
  read_memory(&report->memory_end);
  read_thermal(&report->thermal_after);
  report->finished = true;
  if (report->check.status != CHECK_MISMATCH) return true;
  if (report->check.shape_differs) {
    return fail(&report->failure, RUN_FAILED, "the output has the shape [%d, %d], the reference [%d, %d]",
                report->check.frames, report->check.columns, run->reference.frames, run->reference.columns);
  }
  return fail(&report->failure, RUN_FAILED,
              "the output is %.3g away from the reference (relative RMS), accepted are %.3g",
              report->check.comparison.relative_rms, (double)report->check.tolerance);
}

static void end_run(Run* run) {
  model_close(&run->model);
  session_close(run->session);
  times_free(&run->utterance_times);
  times_free(&run->first_sound_times);
  for (int i = 0; i < MAX_COMPONENTS; ++i) {
    times_free(&run->component_times[i]);
    times_free(&run->step_times[i]);
  }
  free(run->first_output);
  free_waveform(&run->audio);
  free_path_list(&run->wav_files);
  if (run->has_reference) reference_close(&run->reference);
  unmap_file(&run->file);
}

static void finish(const Report* report, Outcome* outcome) {
  JsonWriter whole = {0}, summary = {0};
  write_report(&whole, report);
  write_summary(&summary, report);
  *outcome = (Outcome){.code = report->failure.code, .report = whole.text, .summary = summary.text};
  snprintf(outcome->message, sizeof outcome->message, "%s", report->failure.message);
}

static void save(Report* report, Outcome* outcome) {
  const char* path = report->arguments->report;
  if (path == NULL || outcome->report.failed) return;
  Failure failure = {0};
  outcome->report_is_written = write_file(path, outcome->report.bytes, outcome->report.length, &failure);
  if (outcome->report_is_written) return;
  text_free(&outcome->report);
  text_free(&outcome->summary);
  report->failure = failure;
  finish(report, outcome);
}

void run_benchmark(const Arguments* arguments, const Host* host, Outcome* outcome) {
  static Report report; /* too large for the stack of an app's thread */
  static Run run;
  memset(&report, 0, sizeof report);
  memset(&run, 0, sizeof run);
  report.entry_point = host->entry_point;
  report.arguments = arguments;
  run.arguments = arguments;
  run.host = host;
  profile_start(&report.profile);
  read_device(&report.device);
  report.affinity_count = read_affinity(report.affinity);
  read_thermal(&report.thermal_before);
  run_all(&run, &report);
  end_run(&run);
  finish(&report, outcome);
  save(&report, outcome);
  report_free(&report);
}

void refuse_command(const Failure* failure, const Host* host, Outcome* outcome) {
  static Report report;
  const Arguments nothing = {0};
  memset(&report, 0, sizeof report);
  report.entry_point = host->entry_point;
  report.arguments = &nothing;
  report.failure = *failure;
  read_device(&report.device);
  report.affinity_count = read_affinity(report.affinity);
  finish(&report, outcome);
}
