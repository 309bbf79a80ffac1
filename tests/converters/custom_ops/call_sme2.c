/* Computes a layer by the SME2 kernels as a caller does that relies on the calling convention of AArch64 (AAPCS64): it
 * keeps values in the vectors that are its own, and sums in ZA, whose place in memory TPIDR2_EL0 points at. Ends with a
 * sentence about everything that is as it must be. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../converters/custom_ops/include/tfconformer_ops.h"

#define TARGET __attribute__((target("arch=armv8.2-a+sme")))

enum { ROWS = 64, K = 128, N = 64, LONGEST = 64 /* bytes of a vector */, CALLERS_VECTORS = 8 };

static float y[2][ROWS * N];

static void compute(const char* kernel, float* result) {
  const int32_t attributes[TFC_FULLY_CONNECTED_ATTRIBUTES] = {3, 2, 1, 0, K, N, 8, 0, 0, 0, 0, 0};
  static uint8_t codes[K * N / 4];
  static uint16_t scales[N];
  static float x[ROWS * K];
  for (size_t i = 0; i < sizeof codes; ++i) codes[i] = (uint8_t)(i * 37);
  for (int i = 0; i < N; ++i) scales[i] = 0x3C00; /* 1 */
  for (int i = 0; i < ROWS * K; ++i) x[i] = (float)(i % 251 - 125);
  const tfc_fully_connected_weights weights = {codes, NULL, scales, NULL, NULL};
  char message[TFC_MESSAGE_SIZE];
  if (tfc_fully_connected(kernel, attributes, &weights, ROWS, x, result, message)) {
    fprintf(stderr, "%s\n", message);
    exit(1);
  }
}

static void compute_by_sme2(void) { compute("sme2", y[1]); }

/* Calls a function with numbers in d8 to d15, and stores what is in them afterwards. */
__attribute__((naked)) static void call_with_vectors(void (*function)(void), double* vectors) {
  __asm__(
      "stp x29, x30, [sp, #-96]!\n"
      "str x19, [sp, #16]\n"
      "stp d8, d9, [sp, #32]\n"
      "stp d10, d11, [sp, #48]\n"
      "stp d12, d13, [sp, #64]\n"
      "stp d14, d15, [sp, #80]\n"
      "mov x19, x1\n"
      "fmov d8, #1.0\n"
      "fmov d9, #2.0\n"
      "fmov d10, #3.0\n"
      "fmov d11, #4.0\n"
      "fmov d12, #5.0\n"
      "fmov d13, #6.0\n"
      "fmov d14, #7.0\n"
      "fmov d15, #8.0\n"
      "blr x0\n"
      "stp d8, d9, [x19]\n"
      "stp d10, d11, [x19, #16]\n"
      "stp d12, d13, [x19, #32]\n"
      "stp d14, d15, [x19, #48]\n"
      "ldp d8, d9, [sp, #32]\n"
      "ldp d10, d11, [sp, #48]\n"
      "ldp d12, d13, [sp, #64]\n"
      "ldp d14, d15, [sp, #80]\n"
      "ldr x19, [sp, #16]\n"
      "ldp x29, x30, [sp], #96\n"
      "ret\n");
}

/* Bit 0: streaming mode; bit 1: ZA is on. */
TARGET static uint64_t streaming_state(void) {
  uint64_t state;
  __asm__ volatile("mrs %0, SVCR" : "=r"(state));
  return state;
}

TARGET static void load_za(const uint8_t* rows, int64_t bytes) {
  __asm__ volatile(
      "smstart za\n"
      "mov w12, #0\n"
      "1: ldr za[w12, 0], [%0]\n"
      "add %0, %0, %1\n"
      "add w12, w12, #1\n"
      "cmp w12, %w1\n"
      "b.ne 1b\n"
      : "+r"(rows)
      : "r"(bytes)
      : "w12", "cc", "memory");
}

typedef struct {
  void* place;
  uint16_t rows;
  uint8_t reserved[6];
} SaveArea;

static void check(int is_right, const char* what) {
  if (is_right) return;
  fprintf(stderr, "not so: %s\n", what);
  exit(1);
}

TARGET int main(void) {
  compute("portable", y[0]);
  double vectors[CALLERS_VECTORS];
  call_with_vectors(compute_by_sme2, vectors);
  check(memcmp(y[0], y[1], sizeof y[0]) == 0, "equal results");
  for (int i = 0; i < CALLERS_VECTORS; ++i) check(vectors[i] == i + 1, "vectors kept");
  check(streaming_state() == 0, "ZA off");

  static uint8_t rows[LONGEST * LONGEST], stored[LONGEST * LONGEST];
  int64_t bytes; /* of a row, and number of rows */
  __asm__ volatile("rdsvl %0, #1" : "=r"(bytes));
  for (int i = 0; i < LONGEST * LONGEST; ++i) rows[i] = (uint8_t)(i * i / 7 + 1);
  SaveArea area = {.place = stored, .rows = (uint16_t)bytes}, *found;
  load_za(rows, bytes);
  __asm__ volatile("msr TPIDR2_EL0, %0" ::"r"(&area) : "memory");
  compute_by_sme2();
  __asm__ volatile("mrs %0, TPIDR2_EL0" : "=r"(found)::"memory");
  check(memcmp(y[0], y[1], sizeof y[0]) == 0, "equal results from a caller with sums in ZA");
  check(found == NULL && memcmp(rows, stored, (size_t)(bytes * bytes)) == 0, "ZA stored");
  check(streaming_state() == 0, "ZA off after it was stored");
  puts("equal results, vectors kept, ZA stored, ZA off");
  return 0;
}
