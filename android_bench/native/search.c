#include "search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLANK = 0 };

bool search_open(Search* search, Session* session, const ModelMetadata* metadata, Failure* failure) {
  search->is_transducer = strcmp(metadata->search, "transducer") == 0;
  if (search->is_transducer) {
    if (!transducer_open(&search->transducer, session, metadata, failure)) return false;
    search->symbols = search->transducer.symbols;
  } else if (strcmp(metadata->search, "ctc") != 0) {
    return fail(failure, RUN_MODEL_REFUSED, "its output is searched by '%s', this program has 'ctc' and 'transducer'",
                metadata->search);
  }
  return true;
}

void search_close(Search* search) {
  if (search->is_transducer) transducer_close(&search->transducer);
  free(search->labels);
}

void search_reset(Search* search) {
  search->frames = search->count = 0;
  search->last = BLANK;
  if (search->is_transducer) transducer_reset(&search->transducer);
}

int search_trailing_blanks(const Search* search) {
  return search->frames - (search->count == 0 ? 0 : search->labels[search->count - 1].end);
}

/* The largest logit, the first of equal ones. */
static bool find_most_likely(const float* logits, int count, int* symbol, Failure* failure) {
  *symbol = 0;
  for (int i = 0; i < count; ++i) {
    if (isnan(logits[i])) return fail(failure, RUN_FAILED, "the logits hold a NaN");
    if (logits[i] > logits[*symbol]) *symbol = i;
  }
  return true;
}

/* The probability of the most likely symbol. */
static double probability(const float* logits, int count, int most_likely) {
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += exp((double)logits[i] - (double)logits[most_likely]);
  return 1 / sum;
}

/* Adds a label in the current frame. */
static bool add_label(Search* search, int id, double confidence, Failure* failure) {
  if (search->count == search->capacity) {
    const int capacity = 2 * search->capacity + 64;
    Label* grown = realloc(search->labels, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return fail(failure, RUN_FAILED, "no memory for labels");
    search->labels = grown;
    search->capacity = capacity;
  }
  search->labels[search->count++] =
      (Label){.id = id, .start = search->frames, .end = search->frames + 1, .confidence = confidence};
  return true;
}

/* Best-path decoding (Graves et al. 2006, section 3.2): repeats are merged, blanks dropped. */
static bool read_logits(Search* search, const float* logits, Failure* failure) {
  int symbol;
  if (!find_most_likely(logits, search->symbols, &symbol, failure)) return false;
  if (symbol != BLANK) {
    const double confidence = probability(logits, search->symbols, symbol);
    if (symbol != search->last && !add_label(search, symbol, confidence, failure)) return false;
    Label* label = &search->labels[search->count - 1];
    label->end = search->frames + 1;
    if (confidence > label->confidence) label->confidence = confidence;
  }
  search->last = symbol;
  return true;
}

/* Emits labels until the blank is the most likely symbol, or a frame has as many as it may. */
static bool read_encoding(Search* search, const float* encoding, Failure* failure) {
  Transducer* transducer = &search->transducer;
  if (search->frames == 0 && !transducer_predict(transducer, BLANK, failure)) return false;
  for (int emitted = 0; emitted < transducer->max_symbols; ++emitted) {
    const float* logits;
    int symbol;
    if (!transducer_join(transducer, encoding, &logits, failure) ||
        !find_most_likely(logits, search->symbols, &symbol, failure)) {
      return false;
    }
    if (symbol == BLANK) return true;
    if (!add_label(search, symbol, probability(logits, search->symbols, symbol), failure) ||
        !transducer_predict(transducer, symbol, failure)) {
      return false;
    }
  }
  return true;
}

bool search_advance(Search* search, Frames frames, Failure* failure) {
  if (frames.count == search->frames) return true;
  if (!search->is_transducer) {
    search->symbols = frames.columns;
  } else if (frames.columns != search->transducer.encoding.columns) {
    return fail(failure, RUN_MODEL_REFUSED, "the encoder's frames have %d columns, 'join' takes %d", frames.columns,
                search->transducer.encoding.columns);
  }
  for (; search->frames < frames.count; ++search->frames) {
    const float* frame = frames.values + (size_t)search->frames * (size_t)frames.stride;
    if (!(search->is_transducer ? read_encoding : read_logits)(search, frame, failure)) return false;
  }
  return true;
}
