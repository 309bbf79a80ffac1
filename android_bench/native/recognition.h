/* From logits to words to word errors. */
#ifndef TFCONFORMER_BENCH_RECOGNITION_H_
#define TFCONFORMER_BENCH_RECOGNITION_H_

#include <stdbool.h>

/* Best-path CTC decoding (Graves et al. 2006, section 3.2): the largest column of every frame, the lowest of equal
 * ones; repeats merged, blanks (column 0) dropped. `labels` has room for one label a frame. Returns their number. */
int ctc_greedy_decode(const float* logits, int frames, int columns, int* labels);

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
