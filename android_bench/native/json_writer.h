/* JSON, written key by key. Keys are NULL inside arrays and for the outermost value. Everything beyond ASCII is
 * escaped, so that the text passes through any shell, log and Java string. */
#ifndef TFCONFORMER_BENCH_JSON_WRITER_H_
#define TFCONFORMER_BENCH_JSON_WRITER_H_

#include <stdint.h>

#include "text.h"

typedef struct {
  Text text;
  bool needs_comma;
} JsonWriter;

void json_begin_object(JsonWriter* json, const char* key);
void json_end_object(JsonWriter* json);
void json_begin_array(JsonWriter* json, const char* key);
void json_end_array(JsonWriter* json);

/* `value` is UTF-8; NULL writes null, a byte that is not UTF-8 the replacement character. */
void json_string(JsonWriter* json, const char* key, const char* value);
void json_integer(JsonWriter* json, const char* key, int64_t value);
/* Nine digits, which a float survives; null for a number that is not finite. */
void json_number(JsonWriter* json, const char* key, double value);
void json_boolean(JsonWriter* json, const char* key, bool value);

#endif
