/* Self-attention with relative positions, what a file says about it.
 *
 * A head with the vectors u and v of its content and position bias looks from frame i, whose query is q_i, at keys k_j:
 *
 *   score[i, j] = (q_i + u) / sqrt(width) . k_j + (q_i + v) / sqrt(width) . p_{i - j} + mask[i, j]
 *   y_i = sum over j of exp(score[i, j]) / (sum over j of exp(score[i, j])) * value_j
 *
 * p are projected positions, one for every distance from query to key. */
#ifndef TFCONFORMER_FORMAT_ATTENTION_H_
#define TFCONFORMER_FORMAT_ATTENTION_H_

#include <stdbool.h>
#include <stdint.h>

#include "message.h"

enum {
  ATTENTION_PARAMS = 4,         /* length of the params array of a file */
  ATTENTION_FORMAT_VERSION = 1, /* its first element */
  COLUMNS = 16,                 /* a matrix that lies in columns has a multiple of so many */
};

typedef struct {
  int32_t heads, width; /* `dim` is their product */
  int32_t distances;    /* rows of p that a file holds; 0 if they are computed for every utterance */
} AttentionAttributes;

/* Reads and checks the params array of a file: {version, heads, width, distances}. On failure writes one sentence. */
bool attention_parse(const int32_t params[ATTENTION_PARAMS], AttentionAttributes* attributes,
                     char message[MESSAGE_SIZE]);

/* The next multiple of COLUMNS. */
int64_t attention_columns(int64_t count);

#endif
