/* From logits to words to word errors. */
#ifndef TFCONFORMER_BENCH_RECOGNITION_H_
#define TFCONFORMER_BENCH_RECOGNITION_H_

#include <stdbool.h>

/* Outputs of a CTC head, of which column 0 is the blank. */
typedef struct {
  const float* values;
  int frames;
  int columns;
  int stride; /* numbers from one frame to the next */
} CtcLogits;

/* Best-path CTC decoding (Graves et al. 2006, section 3.2): the largest column of every frame, the lowest of equal
 * ones; repeats merged, blanks dropped. `labels` has room for one label a frame. Returns their number. */
int ctc_greedy_decode(CtcLogits logits, int* labels);

/* The first frame with a label, of those from `begin` on; -1 if there is none. */
int ctc_first_label(CtcLogits logits, int begin);

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
