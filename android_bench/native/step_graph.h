/* A graph of the file that computes one step of a stream from inputs of fixed sizes and its states. */
#ifndef TFCONFORMER_BENCH_STEP_GRAPH_H_
#define TFCONFORMER_BENCH_STEP_GRAPH_H_

#include "model_metadata.h"
#include "states.h"
#include "statistics.h"

typedef struct {
  Session* session;
  const char* signature;
  TfLiteSignatureRunner* runner;
  States states;
  Times times; /* of the steps since the last reset */
} StepGraph;

enum { STEP_GRAPH_RANK = 3 };

/* The numbers of an input or output [rows, columns], without its first dimension, 1. */
typedef struct {
  float* values;
  int rows;
  int columns;
} Matrix;

/* Opens the graph with that signature; `metadata` must outlive it. It must have no inputs but its states and `inputs`,
 * names with NULL at the end. */
bool step_graph_open(StepGraph* graph, Session* session, const ModelMetadata* metadata, const char* signature,
                     const char* const* inputs, Failure* failure);
void step_graph_close(StepGraph* graph);

/* Begins a stream. */
void step_graph_reset(StepGraph* graph);

/* The content of a FLOAT32 input or state [1, rows, columns], or [1, columns]; stays valid. */
bool step_graph_input(const StepGraph* graph, const char* name, Matrix* matrix, Failure* failure);
/* Sets an INT32 input of one number. */
bool step_graph_set_integer(const StepGraph* graph, const char* name, int32_t value, Failure* failure);
/* The content of a FLOAT32 output; valid until the next step. */
bool step_graph_output(const StepGraph* graph, const char* name, Matrix* matrix, Failure* failure);

/* Computes a step from what the inputs hold. */
bool step_graph_run(StepGraph* graph, Failure* failure);

#endif
