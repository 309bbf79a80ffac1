/* Error sentences. */
#ifndef TFCONFORMER_FORMAT_MESSAGE_H_
#define TFCONFORMER_FORMAT_MESSAGE_H_

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { MESSAGE_SIZE = 160 }; /* bytes of a sentence, its end included */

/* Says that a number of a params array is wrong, and returns false. */
static inline bool refuse_param(char message[MESSAGE_SIZE], const char* field, int32_t value, const char* expected) {
  snprintf(message, MESSAGE_SIZE, "params: %s is %d, expected %s", field, (int)value, expected);
  return false;
}

#endif
