#include "statistics.h"

#include <stdlib.h>
#include <time.h>

double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
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
