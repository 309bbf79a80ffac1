#include "arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 100000, MAX_LAG_MS = 60000 };

const char USAGE[] =
    "Runs a .tflite model that recognizes or converts speech; reports speed, memory, correctness, errors as JSON.\n"
    "  --model=FILE            the .tflite file\n"
    "  --mode=offline|streaming whole utterances (default), or step by step\n"
    "  --threads=N             of the engine (default 1)\n"
    "  --warmup=N              runs that are not timed (default 3)\n"
    "  --runs=N                timed runs (default 20)\n"
    "  --kernel=NAME           kernel of the packed layers (default: the fastest of this processor)\n"
    "  --reference=FILE        expected output (default: MODEL.reference, if it exists)\n"
    "  --audio=WAV|FOLDER      speech to recognize or convert, 16-bit mono WAV\n"
    "  --transcripts=FILE      lines of 'NAME words', NAME being the WAV file's without .wav\n"
    "  --engine=LIBRARY        TFLite library (default: the one beside this program)\n"
    "  --lag-ms=N              convert N milliseconds behind the speaker (default: after the end)\n"
    "  --speech=FOLDER         where converted speech goes, as NAME.wav (default: nowhere)\n"
    "  --report=FILE           where the JSON goes (default: standard output)\n"
    "Exit codes: 0 done, 1 failed or output differs, 2 bad arguments, 3 model refused.\n";

bool split_words(char* text, const char* words[MAX_ARGUMENTS], int* count, Failure* failure) {
  *count = 0;
  char *read = text, *write = text;
  bool in_word = false, in_quotes = false;
  for (;; ++read) {
    const char c = *read;
    const bool ends = c == '\0' || (!in_quotes && (c == ' ' || c == '\t' || c == '\n' || c == '\r'));
    if (c == '\0' && in_quotes) return fail(failure, RUN_BAD_ARGUMENTS, "the arguments end within double quotes");
    if (ends) {
      if (in_word) *write++ = '\0';
      in_word = false;
      if (c == '\0') return true;
      continue;
    }
    if (!in_word) {
      if (*count == MAX_ARGUMENTS) return fail(failure, RUN_BAD_ARGUMENTS, "more than %d arguments", MAX_ARGUMENTS);
      words[(*count)++] = write;
      in_word = true;
    }
    if (c == '"') {
      in_quotes = !in_quotes;
    } else {
      *write++ = c;
    }
  }
}

/* The text after "--name="; NULL if the word is another option. */
static const char* option_value(const char* word, const char* name) {
  const size_t length = strlen(name);
  if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, name, length) != 0 || word[2 + length] != '=') return NULL;
  return word + 3 + length;
}

static bool parse_integer(const char* word, const char* value, long smallest, long largest, int* result,
                          Failure* failure) {
  char* end;
  errno = 0;
  const long number = strtol(value, &end, 10);
  if (*value == '\0' || *end != '\0' || errno != 0 || number < smallest || number > largest) {
    return fail(failure, RUN_BAD_ARGUMENTS, "%.200s: expected a whole number from %ld to %ld", word, smallest, largest);
  }
  *result = (int)number;
  return true;
}

static bool parse_mode(const char* word, const char* value, Mode* mode, Failure* failure) {
  if (strcmp(value, "offline") == 0) {
    *mode = MODE_OFFLINE;
  } else if (strcmp(value, "streaming") == 0) {
    *mode = MODE_STREAMING;
  } else {
    return fail(failure, RUN_BAD_ARGUMENTS, "%.200s: expected offline or streaming", word);
  }
  return true;
}

static bool parse_word(const char* word, int processors, Arguments* arguments, Failure* failure) {
  const struct {
    const char* name;
    const char** text;
  } texts[] = {
      {"model", &arguments->model},   {"kernel", &arguments->kernel},           {"reference", &arguments->reference},
      {"audio", &arguments->audio},   {"transcripts", &arguments->transcripts}, {"engine", &arguments->engine},
      {"report", &arguments->report}, {"speech", &arguments->speech},
  };
  const struct {
    const char* name;
    int* number;
    long smallest;
    long largest;
  } numbers[] = {
      {"threads", &arguments->threads, 1, processors},
      {"warmup", &arguments->warmup, 0, MAX_RUNS},
      {"runs", &arguments->runs, 1, MAX_RUNS},
      {"lag-ms", &arguments->lag_ms, 1, MAX_LAG_MS},
  };
  if (strcmp(word, "--help") == 0) return arguments->help = true;
  const char* value;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
    if ((value = option_value(word, texts[i].name)) == NULL) continue;
    if (*value == '\0') return fail(failure, RUN_BAD_ARGUMENTS, "%s: the value is missing", word);
    *texts[i].text = value;
    return true;
  }
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
    if ((value = option_value(word, numbers[i].name)) == NULL) continue;
    return parse_integer(word, value, numbers[i].smallest, numbers[i].largest, numbers[i].number, failure);
  }
  if ((value = option_value(word, "mode")) != NULL) return parse_mode(word, value, &arguments->mode, failure);
  return fail(failure, RUN_BAD_ARGUMENTS, "unknown argument %.200s; --help lists them", word);
}

bool parse_arguments(int count, const char* const* words, int processors, Arguments* arguments, Failure* failure) {
  *arguments = (Arguments){.mode = MODE_OFFLINE, .threads = 1, .warmup = 3, .runs = 20};
  for (int i = 0; i < count; ++i) {
    if (!parse_word(words[i], processors, arguments, failure)) return false;
  }
  if (arguments->help) return true;
  if (arguments->model == NULL) return fail(failure, RUN_BAD_ARGUMENTS, "--model=FILE is missing");
  if (arguments->transcripts != NULL && arguments->audio == NULL) {
    return fail(failure, RUN_BAD_ARGUMENTS, "--transcripts needs --audio");
  }
  return true;
}
