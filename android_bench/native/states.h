/* The tensors that go from one step of a stream to the next. Between steps they lie in the inputs of one signature, so
 * that a state which the runtime changes in place is never copied. */
#ifndef TFCONFORMER_BENCH_STATES_H_
#define TFCONFORMER_BENCH_STATES_H_

#include "engine.h"

enum { MAX_STATES = 512 };

typedef struct {
  const char* name;
  size_t bytes;
  void* content; /* the input tensor of the signature */
} State;

typedef struct {
  int count;
  State state[MAX_STATES];
} States;

/* Adds an input tensor, whose memory is allocated. */
bool states_add(States* states, const Session* session, const char* name, const TfLiteTensor* tensor, Failure* failure);
/* NULL if there is none of that name. */
const State* states_find(const States* states, const char* name);
/* Begins a stream: all states are zero. */
void states_reset(const States* states);
/* Takes the states over from the outputs of a signature that was invoked. */
bool states_update(const States* states, const Session* session, TfLiteSignatureRunner* runner, Failure* failure);

#endif
