#include "speech.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PCM = 1, EXTENSIBLE = 0xFFFE, FORMAT_BYTES = 16, WAV_HEADER_BYTES = 44, MAX_PATH = 1024 };

static uint32_t little_endian(const uint8_t* bytes, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value |= (uint32_t)bytes[i] << (8 * i);
  return value;
}

/* The content of the chunk of that name; NULL if the file has none that is whole. */
static const uint8_t* find_chunk(MappedFile file, const char* name, size_t* size) {
  size_t at = 12;
  while (at + 8 <= file.size) {
    *size = little_endian(file.bytes + at + 4, 4);
    if (*size > file.size - at - 8) return NULL;
    if (memcmp(file.bytes + at, name, 4) == 0) return file.bytes + at + 8;
    at += 8 + *size + *size % 2;
  }
  return NULL;
}

static bool decode_wav(const char* path, MappedFile file, Waveform* waveform, Failure* failure) {
  size_t format_size = 0, data_size = 0;
  if (file.size < 12 || memcmp(file.bytes, "RIFF", 4) != 0 || memcmp(file.bytes + 8, "WAVE", 4) != 0) {
    return fail(failure, RUN_BAD_ARGUMENTS, "%.400s: no WAV file", path);
  }
  const uint8_t* format = find_chunk(file, "fmt ", &format_size);
  const uint8_t* data = find_chunk(file, "data", &data_size);
  if (format == NULL || format_size < FORMAT_BYTES || data == NULL || data_size / 2 > INT32_MAX) {
    return fail(failure, RUN_BAD_ARGUMENTS, "%.400s: the WAV file is damaged", path);
  }
  const uint32_t encoding = little_endian(format, 2), channels = little_endian(format + 2, 2);
  const uint32_t bits = little_endian(format + 14, 2);
  if ((encoding != PCM && encoding != EXTENSIBLE) || channels != 1 || bits != 16) {
    return fail(failure, RUN_BAD_ARGUMENTS,
                "%.400s: expected 16-bit PCM with one channel, got encoding %u, %u bits, %u channels", path, encoding,
                bits, channels);
  }
  *waveform = (Waveform){.count = (int)(data_size / 2), .sample_rate = (int)little_endian(format + 4, 4)};
  waveform->samples = malloc((size_t)waveform->count * sizeof(float) + 1);
  if (waveform->samples == NULL) return fail(failure, RUN_FAILED, "%.400s: no memory", path);
  for (int i = 0; i < waveform->count; ++i) {
    waveform->samples[i] = (float)(int16_t)little_endian(data + 2 * (size_t)i, 2) / 32768.0f;
  }
  return true;
}

bool read_wav(const char* path, Waveform* waveform, Failure* failure) {
  MappedFile file;
  if (!map_file(path, RUN_BAD_ARGUMENTS, &file, failure)) return false;
  const bool read = decode_wav(path, file, waveform, failure);
  unmap_file(&file);
  return read;
}

static void put_little_endian(uint8_t* bytes, int count, uint32_t value) {
  for (int i = 0; i < count; ++i) bytes[i] = (uint8_t)(value >> (8 * i));
}

static void put_header(uint8_t header[WAV_HEADER_BYTES], uint32_t data_bytes, uint32_t sample_rate) {
  memcpy(header, "RIFF    WAVEfmt ", 16);
  put_little_endian(header + 4, 4, WAV_HEADER_BYTES - 8 + data_bytes);
  put_little_endian(header + 16, 4, FORMAT_BYTES);
  put_little_endian(header + 20, 2, PCM);
  put_little_endian(header + 22, 2, 1); /* channel */
  put_little_endian(header + 24, 4, sample_rate);
  put_little_endian(header + 28, 4, 2 * sample_rate);
  put_little_endian(header + 32, 2, 2);
  put_little_endian(header + 34, 2, 16);
  memcpy(header + 36, "data", 4);
  put_little_endian(header + 40, 4, data_bytes);
}

bool write_wav(const char* path, const float* samples, int count, int sample_rate, Failure* failure) {
  const size_t bytes = WAV_HEADER_BYTES + 2 * (size_t)count;
  uint8_t* file = malloc(bytes);
  if (file == NULL) return fail(failure, RUN_FAILED, "%.400s: no memory", path);
  put_header(file, 2 * (uint32_t)count, (uint32_t)sample_rate);
  for (int i = 0; i < count; ++i) {
    const float clipped = fminf(fmaxf(rintf(samples[i] * 32768.0f), -32768.0f), 32767.0f);
    put_little_endian(file + WAV_HEADER_BYTES + 2 * (size_t)i, 2, (uint32_t)(int32_t)clipped);
  }
  const bool written = write_file(path, (const char*)file, bytes, failure);
  free(file);
  return written;
}

void free_waveform(Waveform* waveform) {
  free(waveform->samples);
  *waveform = (Waveform){0};
}

static bool is_wav(const char* name) {
  const size_t length = strlen(name);
  return length > 4 && (strcmp(name + length - 4, ".wav") == 0 || strcmp(name + length - 4, ".WAV") == 0);
}

static bool add_path(PathList* list, const char* path) {
  char** paths = realloc(list->paths, ((size_t)list->count + 1) * sizeof *paths);
  if (paths == NULL) return false;
  list->paths = paths;
  char* copy = strdup(path);
  if (copy == NULL) return false;
  list->paths[list->count++] = copy;
  return true;
}

static int compare_paths(const void* a, const void* b) { return strcmp(*(char* const*)a, *(char* const*)b); }

bool list_wav_files(const char* path, PathList* list, Failure* failure) {
  *list = (PathList){0};
  bool memory = true;
  DIR* folder = opendir(path);
  if (folder == NULL) {
    memory = add_path(list, path); /* a file, or nothing: opening it fails then */
  } else {
    const struct dirent* entry;
    while (memory && (entry = readdir(folder)) != NULL) {
      char full[MAX_PATH];
      if (!is_wav(entry->d_name)) continue;
      if (snprintf(full, sizeof full, "%s/%s", path, entry->d_name) < MAX_PATH) memory = add_path(list, full);
    }
    closedir(folder);
  }
  if (memory && list->count > 0) {
    qsort(list->paths, (size_t)list->count, sizeof list->paths[0], compare_paths);
    return true;
  }
  free_path_list(list);
  return memory ? fail(failure, RUN_BAD_ARGUMENTS, "%.400s: no .wav file in this folder", path)
                : fail(failure, RUN_FAILED, "no memory for the list of WAV files");
}

void free_path_list(PathList* list) {
  for (int i = 0; i < list->count; ++i) free(list->paths[i]);
  free(list->paths);
  *list = (PathList){0};
}

void utterance_name(const char* path, char* name, size_t size) {
  const char* slash = strrchr(path, '/');
  snprintf(name, size, "%s", slash == NULL ? path : slash + 1);
  if (is_wav(name)) name[strlen(name) - 4] = '\0';
}

bool find_transcript(MappedFile transcripts, const char* name, char* words, size_t size) {
  const char* at = (const char*)transcripts.bytes;
  const char* end = at + transcripts.size;
  const size_t length = strlen(name);
  while (at < end) {
    const char* newline = memchr(at, '\n', (size_t)(end - at));
    const char* line_end = newline == NULL ? end : newline;
    const size_t line = (size_t)(line_end - at);
    if (line > length && memcmp(at, name, length) == 0 && (at[length] == ' ' || at[length] == '\t')) {
      snprintf(words, size, "%.*s", (int)(line - length - 1), at + length + 1);
      return true;
    }
    at = line_end + 1;
  }
  return false;
}
