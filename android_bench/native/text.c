#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_append(Text* text, const char* bytes, size_t count) {
  if (text->failed) return;
  if (text->length + count + 1 > text->capacity) {
    const size_t capacity = 2 * (text->length + count + 1);
    char* grown = realloc(text->bytes, capacity);
    if (grown == NULL) {
      text->failed = true;
      return;
    }
    text->bytes = grown;
    text->capacity = capacity;
  }
  memcpy(text->bytes + text->length, bytes, count);
  text->length += count;
  text->bytes[text->length] = '\0';
}

void text_print(Text* text, const char* format, ...) {
  char line[1024]; /* longer pieces are appended by `text_append` */
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length > 0) text_append(text, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
}

void text_free(Text* text) {
  free(text->bytes);
  *text = (Text){0};
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
