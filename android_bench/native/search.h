/* The search from the frames of an encoder to labels, of CTC or a transducer: the most likely symbol at every place, as
 * StreamingCTCDecoder and StreamingTransducerDecoder of tfconformer/decoding choose it. Symbol 0 is the blank. */
#ifndef TFCONFORMER_BENCH_SEARCH_H_
#define TFCONFORMER_BENCH_SEARCH_H_

#include "transducer.h"

/* Rows of numbers, one for each frame of an utterance. */
typedef struct {
  const float* values;
  int count;
  int columns;
  int stride; /* numbers from one frame to the next */
} Frames;

/* A label of CTC lasts as long as its run of frames, one of a transducer the frame in which it is emitted. */
typedef struct {
  int id;            /* in 1..vocabulary */
  int start, end;    /* its first frame, and the one after its last */
  double confidence; /* its probability, in [0, 1]: of CTC the highest in a frame of the run */
} Label;

typedef struct {
  bool is_transducer;
  Transducer transducer;
  int symbols; /* of the vocabulary and the blank; 0: unknown before the first frame */
  /* The utterance so far. */
  int frames;
  int last; /* symbol of CTC in the last frame */
  Label* labels;
  int count;
  int capacity;
} Search;

/* Opens the search that the metadata name; `search` is zero, which is one of CTC, and `metadata` must outlive it. */
bool search_open(Search* search, Session* session, const ModelMetadata* metadata, Failure* failure);
void search_close(Search* search);

/* Begins an utterance. */
void search_reset(Search* search);
/* Takes all frames of the utterance so far, and searches those that are new: logits, or encodings of a transducer. */
bool search_advance(Search* search, Frames frames, Failure* failure);

/* Frames after the last one with a label; all of them if there is none. */
int search_trailing_blanks(const Search* search);

#endif
