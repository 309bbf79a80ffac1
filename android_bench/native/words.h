/* Words of labels, with their places in time and their confidence, as of converters/runtime/words.py. */
#ifndef TFCONFORMER_BENCH_WORDS_H_
#define TFCONFORMER_BENCH_WORDS_H_

#include "json_writer.h"
#include "search.h"
#include "tokenizer.h"

typedef struct {
  size_t text;       /* place in `texts` */
  int first, last;   /* labels of the word */
  double start, end; /* seconds since the beginning of the utterance */
  double confidence; /* of the least likely label, in [0, 1] */
} Word;

typedef struct {
  Text texts; /* one after the other, a zero byte between them */
  Word* word;
  int count;
  int capacity;
} Words;

/* The places of frames and labels in time, in seconds. */
typedef struct {
  double frame; /* length; 0: unknown */
  double delay; /* by which labels are later than the speech that they stand for */
} LabelTimes;

/* Those of a search in the frames of a graph. */
LabelTimes label_times(const ModelMetadata* metadata, const Graph* graph);

/* Splits the labels of a search at white space, which belongs to no word. A word begins a frame before its first label.
 * `words` is zero, and is freed with `words_free` in any case. Fails if the labels are not those of the tokenizer. */
bool read_words(const Tokenizer* tokenizer, const Search* search, LabelTimes times, Words* words, Failure* failure);
void words_free(Words* words);

/* The words with spaces between them, freed by the caller; NULL without memory. */
char* join_words(const Words* words);

/* Writes them as an array of objects. */
void write_words(JsonWriter* json, const char* key, const Words* words);

#endif
