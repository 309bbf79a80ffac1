#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Maps a part of a file; returns 0 or the number of an error. */
static int map(int descriptor, int64_t offset, int64_t size, MappedFile* file) {
  const int64_t before = offset % sysconf(_SC_PAGESIZE);
  const size_t mapped = (size_t)(before + size);
  uint8_t* bytes = mmap(NULL, mapped, PROT_READ, MAP_PRIVATE, descriptor, (off_t)(offset - before));
  if (bytes == MAP_FAILED) return errno;
  *file = (MappedFile){bytes + before, (size_t)size, (size_t)before};
  return 0;
}

bool map_file(const char* path, RunCode code, MappedFile* file, Failure* failure) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail(failure, code, "%.400s: %s", path, strerror(errno));
  const off_t size = lseek(descriptor, 0, SEEK_END);
  const int error = size > 0 ? map(descriptor, 0, size, file) : 0;
  close(descriptor);
  if (size > 0 && error == 0) return true;
  return fail(failure, code, "%.400s: %s", path, error != 0 ? strerror(error) : "the file is empty or no file");
}

bool map_part(int descriptor, int64_t offset, int64_t size, MappedFile* file, Failure* failure) {
  const off_t end = lseek(descriptor, 0, SEEK_END);
  /* Beyond the end of a file there is nothing to read, and a mapped page kills the process. */
  if (offset < 0 || size <= 0 || size > end || offset > end - size) {
    return fail(failure, RUN_MODEL_REFUSED, "the model should be bytes %lld to %lld of a file of %lld",
                (long long)offset, (long long)(offset + size), (long long)end);
  }
  const int error = map(descriptor, offset, size, file);
  return error == 0 || fail(failure, RUN_FAILED, "the model cannot be mapped into memory: %s", strerror(error));
}

void unmap_file(MappedFile* file) {
  if (file->bytes != NULL) munmap((void*)((uintptr_t)file->bytes - file->before), file->before + file->size);
  *file = (MappedFile){0};
}

bool write_file(const char* path, const char* bytes, size_t count, Failure* failure) {
  char partial[1024];
  if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial) {
    return fail(failure, RUN_FAILED, "%.400s: the path is too long", path);
  }
  FILE* file = fopen(partial, "wb");
  bool written =
      file != NULL && fwrite(bytes, 1, count, file) == count && fflush(file) == 0 && fsync(fileno(file)) == 0;
  const int error = errno;
  if (file != NULL) written = fclose(file) == 0 && written;
  if (written && rename(partial, path) == 0) return true;
  const int reason = written ? errno : error;
  if (file != NULL) remove(partial);
  return fail(failure, RUN_FAILED, "cannot write %.400s: %s", path, strerror(reason));
}

bool read_line_file(const char* path, char* text, size_t size) {
  FILE* file = fopen(path, "r");
  if (file == NULL) return false;
  const bool read = fgets(text, (int)size, file) != NULL;
  fclose(file);
  if (read) text[strcspn(text, "\n")] = '\0';
  return read;
}
