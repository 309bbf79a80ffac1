#include "attention.h"

bool attention_parse(const int32_t params[ATTENTION_PARAMS], AttentionAttributes* attributes,
                     char message[MESSAGE_SIZE]) {
  const int32_t version = params[0], heads = params[1], width = params[2], distances = params[3];
  if (version != ATTENTION_FORMAT_VERSION) return refuse_param(message, "version", version, "1");
  if (heads < 1) return refuse_param(message, "heads", heads, "at least 1");
  if (width < 1 || width > INT32_MAX / heads) {
    return refuse_param(message, "width", width, "at least 1, and a dim below 2^31");
  }
  if (distances < 0) return refuse_param(message, "distances", distances, "at least 0");
  *attributes = (AttentionAttributes){.heads = heads, .width = width, .distances = distances};
  return true;
}

int64_t attention_columns(int64_t count) { return (count + COLUMNS - 1) / COLUMNS * COLUMNS; }
