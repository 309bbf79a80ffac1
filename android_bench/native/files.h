/* Files: mapped to be read, written as a whole. */
#ifndef TFCONFORMER_BENCH_FILES_H_
#define TFCONFORMER_BENCH_FILES_H_

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

/* A file, or a part of one, in memory, read only. */
typedef struct {
  const uint8_t* bytes;
  size_t size;
  size_t before; /* bytes of its first page that precede it */
} MappedFile;

/* Maps a file; the failure gets `code` if there is none, or nothing in it. */
bool map_file(const char* path, RunCode code, MappedFile* file, Failure* failure);
/* Maps `size` bytes of an open file, from `offset` on; the file may be closed afterwards. */
bool map_part(int descriptor, int64_t offset, int64_t size, MappedFile* file, Failure* failure);
void unmap_file(MappedFile* file);

/* Writes a file beside its final place and moves it there, so that there is never a half-written one at `path`. */
bool write_file(const char* path, const char* bytes, size_t count, Failure* failure);

/* Reads the beginning of a small file of /proc or /sys, without the end of its last line. False if it is not readable.
 */
bool read_line_file(const char* path, char* text, size_t size);

#endif
