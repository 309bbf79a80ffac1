#include "word_errors.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

typedef struct {
  const char* begin;
  int length;
} Word;

/* At most every second character begins a word. NULL without memory. */
static Word* split(const char* text, int* count) {
  Word* words = malloc((strlen(text) / 2 + 1) * sizeof *words);
  *count = 0;
  if (words == NULL) return NULL;
  while (*text != '\0') {
    if (is_space(*text)) {
      ++text;
      continue;
    }
    const char* begin = text;
    while (*text != '\0' && !is_space(*text)) ++text;
    words[(*count)++] = (Word){begin, (int)(text - begin)};
  }
  return words;
}

static bool equal(Word a, Word b) { return a.length == b.length && memcmp(a.begin, b.begin, (size_t)a.length) == 0; }

/* Edits of the best alignment of the words so far of the reference and the hypothesis. */
typedef struct {
  int cost, substitutions, deletions, insertions;
} Edits;

static Edits cheaper(Edits a, Edits b) { return b.cost < a.cost ? b : a; }

/* `row` has room for one entry more than the hypothesis has words. */
static Edits align(const Word* reference_words, int reference_count, const Word* hypothesis_words, int hypothesis_count,
                   Edits* row) {
  for (int j = 0; j <= hypothesis_count; ++j) row[j] = (Edits){.cost = j, .insertions = j};
  for (int i = 0; i < reference_count; ++i) {
    Edits diagonal = row[0];
    row[0] = (Edits){.cost = i + 1, .deletions = i + 1};
    for (int j = 0; j < hypothesis_count; ++j) {
      Edits substituted = diagonal, deleted = row[j + 1], inserted = row[j];
      const bool same = equal(reference_words[i], hypothesis_words[j]);
      substituted.cost += !same;
      substituted.substitutions += !same;
      ++deleted.cost, ++deleted.deletions;
      ++inserted.cost, ++inserted.insertions;
      diagonal = row[j + 1];
      row[j + 1] = cheaper(cheaper(substituted, deleted), inserted);
    }
  }
  return row[hypothesis_count];
}

bool add_word_errors(const char* reference, const char* hypothesis, WordErrors* errors) {
  int reference_count, hypothesis_count;
  Word* reference_words = split(reference, &reference_count);
  Word* hypothesis_words = split(hypothesis, &hypothesis_count);
  Edits* row = malloc(((size_t)hypothesis_count + 1) * sizeof *row);
  const bool ok = reference_words != NULL && hypothesis_words != NULL && row != NULL;
  if (ok) {
    const Edits edits = align(reference_words, reference_count, hypothesis_words, hypothesis_count, row);
    errors->words += reference_count;
    errors->substitutions += edits.substitutions;
    errors->deletions += edits.deletions;
    errors->insertions += edits.insertions;
  }
  free(row);
  free(hypothesis_words);
  free(reference_words);
  return ok;
}
