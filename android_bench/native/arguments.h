/* The command: the same words for the program, the app and `am start --es args`. */
#ifndef TFCONFORMER_BENCH_ARGUMENTS_H_
#define TFCONFORMER_BENCH_ARGUMENTS_H_

#include <stddef.h>

#include "model_metadata.h"

extern const char USAGE[];

enum { MAX_ARGUMENTS = 64 };

/* Paths point into the words that were parsed; NULL is "not given". */
typedef struct {
  const char* model;
  Mode mode;
  int threads;
  int warmup;
  int runs;
  int lag_ms;              /* by which a model that converts begins behind the speaker; 0: after the end */
  const char* kernel;      /* of the custom operation; NULL: the fastest */
  const char* reference;   /* expected output; NULL: MODEL.reference, if it is there */
  const char* audio;       /* a WAV file or a folder of them */
  const char* transcripts; /* lines of "NAME words" */
  const char* engine;      /* library with the TFLite C API; NULL: the one installed with the program */
  const char* speech;      /* folder for the speech that a model generates; NULL: not written */
  const char* report;      /* where the report goes; NULL: to the caller */
  bool help;
} Arguments;

/* Cuts `text` in place into words at white space; double quotes keep spaces together. Returns false if there are more
 * than MAX_ARGUMENTS or a quote is not closed. */
bool split_words(char* text, const char* words[MAX_ARGUMENTS], int* count, Failure* failure);

/* Parses the words; `processors` is the largest number of threads. */
bool parse_arguments(int count, const char* const* words, int processors, Arguments* arguments, Failure* failure);

#endif
