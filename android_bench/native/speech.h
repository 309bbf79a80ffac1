/* WAV files and their transcripts. */
#ifndef TFCONFORMER_BENCH_SPEECH_H_
#define TFCONFORMER_BENCH_SPEECH_H_

#include "failure.h"
#include "files.h"

typedef struct {
  float* samples; /* in [-1, 1) */
  int count;
  int sample_rate;
} Waveform;

/* Reads a WAV file of 16-bit samples and one channel. */
bool read_wav(const char* path, Waveform* waveform, Failure* failure);
/* Writes samples in [-1, 1), clipped, as 16 bits and one channel. */
bool write_wav(const char* path, const float* samples, int count, int sample_rate, Failure* failure);
void free_waveform(Waveform* waveform);

/* Names of files, sorted. */
typedef struct {
  char** paths;
  int count;
} PathList;

/* The WAV files of a folder, or the one file. Fails if there is none. */
bool list_wav_files(const char* path, PathList* list, Failure* failure);
void free_path_list(PathList* list);

/* The name of an utterance: the file's, without folder and extension. */
void utterance_name(const char* path, char* name, size_t size);

/* Copies the words after `name` in a file of lines "NAME words". False if no line begins with it. */
bool find_transcript(MappedFile transcripts, const char* name, char* words, size_t size);

#endif
