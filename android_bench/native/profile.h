/* Where the time goes: the runtime reports the beginning and the end of every operation, which are summed by kind. */
#ifndef TFCONFORMER_BENCH_PROFILE_H_
#define TFCONFORMER_BENCH_PROFILE_H_

#include <stdbool.h>
#include <stdint.h>

enum { MAX_OPERATION_KINDS = 128, KIND_NAME_SIZE = 64 };

typedef struct {
  char name[KIND_NAME_SIZE]; /* as the runtime names it: CONV_2D, TfconformerDelegate, ... */
  int64_t count;
  double us;
} OperationKind;

typedef struct TelemetryProfiler TelemetryProfiler;

/* The argument of TfLiteInterpreterOptionsSetTelemetryProfiler. */
struct TelemetryProfiler {
  void* data;
  void (*report_event)(TelemetryProfiler* profiler, const char* event, uint64_t status);
  void (*report_op_event)(TelemetryProfiler* profiler, const char* event, int64_t op, int64_t subgraph,
                          uint64_t status);
  void (*report_settings)(TelemetryProfiler* profiler, const char* setting, const void* settings);
  uint32_t (*begin_op)(TelemetryProfiler* profiler, const char* op_name, int64_t op, int64_t subgraph);
  void (*end_op)(TelemetryProfiler* profiler, uint32_t handle);
  void (*report_op)(TelemetryProfiler* profiler, const char* op_name, uint64_t elapsed_us, int64_t op,
                    int64_t subgraph);
};

/* An operation that runs others, such as a loop or a delegate, counts with all that they take; they do not count by
 * themselves. XNNPACK's count by its own names, in whole microseconds. */
typedef struct {
  TelemetryProfiler profiler;
  bool enabled; /* false: the callbacks return at once, so that timed runs are not slowed down */
  int depth;
  int current; /* index of the kind that runs at depth 0 */
  double began;
  int kinds;
  OperationKind kind[MAX_OPERATION_KINDS]; /* the last one sums up those that do not fit */
} Profile;

/* Prepares a profile that is not enabled; it must not move afterwards. */
void profile_start(Profile* profile);

/* The kinds with the most time first. */
void profile_sort(Profile* profile);

#endif
