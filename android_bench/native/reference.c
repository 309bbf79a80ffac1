#include "reference.h"

#include <math.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a reference file is read as it stands, which takes a little-endian machine"
#endif

typedef struct {
  char magic[8];
  uint8_t model_sha256[SHA256_BYTES];
  float tolerance;
  uint32_t samples;
  uint32_t frames;
  uint32_t columns;
} Header;

static const char MAGIC[8] = {'T', 'F', 'C', 'R', 'E', 'F', '0', '1'};

static bool check(const char* path, const uint8_t model_sha256[SHA256_BYTES], MappedFile file, Reference* reference,
                  Failure* failure) {
  Header header;
  if (file.size < sizeof header || memcmp(file.bytes, MAGIC, sizeof MAGIC) != 0) {
    return fail(failure, RUN_BAD_ARGUMENTS, "%.400s: no reference file", path);
  }
  memcpy(&header, file.bytes, sizeof header);
  if (memcmp(header.model_sha256, model_sha256, SHA256_BYTES) != 0) {
    return fail(failure, RUN_BAD_ARGUMENTS, "%.400s: the reference of another model: the SHA-256 differ", path);
  }
  const uint64_t values = (uint64_t)header.frames * header.columns;
  if (header.samples > INT32_MAX || header.frames == 0 || header.columns == 0 || values > INT32_MAX ||
      file.size != sizeof header + sizeof(float) * (header.samples + values)) {
    return fail(failure, RUN_BAD_ARGUMENTS, "%.400s: the reference is damaged", path);
  }
  const float* waveform = (const float*)(const void*)(file.bytes + sizeof header);
  *reference = (Reference){
      .file = file,
      .tolerance = header.tolerance,
      .samples = (int)header.samples,
      .frames = (int)header.frames,
      .columns = (int)header.columns,
      .waveform = waveform,
      .output = waveform + header.samples,
  };
  return true;
}

bool reference_open(const char* path, const uint8_t model_sha256[SHA256_BYTES], Reference* reference,
                    Failure* failure) {
  MappedFile file;
  if (!map_file(path, RUN_BAD_ARGUMENTS, &file, failure)) return false;
  if (check(path, model_sha256, file, reference, failure)) return true;
  unmap_file(&file);
  return false;
}

void reference_close(Reference* reference) { unmap_file(&reference->file); }

static int largest_column(const float* frame, int columns) {
  int best = 0;
  for (int c = 1; c < columns; ++c) best = frame[c] > frame[best] ? c : best;
  return best;
}

Comparison compare_output(const Reference* reference, const float* output) {
  const size_t columns = (size_t)reference->columns, count = (size_t)reference->frames * columns;
  Comparison result = {.bit_exact = memcmp(output, reference->output, count * sizeof output[0]) == 0};
  double squares = 0, expected_squares = 0;
  for (size_t i = 0; i < count; ++i) {
    const double expected = reference->output[i], difference = output[i] - expected;
    squares += difference * difference;
    expected_squares += expected * expected;
    if (!(fabs(difference) <= result.max_abs_difference)) result.max_abs_difference = fabs(difference);
  }
  for (int t = 0; t < reference->frames; ++t) {
    const size_t at = (size_t)t * columns;
    result.different_frames +=
        largest_column(output + at, reference->columns) != largest_column(reference->output + at, reference->columns);
  }
  result.relative_rms = squares == 0 ? 0 : sqrt(squares / expected_squares);
  return result;
}
