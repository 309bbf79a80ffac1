#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { SCHEMA = 1 };

#if defined(__aarch64__)
static const char ABI[] = "arm64-v8a";
#elif defined(__x86_64__)
static const char ABI[] = "x86_64";
#else
static const char ABI[] = "other";
#endif

static const char* status_name(const Report* report) {
  switch (report->failure.code) {
    case RUN_BAD_ARGUMENTS:
      return "bad_arguments";
    case RUN_MODEL_REFUSED:
      return "model_refused";
    case RUN_FAILED:
      return report->check.status == CHECK_MISMATCH ? "output_mismatch" : "failed";
    case RUN_OK:
      break;
  }
  return "ok";
}

static const char* check_name(CheckStatus status) {
  static const char* const names[] = {"not_checked", "equal", "within_tolerance", "mismatch"};
  return names[status];
}

/* Leaves out unknown values. */
static void known_string(JsonWriter* json, const char* key, const char* value) {
  if (value != NULL && value[0] != '\0') json_string(json, key, value);
}

static void known_integer(JsonWriter* json, const char* key, int64_t value) {
  if (value > 0) json_integer(json, key, value);
}

static const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

static void write_outcome(JsonWriter* json, const Report* report) {
  json_string(json, "status", status_name(report));
  json_integer(json, "exit_code", report->failure.code);
  if (report->failure.code != RUN_OK) json_string(json, "error", report->failure.message);
}

static void write_program(JsonWriter* json, const Report* report) {
  json_begin_object(json, "program");
  json_string(json, "version", BENCH_VERSION);
  json_string(json, "abi", ABI);
  json_string(json, "entry_point", report->entry_point);
  json_end_object(json);
}

static void write_settings(JsonWriter* json, const Arguments* arguments) {
  json_begin_object(json, "settings");
  json_string(json, "mode", mode_name(arguments->mode));
  json_integer(json, "threads", arguments->threads);
  json_integer(json, "warmup", arguments->warmup);
  json_integer(json, "runs", arguments->runs);
  known_integer(json, "lag_ms", arguments->lag_ms);
  json_end_object(json);
}

static void write_model(JsonWriter* json, const Report* report) {
  if (report->arguments->model == NULL) return;
  json_begin_object(json, "model");
  json_string(json, "name", base_name(report->arguments->model));
  known_string(json, "sha256", report->model_sha256);
  known_integer(json, "file_bytes", report->file_bytes);
  known_integer(json, "weight_bytes", report->weight_bytes);
  json_end_object(json);
}

static void write_engine(JsonWriter* json, const Report* report) {
  if (report->engine_version == NULL) return;
  json_begin_object(json, "engine");
  json_string(json, "name", "TFLite");
  json_string(json, "version", report->engine_version);
  json_string(json, "library", report->engine_library);
  json_string(json, "kernel", report->kernel);
  if (report->finished) json_boolean(json, "xnnpack", report->xnnpack);
  json_end_object(json);
}

static void write_device(JsonWriter* json, const Report* report) {
  const Device* device = &report->device;
  json_begin_object(json, "device");
  known_string(json, "model", device->model);
  known_string(json, "system", device->system);
  known_string(json, "chip", device->chip);
  known_string(json, "features", device->features);
  json_begin_array(json, "cores");
  for (int i = 0; i < device->cores; ++i) {
    json_begin_object(json, NULL);
    json_integer(json, "index", i);
    known_string(json, "part", device->core[i].part);
    known_string(json, "governor", device->core[i].governor);
    known_integer(json, "max_khz", device->core[i].max_khz);
    json_end_object(json);
  }
  json_end_array(json);
  json_begin_array(json, "affinity");
  for (int i = 0; i < report->affinity_count; ++i) json_integer(json, NULL, report->affinity[i]);
  json_end_array(json);
  json_end_object(json);
}

static void write_thermal_state(JsonWriter* json, const char* key, const Thermal* thermal) {
  json_begin_object(json, key);
  if (thermal->status >= 0) json_integer(json, "status", thermal->status);
  json_begin_array(json, "zones");
  for (int i = 0; i < thermal->zones; ++i) {
    json_begin_object(json, NULL);
    json_string(json, "name", thermal->zone[i].name);
    json_number(json, "celsius", thermal->zone[i].celsius);
    json_end_object(json);
  }
  json_end_array(json);
  json_end_object(json);
}

