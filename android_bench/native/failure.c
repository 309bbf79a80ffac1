#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

bool fail(Failure* failure, RunCode code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(failure->message, sizeof failure->message, format, arguments);
  va_end(arguments);
  failure->code = code;
  return false;
}
