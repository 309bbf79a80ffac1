#include "words.h"

#include <stdlib.h>

/* Begins a word with a label. */
static bool add_word(Words* words, int label, Failure* failure) {
  if (words->count == words->capacity) {
    const int capacity = 2 * words->capacity + 16;
    Word* grown = realloc(words->word, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return fail(failure, RUN_FAILED, "no memory for words");
    words->word = grown;
    words->capacity = capacity;
  }
  if (words->count > 0) text_append(&words->texts, "", 1);
  words->word[words->count++] = (Word){.text = words->texts.length, .first = label, .last = label};
  return true;
}

/* Splits the text of the labels. */
static bool split(const Tokenizer* tokenizer, const Search* search, Words* words, Failure* failure) {
  Text text = {0};
  bool within = false, done = true;
  for (int i = 0; done && i < search->count; ++i) {
    text.length = 0;
    tokenizer_decode(tokenizer, search->labels[i].id, &text);
    for (size_t at = 0; done && at < text.length; ++at) {
      const bool space = is_space(text.bytes[at]);
      if (!space && !within) done = add_word(words, i, failure);
      if (!space && done) {
        text_append(&words->texts, text.bytes + at, 1);
        words->word[words->count - 1].last = i;
      }
      within = !space;
    }
  }
  if (done && (text.failed || words->texts.failed)) done = fail(failure, RUN_FAILED, "no memory for words");
  text_free(&text);
  return done;
}

static double later(double a, double b) { return a > b ? a : b; }

LabelTimes label_times(const ModelMetadata* metadata, const Graph* graph) {
  return (LabelTimes){frame_seconds(metadata, graph), (double)metadata->label_delay_ms / 1e3};
}

bool read_words(const Tokenizer* tokenizer, const Search* search, LabelTimes times, Words* words, Failure* failure) {
  if (search->count > 0 && search->symbols != tokenizer->count + 1) {
    return fail(failure, RUN_MODEL_REFUSED, "the logits have %d columns, its tokenizer %d pieces and a blank",
                search->symbols, tokenizer->count);
  }
  if (!split(tokenizer, search, words, failure)) return false;
  double end = 0;
  for (int i = 0; i < words->count; ++i) {
    Word* word = &words->word[i];
    word->start = later((search->labels[word->first].start - 1) * times.frame - times.delay, end);
    word->end = end = later(search->labels[word->last].end * times.frame - times.delay, word->start + times.frame);
    word->confidence = 1;
    for (int j = word->first; j <= word->last; ++j) {
      const double confidence = search->labels[j].confidence;
      if (confidence < word->confidence) word->confidence = confidence;
    }
  }
  return true;
}

void words_free(Words* words) {
  text_free(&words->texts);
  free(words->word);
  *words = (Words){0};
}

char* join_words(const Words* words) {
  char* text = malloc(words->texts.length + 1);
  if (text == NULL) return NULL;
  for (size_t i = 0; i < words->texts.length; ++i) {
    text[i] = words->texts.bytes[i] == '\0' ? ' ' : words->texts.bytes[i];
  }
  text[words->texts.length] = '\0';
  return text;
}

void write_words(JsonWriter* json, const char* key, const Words* words) {
  json_begin_array(json, key);
  for (int i = 0; i < words->count; ++i) {
    const Word* word = &words->word[i];
    json_begin_object(json, NULL);
    json_string(json, "text", words->texts.bytes + word->text);
    json_number(json, "start", word->start);
    json_number(json, "end", word->end);
    json_number(json, "confidence", word->confidence);
    json_end_object(json);
  }
  json_end_array(json);
}
