/* One run from the command to the report, for every entry point. */
#ifndef TFCONFORMER_BENCH_BENCHMARK_H_
#define TFCONFORMER_BENCH_BENCHMARK_H_

#include "report.h"

/* Called when `done` of `total` parts of a stage are over; ends the run by returning false. */
typedef bool (*ProgressListener)(void* user, int done, int total, const char* stage);

typedef struct {
  const char* entry_point;   /* "cli" or "jni" */
  ProgressListener progress; /* NULL: not called */
  void* user;
} Host;

typedef struct {
  RunCode code;
  char message[FAILURE_MESSAGE_SIZE]; /* why the code is not RUN_OK */
  bool report_is_written;             /* to the file that the command names */
  Text report;                        /* JSON */
  Text summary;                       /* JSON on one short line */
} Outcome;

/* Carries out a command; the outcome's texts are freed with `text_free`. The report contains every failure. */
void run_benchmark(const Arguments* arguments, const Host* host, Outcome* outcome);

/* The outcome of a command that could not be understood. */
void refuse_command(const Failure* failure, const Host* host, Outcome* outcome);

#endif
