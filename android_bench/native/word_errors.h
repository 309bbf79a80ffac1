/* Word errors of a recognition. */
#ifndef TFCONFORMER_BENCH_WORD_ERRORS_H_
#define TFCONFORMER_BENCH_WORD_ERRORS_H_

#include <stdbool.h>

typedef struct {
  int words; /* of the reference */
  int substitutions;
  int deletions;
  int insertions;
} WordErrors;

/* Adds the errors of one utterance, aligned with the fewest edits; white space separates words. False without
 * memory. */
bool add_word_errors(const char* reference, const char* hypothesis, WordErrors* errors);

#endif
