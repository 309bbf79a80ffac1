/* The prediction network and the joint network of a transducer: the graphs `predict` and `join` of its file. */
#ifndef TFCONFORMER_BENCH_TRANSDUCER_H_
#define TFCONFORMER_BENCH_TRANSDUCER_H_

#include "step_graph.h"

typedef struct {
  StepGraph predict, join;
  Matrix encoding, prediction; /* inputs of `join` [1, joint] */
  int symbols;                 /* columns of the logits */
  int max_symbols;             /* largest number of labels in a frame */
} Transducer;

/* Opens the graphs of a file; `transducer` is zero, and `metadata` must outlive it. */
bool transducer_open(Transducer* transducer, Session* session, const ModelMetadata* metadata, Failure* failure);
void transducer_close(Transducer* transducer);

/* Begins an utterance, whose first label is the blank. */
void transducer_reset(Transducer* transducer);
/* Reads the next label. */
bool transducer_predict(Transducer* transducer, int label, Failure* failure);
/* Computes the logits [symbols] after the labels so far, in the frame with this encoding; valid until the next call. */
bool transducer_join(Transducer* transducer, const float* encoding, const float** logits, Failure* failure);

#endif
