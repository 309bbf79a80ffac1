/* Finds values in JSON text that is in memory. The text may be damaged or hostile: nothing is read beyond its end. */
#ifndef TFCONFORMER_BENCH_JSON_READER_H_
#define TFCONFORMER_BENCH_JSON_READER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of the text: one value, without white space around it. */
typedef struct {
  const char* begin;
  const char* end;
} JsonValue;

JsonValue json_document(const char* bytes, size_t count);

/* The member `key` of an object; false if the value is none or has no such member. */
bool json_member(JsonValue object, const char* key, JsonValue* member);

/* Steps through an array: `*position` begins as NULL. False after the last element. */
bool json_next_element(JsonValue array, const char** position, JsonValue* element);

/* The characters between the quotes of a string, unchanged (base64 and plain words hold no escapes). */
bool json_raw_string(JsonValue value, const char** bytes, size_t* count);

bool json_to_integer(JsonValue value, int64_t* integer);

#endif
