/* 64-bit Arm with products of matrices of signed bytes (from Armv8.6, as Cortex-X2): two rows of x times two channels,
 * eight codes long, in one instruction. One row alone, and sparse weights, use dot products. */
#if defined(__aarch64__)

#define TARGET __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#define DENSE_PRODUCT matrix_product

#include <sys/auxv.h>

#include "arm_dot_products.h"

#include "arm_integer.h"

enum { ROW_PAIRS = INTEGER_ROWS / 2, CHANNEL_PAIRS = TILE / 2 };

/* Sums of two rows and two channels: [row 0 channel 0, row 0 channel 1, row 1 channel 0, row 1 channel 1]. */
typedef int32x4_t PairSums[ROW_PAIRS][CHANNEL_PAIRS];

KERNEL_INLINE int8x16_t zip_low(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

KERNEL_INLINE int8x16_t zip_high(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

/* Adds two quads that follow each other; `second` is zero where there is only one. */
KERNEL_INLINE void add_quads(const int8x16_t first[QUARTERS], const int8x16_t second[QUARTERS], const int8_t* windows,
                             bool both, const int rows, PairSums sum) {
  int8x16_t x[ROW_PAIRS];
  if (rows == 2) {
    const int8x8_t low = vld1_s8(windows), high = both ? vld1_s8(windows + rows * GROUP) : vdup_n_s8(0);
    x[0] = zip_low(vcombine_s8(low, low), vcombine_s8(high, high));
  } else {
    const int8x16_t low = vld1q_s8(windows), high = both ? vld1q_s8(windows + rows * GROUP) : vdupq_n_s8(0);
    x[0] = zip_low(low, high);
    x[1] = zip_high(low, high);
  }
  for (int v = 0; v < QUARTERS; ++v) {
    const int8x16_t low = zip_low(first[v], second[v]), high = zip_high(first[v], second[v]);
    for (int p = 0; p < rows / 2; ++p) {
      sum[p][2 * v] = vmmlaq_s32(sum[p][2 * v], x[p], low);
      sum[p][2 * v + 1] = vmmlaq_s32(sum[p][2 * v + 1], x[p], high);
    }
  }
}

KERNEL_INLINE void load_weights(const uint8_t* cell, int index, const int bits, int8x16_t codes[QUARTERS]) {
  for (int v = 0; v < QUARTERS; ++v) codes[v] = weights(vld1q_u8(cell + v * 16), index, bits);
}

KERNEL_INLINE void add_pair_sums(PairSums pairs, const int rows, Sums sum) {
  for (int p = 0; p < rows / 2; ++p) {
    for (int v = 0; v < QUARTERS; ++v) {
      const int64x2_t low = vreinterpretq_s64_s32(pairs[p][2 * v]), high = vreinterpretq_s64_s32(pairs[p][2 * v + 1]);
      sum[2 * p][v] = vaddq_s32(sum[2 * p][v], vreinterpretq_s32_s64(vzip1q_s64(low, high)));
      sum[2 * p + 1][v] = vaddq_s32(sum[2 * p + 1][v], vreinterpretq_s32_s64(vzip2q_s64(low, high)));
    }
  }
}

KERNEL_INLINE void matrix_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                  const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  if (rows == 1) {
    dense_product(attributes, tile, x, bits, rows, totals);
    return;
  }
  const int fields = 8 / bits;
  const uint8_t* cell = tile->codes;
  const int8_t* windows = x->windows;
  clear(totals, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int32_t* code_sums = x->code_sums + b * rows;
    Sums sum;
    PairSums pairs;
    start_sums(code_sums, bits, rows, sum);
    for (int p = 0; p < rows / 2; ++p) {
      for (int c = 0; c < CHANNEL_PAIRS; ++c) pairs[p][c] = vdupq_n_s32(0);
    }
    const int64_t quads = block_quads(stored_codes(attributes, b), bits);
    for (int64_t quad = 0; quad < quads; quad += 2, windows += 2 * rows * GROUP) {
      int8x16_t first[QUARTERS], second[QUARTERS] = {vdupq_n_s8(0), vdupq_n_s8(0), vdupq_n_s8(0), vdupq_n_s8(0)};
      const bool both = quad + 1 < quads;
      load_weights(cell + quad / fields * CELL, (int)(quad % fields), bits, first);
      if (both) load_weights(cell + (quad + 1) / fields * CELL, (int)((quad + 1) % fields), bits, second);
      add_quads(first, second, windows, both, rows, pairs);
    }
    if (quads % 2 != 0) windows -= rows * GROUP;
    cell += quads / fields * CELL;
    add_pair_sums(pairs, rows, sum);
    add_dense_block(tile, b, sum, code_sums, rows, totals);
  }
}

static bool is_available(void) {
  enum { HAS_DOT_PRODUCTS = 1 << 20, HAS_MATRIX_PRODUCTS = 1 << 13 }; /* HWCAP_ASIMDDP, HWCAP2_I8MM of the kernel */
  return (getauxval(AT_HWCAP) & HAS_DOT_PRODUCTS) != 0 && (getauxval(AT_HWCAP2) & HAS_MATRIX_PRODUCTS) != 0;
}

const Kernel arm_i8mm_kernel = {
    .name = "neon_i8mm",
    .is_available = is_available,
    .integer_rows = INTEGER_ROWS,
    .float_rows = 4,
    .integer_product = integer_product,
    .float_product = arm_float_product,
    .quantize_rows = arm_quantize_rows,
    .finish_rows = arm_finish_rows,
    .convolve_frames = arm_convolve_frames,
    .normalize_rows = arm_normalize_rows,
    .multiply_matrix = arm_multiply_matrix,
    .exponentiate_scores = arm_exponentiate_scores,
};

#else
typedef int NothingForThisProcessor; /* an empty translation unit is not C */
#endif
