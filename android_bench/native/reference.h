/* The expected output of a model: one waveform, and what the model made of it on the machine that exported it, in a
 * small file beside it.
 *
 * All numbers are little-endian: the characters "TFCREF01"; 32 bytes SHA-256 of the .tflite; float32 tolerance;
 * uint32 samples, frames, columns; float32 waveform [samples]; float32 output [frames, columns]: logits, or converted
 * speech in rows of a hop. Written by android_bench/reference.py. */
#ifndef TFCONFORMER_BENCH_REFERENCE_H_
#define TFCONFORMER_BENCH_REFERENCE_H_

#include "files.h"
#include "sha256.h"

typedef struct {
  MappedFile file;
  float tolerance; /* largest accepted root mean square of the differences, relative to that of the output */
  int samples;
  int frames;
  int columns;
  const float* waveform;
  const float* output;
} Reference;

/* Opens a reference; fails with RUN_BAD_ARGUMENTS if it is damaged or another model's. */
bool reference_open(const char* path, const uint8_t model_sha256[SHA256_BYTES], Reference* reference, Failure* failure);
void reference_close(Reference* reference);

/* The comparison of an output with the expected one. */
typedef struct {
  bool bit_exact;
  double relative_rms; /* root mean square of the differences over that of the expected output */
  double max_abs_difference;
  int different_frames; /* whose largest column is another; of logits, the symbol */
} Comparison;

/* Compares an output [frames, columns] of the reference's shape. A NaN makes both measures NaN. */
Comparison compare_output(const Reference* reference, const float* output);

#endif
