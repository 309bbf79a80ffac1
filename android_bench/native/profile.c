#include "profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "statistics.h"

static void ignore_event(TelemetryProfiler* profiler, const char* event, uint64_t status) {
  (void)profiler, (void)event, (void)status;
}

static void ignore_op_event(TelemetryProfiler* profiler, const char* event, int64_t op, int64_t subgraph,
                            uint64_t status) {
  (void)profiler, (void)event, (void)op, (void)subgraph, (void)status;
}

static void ignore_settings(TelemetryProfiler* profiler, const char* setting, const void* settings) {
  (void)profiler, (void)setting, (void)settings;
}

static int find_kind(Profile* profile, const char* name) {
  for (int i = 0; i < profile->kinds; ++i) {
    if (strncmp(profile->kind[i].name, name, KIND_NAME_SIZE - 1) == 0) return i;
  }
  if (profile->kinds == MAX_OPERATION_KINDS) return MAX_OPERATION_KINDS - 1;
  OperationKind* kind = &profile->kind[profile->kinds];
  snprintf(kind->name, sizeof kind->name, "%s", profile->kinds == MAX_OPERATION_KINDS - 1 ? "others" : name);
  return profile->kinds++;
}

static uint32_t begin_op(TelemetryProfiler* profiler, const char* op_name, int64_t op, int64_t subgraph) {
  (void)op, (void)subgraph;
  Profile* profile = profiler->data;
  if (!profile->enabled) return 0;
  if (profile->depth++ == 0) {
    profile->current = find_kind(profile, op_name);
    profile->began = now_us();
  }
  return 0;
}

static void end_op(TelemetryProfiler* profiler, uint32_t handle) {
  (void)handle;
  Profile* profile = profiler->data;
  if (!profile->enabled || --profile->depth != 0) return;
  OperationKind* kind = &profile->kind[profile->current];
  kind->us += now_us() - profile->began;
  ++kind->count;
}

/* Called by XNNPACK for its own operations, after they are done. It is not begun and ended as other delegates are. */
static void report_op(TelemetryProfiler* profiler, const char* op_name, uint64_t elapsed_us, int64_t op,
                      int64_t subgraph) {
  (void)op, (void)subgraph;
  Profile* profile = profiler->data;
  if (!profile->enabled || profile->depth > 0) return;
  OperationKind* kind = &profile->kind[find_kind(profile, op_name)];
  kind->us += (double)elapsed_us;
  ++kind->count;
}

void profile_start(Profile* profile) {
  memset(profile, 0, sizeof *profile);
  profile->profiler = (TelemetryProfiler){
      .data = profile,
      .report_event = ignore_event,
      .report_op_event = ignore_op_event,
      .report_settings = ignore_settings,
      .begin_op = begin_op,
      .end_op = end_op,
      .report_op = report_op,
  };
}

static int compare(const void* a, const void* b) {
  const double x = ((const OperationKind*)a)->us, y = ((const OperationKind*)b)->us;
  return (x < y) - (x > y);
}

void profile_sort(Profile* profile) { qsort(profile->kind, (size_t)profile->kinds, sizeof profile->kind[0], compare); }
