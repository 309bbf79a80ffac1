/* The text of labels, with the pieces of the SentencePiece model that is in the .tflite. Label 0 is the blank,
 * piece i has the label i + 1. */
#ifndef TFCONFORMER_BENCH_TOKENIZER_H_
#define TFCONFORMER_BENCH_TOKENIZER_H_

#include "json_reader.h"
#include "text.h"

typedef struct {
  uint8_t* model;         /* the serialized SentencePiece model; the pieces point into it */
  const uint8_t** pieces; /* UTF-8, not terminated */
  int* lengths;           /* bytes of each */
  int count;
} Tokenizer;

/* Reads "tokenizer" of the metadata, base64 of a SentencePiece model. False if it is not there, damaged, or there is
 * no memory. */
bool tokenizer_open(JsonValue metadata, Tokenizer* tokenizer);
void tokenizer_close(Tokenizer* tokenizer);

/* Appends the text of a label in 1..count: its piece, with word marks turned into spaces. */
void tokenizer_decode(const Tokenizer* tokenizer, int label, Text* text);

#endif
