/* Times of many runs, summed up. */
#ifndef TFCONFORMER_BENCH_STATISTICS_H_
#define TFCONFORMER_BENCH_STATISTICS_H_

#include <stdint.h>

typedef struct {
  int count;
  double min, mean, p50, p90, p99, max;
} Summary;

/* Sorts the values; percentiles lie on the line between the two nearest, as NumPy's. All zero without values. */
Summary summarize(double* values, int count);

/* A clock that only runs forward, in microseconds. */
double now_us(void);

#endif