static void write_thermal(JsonWriter* json, const Report* report) {
  json_begin_object(json, "thermal");
  write_thermal_state(json, "before", &report->thermal_before);
  write_thermal_state(json, "after", &report->thermal_after);
  json_end_object(json);
}

static void write_memory(JsonWriter* json, const Report* report) {
  json_begin_object(json, "memory");
  known_integer(json, "before_kb", report->memory_before.resident_kb);
  known_integer(json, "init_kb", report->memory_init.resident_kb);
  known_integer(json, "peak_kb", report->memory_end.peak_kb);
  json_end_object(json);
}

static void write_times(JsonWriter* json, const char* key, const Summary* summary) {
  json_begin_object(json, key);
  json_integer(json, "count", summary->count);
  json_number(json, "min_us", summary->min);
  json_number(json, "mean_us", summary->mean);
  json_number(json, "p50_us", summary->p50);
  json_number(json, "p90_us", summary->p90);
  json_number(json, "p99_us", summary->p99);
  json_number(json, "max_us", summary->max);
  json_end_object(json);
}

static void write_rtf(JsonWriter* json, const Summary* utterance, double audio_seconds) {
  json_number(json, "rtf_p50", utterance->p50 / 1e6 / audio_seconds);
  json_number(json, "rtf_p90", utterance->p90 / 1e6 / audio_seconds);
}

static void write_components(JsonWriter* json, const Report* report) {
  if (report->first_sound.count > 0) write_times(json, "first_sound", &report->first_sound);
  json_begin_array(json, "components");
  for (int i = 0; i < report->components; ++i) {
    const Component* component = &report->component[i];
    json_begin_object(json, NULL);
    json_string(json, "name", component->name);
    write_times(json, "utterance", &component->utterance);
    write_times(json, "step", &component->step);
    if (report->audio_seconds > 0) write_rtf(json, &component->utterance, report->audio_seconds);
    json_end_object(json);
  }
  json_end_array(json);
}

static void write_timing(JsonWriter* json, const Report* report) {
  json_begin_object(json, "timing");
  json_string(json, "input", report->input);
  json_number(json, "init_us", report->init_us);
  json_number(json, "first_us", report->first_us);
  write_times(json, "utterance", &report->utterance);
  if (report->components > 1) {
    write_components(json, report);
  } else if (report->arguments->mode == MODE_STREAMING) {
    write_times(json, "step", &report->component[0].step);
  }
  if (report->audio_seconds > 0) {
    json_number(json, "audio_seconds", report->audio_seconds);
    write_rtf(json, &report->utterance, report->audio_seconds);
  }
  json_end_object(json);
}

static void write_profile(JsonWriter* json, const Report* report) {
  double total = 0;
  for (int i = 0; i < report->profile.kinds; ++i) total += report->profile.kind[i].us;
  json_begin_object(json, "profile");
  json_integer(json, "runs", report->profiled_runs);
  json_number(json, "run_us", total / report->profiled_runs);
  json_begin_array(json, "operations");
  for (int i = 0; i < report->profile.kinds; ++i) {
    const OperationKind* kind = &report->profile.kind[i];
    json_begin_object(json, NULL);
    json_string(json, "kind", kind->name);
    json_integer(json, "nodes", kind->count / report->profiled_runs);
    json_number(json, "run_us", kind->us / report->profiled_runs);
    json_number(json, "share", total > 0 ? kind->us / total : 0);
    json_end_object(json);
  }
  json_end_array(json);
  json_end_object(json);
}

static void write_check(JsonWriter* json, const Report* report) {
  const OutputCheck* check = &report->check;
  json_begin_object(json, "output_check");
  json_string(json, "status", check_name(check->status));
  json_boolean(json, "repeatable", check->repeatable);
  json_integer(json, "frames", check->frames);
  json_integer(json, "columns", check->columns);
  if (check->status != CHECK_NOT_DONE) {
    json_boolean(json, "shape_differs", check->shape_differs);
    json_number(json, "tolerance_relative_rms", check->tolerance);
  }
  if (check->status != CHECK_NOT_DONE && !check->shape_differs) {
    json_boolean(json, "bit_exact", check->comparison.bit_exact);
    json_number(json, "relative_rms", check->comparison.relative_rms);
    json_number(json, "max_abs_difference", check->comparison.max_abs_difference);
    if (report->components == 1) json_integer(json, "different_frames", check->comparison.different_frames);
  }
  json_end_object(json);
}

