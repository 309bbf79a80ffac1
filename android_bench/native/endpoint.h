/* The end of an utterance: the rules of converters/streaming/endpoint.py, with their defaults. */
#ifndef TFCONFORMER_BENCH_ENDPOINT_H_
#define TFCONFORMER_BENCH_ENDPOINT_H_

#include "search.h"

/* True if the utterance of a search, whose frames have this length, is over. */
bool is_endpoint(const Search* search, double frame_seconds);

#endif
