#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Protocol buffer numbers in a SentencePiece model. */
enum { WIRE_VARINT = 0, WIRE_64_BITS = 1, WIRE_BYTES = 2, WIRE_32_BITS = 5 };
enum { MODEL_PIECES = 1, PIECE_TEXT = 1, PIECE_TYPE = 3 };
enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3 };

static const char WORD_MARK[] = "\xE2\x96\x81";      /* U+2581, a space in a piece */
static const char UNKNOWN_TEXT[] = " \xE2\x81\x87 "; /* SentencePiece's text of the unknown piece */

static int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes into `bytes`, which has room for 3 / 4 of the characters. Returns the number of bytes, -1 for other text. */
static int64_t decode_base64(const char* characters, size_t count, uint8_t* bytes) {
  while (count > 0 && characters[count - 1] == '=') --count;
  int64_t written = 0;
  uint32_t group = 0;
  for (size_t i = 0; i < count; ++i) {
    const int digit = base64_digit(characters[i]);
    if (digit < 0) return -1;
    group = group << 6 | (uint32_t)digit;
    if (i % 4 != 0) bytes[written++] = (uint8_t)(group >> (6 - 2 * (i % 4)));
  }
  return written;
}

typedef struct {
  const uint8_t* at;
  const uint8_t* end;
} Message;

static bool read_varint(Message* message, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && message->at < message->end; shift += 7) {
    const uint8_t byte = *message->at++;
    *value |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

/* Takes the next field. `content` gets the bytes of a field that has any, `value` the number of a varint. False at the
 * end and where the message is damaged, which sets `*damaged`. */
static bool next_field(Message* message, int* number, Message* content, uint64_t* value, bool* damaged) {
  uint64_t key;
  *damaged = false;
  if (message->at >= message->end) return false;
  *damaged = true;
  if (!read_varint(message, &key)) return false;
  *number = (int)(key >> 3);
  *content = (Message){0};
  *value = 0;
  uint64_t skipped = 0;
  switch (key & 7) {
    case WIRE_VARINT:
      if (!read_varint(message, value)) return false;
      break;
    case WIRE_64_BITS:
      skipped = 8;
      break;
    case WIRE_32_BITS:
      skipped = 4;
      break;
    case WIRE_BYTES:
      if (!read_varint(message, &skipped)) return false;
      break;
    default:
      return false;
  }
  if (skipped > (uint64_t)(message->end - message->at)) return false;
  if ((key & 7) == WIRE_BYTES) *content = (Message){message->at, message->at + skipped};
  message->at += skipped;
  *damaged = false;
  return true;
}

static bool read_piece(Message message, const uint8_t** piece, int* length) {
  Message content;
  uint64_t value;
  int number;
  bool damaged, unknown = false, control = false;
  *piece = message.at;
  *length = 0;
  while (next_field(&message, &number, &content, &value, &damaged)) {
    if (number == PIECE_TEXT && content.at != NULL) {
      *piece = content.at;
      *length = (int)(content.end - content.at);
    } else if (number == PIECE_TYPE) {
      unknown = value == TYPE_UNKNOWN;
      control = value == TYPE_CONTROL;
    }
  }
  if (unknown) {
    *piece = (const uint8_t*)UNKNOWN_TEXT;
    *length = (int)sizeof UNKNOWN_TEXT - 1;
  }
  if (control) *length = 0;
  return !damaged;
}

/* Counts the pieces, and notes them where there is room for it. */
static bool read_pieces(Message model, Tokenizer* tokenizer) {
  Message content;
  uint64_t value;
  int number;
  bool damaged;
  tokenizer->count = 0;
  while (next_field(&model, &number, &content, &value, &damaged)) {
    if (number != MODEL_PIECES || content.at == NULL) continue;
    if (tokenizer->pieces != NULL &&
        !read_piece(content, &tokenizer->pieces[tokenizer->count], &tokenizer->lengths[tokenizer->count])) {
      return false;
    }
    ++tokenizer->count;
  }
  return !damaged && tokenizer->count > 0;
}

static bool read_model(Tokenizer* tokenizer, const char* characters, size_t count) {
  tokenizer->model = malloc(count / 4 * 3 + 3);
  if (tokenizer->model == NULL) return false;
  const int64_t size = decode_base64(characters, count, tokenizer->model);
  if (size < 0) return false;
  const Message model = {tokenizer->model, tokenizer->model + size};
  if (!read_pieces(model, tokenizer)) return false;
  tokenizer->pieces = malloc((size_t)tokenizer->count * sizeof tokenizer->pieces[0]);
  tokenizer->lengths = malloc((size_t)tokenizer->count * sizeof tokenizer->lengths[0]);
  return tokenizer->pieces != NULL && tokenizer->lengths != NULL && read_pieces(model, tokenizer);
}

bool tokenizer_open(JsonValue metadata, Tokenizer* tokenizer) {
  JsonValue value;
  const char* characters;
  size_t count;
  *tokenizer = (Tokenizer){0};
  if (!json_member(metadata, "tokenizer", &value) || !json_raw_string(value, &characters, &count)) return false;
  if (read_model(tokenizer, characters, count)) return true;
  tokenizer_close(tokenizer);
  return false;
}

void tokenizer_close(Tokenizer* tokenizer) {
  free(tokenizer->lengths);
  free(tokenizer->pieces);
  free(tokenizer->model);
  *tokenizer = (Tokenizer){0};
}

void tokenizer_decode(const Tokenizer* tokenizer, int label, Text* text) {
  const int mark = (int)sizeof WORD_MARK - 1;
  const uint8_t* piece = tokenizer->pieces[label - 1];
  const int length = tokenizer->lengths[label - 1];
  for (int at = 0; at < length;) {
    if (at + mark <= length && memcmp(piece + at, WORD_MARK, (size_t)mark) == 0) {
      text_append(text, " ", 1);
      at += mark;
    } else {
      text_append(text, (const char*)piece + at++, 1);
    }
  }
}