static void write_recognition(JsonWriter* json, const Recognition* recognition) {
  if (recognition->utterances == 0) return;
  json_begin_object(json, "recognition");
  json_integer(json, "utterances", recognition->utterances);
  json_number(json, "audio_seconds", recognition->audio_seconds);
  json_number(json, "rtf", recognition->compute_seconds / recognition->audio_seconds);
  if (recognition->has_errors) {
    const WordErrors* errors = &recognition->errors;
    json_integer(json, "words", errors->words);
    json_integer(json, "substitutions", errors->substitutions);
    json_integer(json, "deletions", errors->deletions);
    json_integer(json, "insertions", errors->insertions);
    json_number(json, "wer", (double)(errors->substitutions + errors->deletions + errors->insertions) / errors->words);
  }
  json_begin_array(json, "transcripts");
  for (int i = 0; i < recognition->utterances; ++i) {
    const Utterance* utterance = &recognition->utterance[i];
    json_begin_object(json, NULL);
    json_string(json, "name", utterance->name);
    if (utterance->reference != NULL) json_string(json, "reference", utterance->reference);
    json_string(json, "hypothesis", utterance->hypothesis);
    if (utterance->has_times) write_words(json, "words", &utterance->words);
    json_number(json, "audio_seconds", utterance->audio_seconds);
    json_number(json, "compute_seconds", utterance->compute_seconds);
    json_end_object(json);
  }
  json_end_array(json);
  json_end_object(json);
}

static void write_conversion(JsonWriter* json, const Report* report) {
  static const char* const components[MAX_COMPONENTS] = {"encoder_seconds", "decoder_seconds", "vocoder_seconds"};
  if (report->conversions == 0) return;
  json_begin_array(json, "conversion");
  for (int i = 0; i < report->conversions; ++i) {
    const Conversion* one = &report->conversion[i];
    json_begin_object(json, NULL);
    json_string(json, "name", one->name);
    known_string(json, "file", one->file);
    json_number(json, "audio_seconds", one->audio_seconds);
    json_number(json, "speech_seconds", one->speech_seconds);
    for (int j = 0; j < MAX_COMPONENTS; ++j) json_number(json, components[j], one->component_seconds[j]);
    json_number(json, "first_sound_seconds", one->first_sound_seconds);
    json_boolean(json, "stopped", one->stopped);
    json_end_object(json);
  }
  json_end_array(json);
}

void write_report(JsonWriter* json, const Report* report) {
  json_begin_object(json, NULL);
  json_integer(json, "schema", SCHEMA);
  write_outcome(json, report);
  write_program(json, report);
  write_settings(json, report->arguments);
  write_model(json, report);
  write_engine(json, report);
  write_device(json, report);
  if (report->finished) {
    write_thermal(json, report);
    write_memory(json, report);
    write_timing(json, report);
    write_profile(json, report);
    write_check(json, report);
    write_recognition(json, &report->recognition);
    write_conversion(json, report);
  }
  json_end_object(json);
}

void write_summary(JsonWriter* json, const Report* report) {
  json_begin_object(json, NULL);
  write_outcome(json, report);
  if (report->arguments->model != NULL) json_string(json, "model", base_name(report->arguments->model));
  known_string(json, "sha256", report->model_sha256);
  if (report->finished) {
    json_string(json, "kernel", report->kernel);
    json_integer(json, "threads", report->arguments->threads);
    json_number(json, "init_us", report->init_us);
    json_number(json, "first_us", report->first_us);
    json_number(json, "p50_us", report->utterance.p50);
    json_number(json, "p90_us", report->utterance.p90);
    if (report->audio_seconds > 0) json_number(json, "rtf_p50", report->utterance.p50 / 1e6 / report->audio_seconds);
    json_integer(json, "peak_kb", report->memory_end.peak_kb);
    json_string(json, "output_check", check_name(report->check.status));
  }
  if (report->arguments->report != NULL) json_string(json, "report", report->arguments->report);
  json_end_object(json);
}

void report_free(Report* report) {
  for (int i = 0; i < report->recognition.utterances; ++i) {
    free(report->recognition.utterance[i].name);
    free(report->recognition.utterance[i].reference);
    free(report->recognition.utterance[i].hypothesis);
    words_free(&report->recognition.utterance[i].words);
  }
  free(report->recognition.utterance);
  for (int i = 0; i < report->conversions; ++i) {
    free(report->conversion[i].name);
    free(report->conversion[i].file);
  }
  free(report->conversion);
}
