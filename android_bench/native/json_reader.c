#include "json_reader.h"

#include <stdlib.h>
#include <string.h>

static const char* skip_space(const char* at, const char* end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) ++at;
  return at;
}

/* The first character after a string that begins at `at`; `end` if it does not end. */
static const char* skip_string(const char* at, const char* end) {
  for (++at; at < end; ++at) {
    if (*at == '\\') {
      ++at;
    } else if (*at == '"') {
      return at + 1;
    }
  }
  return end;
}

/* The first character after the value that begins at `at`. */
static const char* skip_value(const char* at, const char* end) {
  int64_t depth = 0;
  while (at < end) {
    const char c = *at;
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) return at;
    if (c == '"') {
      at = skip_string(at, end);
    } else {
      depth += c == '{' || c == '[';
      depth -= c == '}' || c == ']';
      ++at;
    }
    if (depth == 0 && (c == '"' || c == '}' || c == ']')) return at;
  }
  return end;
}

static JsonValue trimmed(const char* begin, const char* end) {
  begin = skip_space(begin, end);
  while (end > begin && skip_space(end - 1, end) == end) --end;
  return (JsonValue){begin, end};
}

JsonValue json_document(const char* bytes, size_t count) { return trimmed(bytes, bytes + count); }

bool json_member(JsonValue object, const char* key, JsonValue* member) {
  if (object.begin >= object.end || *object.begin != '{') return false;
  const char* at = skip_space(object.begin + 1, object.end);
  while (at < object.end && *at == '"') {
    const char* name_end = skip_string(at, object.end);
    const char* colon = skip_space(name_end, object.end);
    if (colon >= object.end || *colon != ':') return false;
    const char* value_end = skip_value(skip_space(colon + 1, object.end), object.end);
    const size_t length = strlen(key);
    if ((size_t)(name_end - at) == length + 2 && memcmp(at + 1, key, length) == 0) {
      *member = trimmed(colon + 1, value_end);
      return true;
    }
    at = skip_space(value_end, object.end);
    if (at >= object.end || *at != ',') return false;
    at = skip_space(at + 1, object.end);
  }
  return false;
}

bool json_next_element(JsonValue array, const char** position, JsonValue* element) {
  if (array.begin >= array.end || *array.begin != '[') return false;
  const char* at = skip_space(*position == NULL ? array.begin + 1 : *position, array.end);
  if (*position != NULL) {
    if (at >= array.end || *at != ',') return false;
    at = skip_space(at + 1, array.end);
  }
  const char* end = skip_value(at, array.end);
  if (end == at) return false;
  *element = trimmed(at, end);
  *position = end;
  return true;
}

bool json_raw_string(JsonValue value, const char** bytes, size_t* count) {
  if (value.end - value.begin < 2 || *value.begin != '"' || value.end[-1] != '"') return false;
  *bytes = value.begin + 1;
  *count = (size_t)(value.end - value.begin) - 2;
  return true;
}

bool json_to_integer(JsonValue value, int64_t* integer) {
  char digits[24];
  const size_t count = (size_t)(value.end - value.begin);
  if (count == 0 || count >= sizeof digits) return false;
  memcpy(digits, value.begin, count);
  digits[count] = '\0';
  char* end;
  *integer = strtoll(digits, &end, 10);
  return *end == '\0';
}
