/* The command-line program, for `adb shell` and for emulators. */
#include <stdio.h>

#include "benchmark.h"

int main(int count, char** words) {
  const Host host = {.entry_point = "cli"};
  Arguments arguments;
  Failure failure = {0};
  Outcome outcome;
  if (!parse_arguments(count - 1, (const char* const*)words + 1, count_processors(), &arguments, &failure)) {
    refuse_command(&failure, &host, &outcome);
  } else if (arguments.help) {
    fputs(USAGE, stdout);
    return RUN_OK;
  } else {
    run_benchmark(&arguments, &host, &outcome);
  }
  if (outcome.code != RUN_OK) fprintf(stderr, "tfconformer_bench: %s\n", outcome.message);
  const Text* line = outcome.report_is_written ? &outcome.summary : &outcome.report;
  const bool printed = !line->failed && puts(line->bytes) >= 0 && fflush(stdout) == 0;
  text_free(&outcome.report);
  text_free(&outcome.summary);
  if (!printed) fputs("tfconformer_bench: cannot print the report\n", stderr);
  return printed ? (int)outcome.code : RUN_FAILED;
}
