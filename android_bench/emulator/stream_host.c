/* Calls the library for apps of one's own, for a Java in another process:
 *
 *   stream_host LIBRARY
 *
 * reads calls from standard input, a line each with the name of a method and its arguments, and writes a line with each
 * result. Samples follow a line, or a result that is their count, as float32. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_java.h"

typedef jstring (*Open)(JNIEnv*, jclass, jint descriptor, jlong offset, jlong size, jint threads, jboolean converts,
                        jint lag_ms);
typedef jstring (*Accept)(JNIEnv*, jclass, jlong stream, jfloatArray samples, jint count);
typedef jstring (*Ask)(JNIEnv*, jclass, jlong stream);
typedef jfloatArray (*TakeSpeech)(JNIEnv*, jclass, jlong stream);
typedef jboolean (*IsEndpoint)(JNIEnv*, jclass, jlong stream);
typedef void (*Do)(JNIEnv*, jclass, jlong stream);

enum { LONGEST_LINE = 4096 };

/* False at the end of the input. */
static bool read_bytes(void* bytes, size_t count) {
  char* at = bytes;
  while (count > 0) {
    const ssize_t got = read(0, at, count);
    if (got <= 0) return false;
    at += got;
    count -= (size_t)got;
  }
  return true;
}

static bool read_line(char line[LONGEST_LINE]) {
  for (int i = 0; i < LONGEST_LINE && read_bytes(line + i, 1); ++i) {
    if (line[i] != '\n') continue;
    line[i] = '\0';
    return true;
  }
  return false;
}

/* Cuts the next word off. */
static char* next_word(char** rest) {
  char* word = *rest;
  char* end = word + strcspn(word, " ");
  *rest = *end == '\0' ? end : end + 1;
  *end = '\0';
  return word;
}

static long long next_number(char** rest) { return strtoll(next_word(rest), NULL, 10); }

static void write_text(const char* text) {
  fprintf(stdout, "%s\n", text == NULL ? "null" : text);
  fflush(stdout);
}

static jstring open_file(void* method, char* rest) {
  Open open_stream;
  *(void**)&open_stream = method;
  const long long offset = next_number(&rest), size = next_number(&rest), threads = next_number(&rest);
  const long long converts = next_number(&rest), lag_ms = next_number(&rest);
  const int descriptor = open(rest, O_RDONLY | O_CLOEXEC);
  jstring result = open_stream(java_environment(), NULL, descriptor, offset, size, (jint)threads,
                               (jboolean)(converts != 0), (jint)lag_ms);
  close(descriptor);
  return result;
}

static jstring accept_samples(void* method, jlong stream, char* rest) {
  Accept accept;
  *(void**)&accept = method;
  const jint count = (jint)next_number(&rest);
  Floats samples = {count, malloc((size_t)count * sizeof(jfloat) + 1)};
  if (samples.values == NULL || !read_bytes(samples.values, (size_t)count * sizeof(jfloat))) exit(1);
  jstring result = accept(java_environment(), NULL, stream, (jfloatArray)&samples, count);
  free(samples.values);
  return result;
}

static void take_speech(void* method, jlong stream) {
  TakeSpeech take;
  *(void**)&take = method;
  const Floats* speech = (const Floats*)take(java_environment(), NULL, stream);
  fprintf(stdout, "%d\n", speech->count);
  fwrite(speech->values, sizeof *speech->values, (size_t)speech->count, stdout);
  fflush(stdout);
}

static bool answer(char* line) {
  char* rest = line;
  const char* name = next_word(&rest);
  void* method = find_method(name);
  JNIEnv* env = java_environment();
  if (method == NULL) return false;
  if (strcmp(name, "open") == 0) {
    write_text((const char*)open_file(method, rest));
    return true;
  }
  const jlong stream = (jlong)next_number(&rest);
  if (strcmp(name, "accept") == 0) {
    write_text((const char*)accept_samples(method, stream, rest));
  } else if (strcmp(name, "takeSpeech") == 0) {
    take_speech(method, stream);
  } else if (strcmp(name, "isEndpoint") == 0) {
    IsEndpoint is_endpoint;
    *(void**)&is_endpoint = method;
    write_text(is_endpoint(env, NULL, stream) ? "true" : "false");
  } else if (strcmp(name, "reset") == 0 || strcmp(name, "close") == 0) {
    Do run;
    *(void**)&run = method;
    run(env, NULL, stream);
    write_text(NULL);
  } else {
    Ask ask;
    *(void**)&ask = method;
    write_text((const char*)ask(env, NULL, stream));
  }
  return true;
}

int main(int count, char** words) {
  static char line[LONGEST_LINE];
  if (count != 2 || !load_library(words[1], "org/tfconformer/NativeStream")) return 1;
  while (read_line(line)) {
    if (!answer(line)) return 1;
  }
  return 0;
}
