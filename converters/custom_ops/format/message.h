/* Error sentences. */
#ifndef TFC_FORMAT_MESSAGE_H_
#define TFC_FORMAT_MESSAGE_H_

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../include/tfconformer_ops.h"

/* Writes that one of the op attributes (the tensor "params" of a file) is wrong, and returns false. */
static inline bool tfc_refuse_attribute(char message[TFC_MESSAGE_SIZE], const char* attribute, int32_t value,
                                        const char* expected) {
  snprintf(message, TFC_MESSAGE_SIZE, "params: %s is %d, expected %s", attribute, (int)value, expected);
  return false;
}

#endif
