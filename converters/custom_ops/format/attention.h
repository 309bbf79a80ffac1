/* Self-attention with relative positions (arXiv 1901.02860, section 3.3), as a file describes it.
 *
 * In a head with the content bias u and the position bias v, query q_i attends to the keys k_j:
 *
 *   score[i, j] = (q_i + u) / sqrt(width) . k_j + (q_i + v) / sqrt(width) . p_{i - j} + mask[i, j]
 *   y_i = sum over j of exp(score[i, j]) / (sum over j of exp(score[i, j])) * value_j
 *
 * p are the projected positions, one for every distance from query to key. */
#ifndef TFC_FORMAT_ATTENTION_H_
#define TFC_FORMAT_ATTENTION_H_

#include "message.h"

enum { TFC_ATTENTION_VERSION = 1 }; /* the first op attribute */

typedef struct {
  int32_t heads;
  int32_t width;     /* channels of a head; dim = heads * width */
  int32_t distances; /* rows of p that the file holds (a step); 0 if p is an input (whole utterances) */
} tfc_attention_attributes;

/* Reads and checks the op attributes of a file, {version, heads, width, distances}. On failure writes one sentence to
 * `message` and returns false. */
bool tfc_attention_parse(const int32_t params[TFC_ATTENTION_ATTRIBUTES], tfc_attention_attributes* attributes,
                         char message[TFC_MESSAGE_SIZE]);

/* Floats in a row of a transposed matrix with `count` columns: the next multiple of TFC_COLUMN_MULTIPLE. */
int64_t tfc_padded_columns(int64_t count);

#endif
