/* The description of a .tflite file that `tfconformer export` wrote into it: the JSON of its metadata entry
 * TFCONFORMER, in format 1 or 2. */
#ifndef TFCONFORMER_BENCH_MODEL_METADATA_H_
#define TFCONFORMER_BENCH_MODEL_METADATA_H_

#include <stdint.h>

#include "files.h"
#include "json_reader.h"

/* The sample rate is one of files that do not say it. */
enum { MAX_GRAPHS = 8, NAME_SIZE = 64, USUAL_SAMPLE_RATE = 16000 };

/* Whole utterances, or step by step. */
typedef enum { MODE_OFFLINE, MODE_STREAMING } Mode;

/* "offline" or "streaming". */
const char* mode_name(Mode mode);

/* A signature of the file, and the names of its tensors. Names that a graph lacks are empty. */
typedef struct {
  char signature[NAME_SIZE];
  char samples[NAME_SIZE]; /* input, FLOAT32 */
  char count[NAME_SIZE];   /* input, INT32: the number of valid samples */
  char output[NAME_SIZE];  /* output, FLOAT32 */
  char frames[NAME_SIZE];  /* output, INT32: the number of frames so far */
  Mode mode;               /* of a graph from audio; step by step, some tensors are states */
  char flush[NAME_SIZE];   /* signature that takes the rest of a stream */
  int64_t frame_samples;   /* of a frame of the output; 0: unknown */
  int64_t delay_frames;    /* before the first frame of a stream */
  int64_t flush_samples;   /* zeros after the last sample of a stream */
  bool lists_states;       /* `states` lists all of them (format 2); else they are the inputs that are outputs too */
  JsonValue states;        /* array of objects with a "name" */
} Graph;

typedef struct {
  JsonValue json;         /* points into the file; empty if the file has no such entry */
  char task[NAME_SIZE];   /* of tfconformer/tasks; empty in format 1 */
  char search[NAME_SIZE]; /* the method that turns outputs into labels: "ctc" or another; empty if there is none */
  int64_t max_symbols;    /* of a transducer: largest number of labels in a frame; 0: unknown */
  int64_t label_delay_ms; /* by which labels are later than their speech; 0: not measured */
  int64_t sample_rate;    /* 0: unknown */
  int64_t weight_bytes;   /* of the constants of all layers in the file; 0: unknown */
  bool lists_graphs;      /* format 2 */
  int graphs;
  Graph graph[MAX_GRAPHS]; /* in the order of use */
} ModelMetadata;

/* Finds the metadata of a flatbuffer that may be damaged. A file without metadata, or with format 1, has the graphs of
 * that format: one for whole utterances and one for streams, of which the file may lack either. */
ModelMetadata read_model_metadata(MappedFile file);

/* The graph from audio that runs in this mode; NULL if the file describes none. */
const Graph* find_audio_graph(const ModelMetadata* metadata, Mode mode);

/* Length in seconds of a frame of a graph from audio; 0: unknown. */
double frame_seconds(const ModelMetadata* metadata, const Graph* graph);

/* The graph of that signature; NULL if the file describes none. */
const Graph* find_graph(const ModelMetadata* metadata, const char* signature);

/* True if the graph lists an input as a state. */
bool graph_has_state(const Graph* graph, const char* name);

#endif
