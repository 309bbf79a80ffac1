#include "endpoint.h"

/* Kaldi's rules; an utterance ends if one of them holds. */
static const struct {
  bool needs_label;
  double silence; /* seconds since the last label, or since the beginning */
  double length;  /* seconds since the beginning */
} RULES[] = {
    {.silence = 2.4},
    {.needs_label = true, .silence = 1.2},
    {.length = 20},
};

bool is_endpoint(const Search* search, double frame_seconds) {
  const double silence = search_trailing_blanks(search) * frame_seconds, length = search->frames * frame_seconds;
  for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; ++i) {
    if ((search->count > 0 || !RULES[i].needs_label) && silence >= RULES[i].silence && length >= RULES[i].length) {
      return true;
    }
  }
  return false;
}
