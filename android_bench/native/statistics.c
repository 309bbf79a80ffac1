#include "statistics.h"

#include <stdlib.h>
#include <time.h>

double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

bool times_add(Times* times, double us, Failure* failure) {
  if (times->count == times->capacity) {
    const int capacity = 2 * times->capacity + 16;
    double* grown = realloc(times->us, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return fail(failure, RUN_FAILED, "no memory for times");
    times->us = grown;
    times->capacity = capacity;
  }
  times->us[times->count++] = us;
  times->total += us;
  return true;
}

void times_clear(Times* times) {
  times->count = 0;
  times->total = 0;
}

void times_free(Times* times) {
  free(times->us);
  *times = (Times){0};
}

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double percentile(const double* sorted, int count, double fraction) {
  const double place = fraction * (count - 1);
  const int below = (int)place;
  const int above = below + 1 < count ? below + 1 : below;
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

Summary summarize(double* values, int count) {
  if (count == 0) return (Summary){0};
  qsort(values, (size_t)count, sizeof values[0], compare);
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += values[i];
  return (Summary){
      .count = count,
      .min = values[0],
      .mean = sum / count,
      .p50 = percentile(values, count, 0.50),
      .p90 = percentile(values, count, 0.90),
      .p99 = percentile(values, count, 0.99),
      .max = values[count - 1],
  };
}
