/* Times of many runs, listed and summed up. */
#ifndef TFCONFORMER_BENCH_STATISTICS_H_
#define TFCONFORMER_BENCH_STATISTICS_H_

#include <stdint.h>

#include "failure.h"

typedef struct {
  int count;
  double min, mean, p50, p90, p99, max;
} Summary;

/* Sorts the values; percentiles lie on the line between the two nearest, as NumPy's. All zero without values. */
Summary summarize(double* values, int count);

/* A list of times that grows. */
typedef struct {
  double* us;
  int count;
  int capacity;
  double total;
} Times;

bool times_add(Times* times, double us, Failure* failure);
/* Empties the list but keeps its memory. */
void times_clear(Times* times);
void times_free(Times* times);

/* A clock that only runs forward, in microseconds. */
double now_us(void);

#endif
