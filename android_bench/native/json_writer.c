#include "json_writer.h"

#include <math.h>
#include <string.h>

/* Reads one character of UTF-8 and returns its length in bytes; an invalid byte counts as one replacement character. */
static int read_character(const unsigned char* bytes, uint32_t* character) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const int length = bytes[0] < 0x80       ? 1
                     : bytes[0] >> 5 == 6  ? 2
                     : bytes[0] >> 4 == 14 ? 3
                     : bytes[0] >> 3 == 30 ? 4
                                           : 0;
  *character = 0xFFFD;
  if (length == 0) return 1;
  uint32_t value = length == 1 ? bytes[0] : bytes[0] & (0x7Fu >> length);
  for (int i = 1; i < length; ++i) {
    if (bytes[i] >> 6 != 2) return 1; /* the end of the string stops here too */
    value = value << 6 | (bytes[i] & 0x3Fu);
  }
  if (value < smallest[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return 1;
  *character = value;
  return length;
}

static void append_escaped(Text* text, uint32_t character) {
  if (character == '"' || character == '\\') {
    text_print(text, "\\%c", (int)character);
  } else if (character >= 0x20 && character < 0x7F) {
    text_print(text, "%c", (int)character);
  } else if (character < 0x10000) {
    text_print(text, "\\u%04x", (unsigned)character);
  } else {
    const unsigned rest = (unsigned)character - 0x10000;
    text_print(text, "\\u%04x\\u%04x", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
  }
}

static void append_string(Text* text, const char* value) {
  text_append(text, "\"", 1);
  const unsigned char* bytes = (const unsigned char*)value;
  while (*bytes != 0) {
    uint32_t character;
    bytes += read_character(bytes, &character);
    append_escaped(text, character);
  }
  text_append(text, "\"", 1);
}

static void begin_value(JsonWriter* json, const char* key) {
  if (json->needs_comma) text_append(&json->text, ",", 1);
  json->needs_comma = true;
  if (key == NULL) return;
  append_string(&json->text, key);
  text_append(&json->text, ":", 1);
}

static void begin_container(JsonWriter* json, const char* key, const char* bracket) {
  begin_value(json, key);
  text_append(&json->text, bracket, 1);
  json->needs_comma = false;
}

static void end_container(JsonWriter* json, const char* bracket) {
  text_append(&json->text, bracket, 1);
  json->needs_comma = true;
}

void json_begin_object(JsonWriter* json, const char* key) { begin_container(json, key, "{"); }
void json_end_object(JsonWriter* json) { end_container(json, "}"); }
void json_begin_array(JsonWriter* json, const char* key) { begin_container(json, key, "["); }
void json_end_array(JsonWriter* json) { end_container(json, "]"); }

void json_string(JsonWriter* json, const char* key, const char* value) {
  begin_value(json, key);
  if (value == NULL) {
    text_append(&json->text, "null", 4);
  } else {
    append_string(&json->text, value);
  }
}

void json_integer(JsonWriter* json, const char* key, int64_t value) {
  begin_value(json, key);
  text_print(&json->text, "%lld", (long long)value);
}

void json_number(JsonWriter* json, const char* key, double value) {
  begin_value(json, key);
  if (isfinite(value)) {
    text_print(&json->text, "%.9g", value);
  } else {
    text_append(&json->text, "null", 4);
  }
}

void json_boolean(JsonWriter* json, const char* key, bool value) {
  begin_value(json, key);
  const char* word = value ? "true" : "false";
  text_append(&json->text, word, strlen(word));
}
