#include "attention.h"

bool tfc_attention_parse(const int32_t params[TFC_ATTENTION_ATTRIBUTES], tfc_attention_attributes* attributes,
                         char message[TFC_MESSAGE_SIZE]) {
  const int32_t version = params[0], heads = params[1], width = params[2], distances = params[3];
  if (version != TFC_ATTENTION_VERSION) return tfc_refuse_attribute(message, "version", version, "1");
  if (heads < 1) return tfc_refuse_attribute(message, "heads", heads, "at least 1");
  if (width < 1 || width > INT32_MAX / heads) {
    return tfc_refuse_attribute(message, "width", width, "at least 1, and a dim below 2^31");
  }
  if (distances < 0) return tfc_refuse_attribute(message, "distances", distances, "at least 0");
  *attributes = (tfc_attention_attributes){.heads = heads, .width = width, .distances = distances};
  return true;
}

int64_t tfc_padded_columns(int64_t count) {
  return (count + TFC_COLUMN_MULTIPLE - 1) / TFC_COLUMN_MULTIPLE * TFC_COLUMN_MULTIPLE;
}
