#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool map_file(const char* path, RunCode code, MappedFile* file, Failure* failure) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail(failure, code, "%.400s: %s", path, strerror(errno));
  const off_t size = lseek(descriptor, 0, SEEK_END);
  void* bytes = size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, descriptor, 0) : MAP_FAILED;
  const int error = size > 0 ? errno : 0;
  close(descriptor);
  if (bytes == MAP_FAILED) {
    return fail(failure, code, "%.400s: %s", path, error != 0 ? strerror(error) : "the file is empty or no file");
  }
  *file = (MappedFile){bytes, (size_t)size};
  return true;
}

void unmap_file(MappedFile* file) {
  if (file->bytes != NULL) munmap((void*)(uintptr_t)file->bytes, file->size);
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
