/* Text that grows. Without memory it stops growing and has `failed`. */
#ifndef TFCONFORMER_BENCH_TEXT_H_
#define TFCONFORMER_BENCH_TEXT_H_

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  char* bytes; /* ends with a zero byte; NULL while empty */
  size_t length;
  size_t capacity;
  bool failed;
} Text;

void text_append(Text* text, const char* bytes, size_t count);
__attribute__((format(printf, 2, 3))) void text_print(Text* text, const char* format, ...);
void text_free(Text* text);

/* White space of ASCII. */
bool is_space(char c);

#endif
