/* What `tfconformer export` wrote into a .tflite about itself: the JSON of its metadata entry TFCONFORMER. */
#ifndef TFCONFORMER_BENCH_MODEL_METADATA_H_
#define TFCONFORMER_BENCH_MODEL_METADATA_H_

#include <stdint.h>

#include "files.h"
#include "json_reader.h"

typedef struct {
  JsonValue json;       /* points into the file; empty if the file has no such entry */
  int64_t sample_rate;  /* 0: unknown */
  int64_t weight_bytes; /* what the constants of all layers take in the file; 0: unknown */
  /* Of a streaming file (converters/flatbuffer/stream_description.py), else 0. */
  int64_t delay_frames;
  int64_t flush_samples;
} ModelMetadata;

/* Finds the metadata of a flatbuffer that may be damaged. Without them, or with others, all is empty and zero. */
ModelMetadata read_model_metadata(MappedFile file);

#endif
