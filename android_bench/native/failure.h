/* A failure of a part of the program: an exit code and one sentence for a person. */
#ifndef TFCONFORMER_BENCH_FAILURE_H_
#define TFCONFORMER_BENCH_FAILURE_H_

#include <stdbool.h>

typedef enum {
  RUN_OK = 0,
  RUN_FAILED = 1,        /* the run broke off, or the output is not the reference's */
  RUN_BAD_ARGUMENTS = 2, /* the command cannot be understood or carried out as it stands */
  RUN_MODEL_REFUSED = 3, /* the file is no model, or not one that this engine and program can run */
} RunCode;

enum { FAILURE_MESSAGE_SIZE = 1024 };

typedef struct {
  RunCode code;
  char message[FAILURE_MESSAGE_SIZE];
} Failure;

/* Sets the failure and returns false, so that callers can `return fail(...)`. */
__attribute__((format(printf, 3, 4))) bool fail(Failure* failure, RunCode code, const char* format, ...);

#endif
