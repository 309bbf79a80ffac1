/* 64-bit Arm with matrix products of signed bytes (from Armv8.6, as Cortex-X2): two rows of x times two channels, eight
 * values of k long, in one instruction. A single row, and sparse weights, use dot products. */
#include "kernel.h"

#if defined(__aarch64__)

#define TARGET __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#define QD8_MR 8
#define QD8_DENSE qd8_dense_i8mm
#define QD8_UNSIGNED

#include <sys/auxv.h>

#include "arm_dot_products.h"

static inline __attribute__((always_inline)) TARGET int32x4_t multiply_add_lane_unsigned(int32x4_t acc, uint8x16_t a,
                                                                                         int8x16_t b, int lane) {
  if (lane == 0) return vusdotq_laneq_s32(acc, a, b, 0);
  if (lane == 1) return vusdotq_laneq_s32(acc, a, b, 1);
  if (lane == 2) return vusdotq_laneq_s32(acc, a, b, 2);
  return vusdotq_laneq_s32(acc, a, b, 3);
}

#include "arm_qd8_gemm.h"

enum { ROW_PAIRS = QD8_MR / 2, CHANNEL_PAIRS = TFC_NR / 2 };

/* Accumulators of two rows and two channels: [row 0 channel 0, row 0 channel 1, row 1 channel 0, row 1 channel 1]. */
typedef int32x4_t tfc_pair_acc[ROW_PAIRS][CHANNEL_PAIRS];

KERNEL_INLINE int8x16_t zip_low(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

KERNEL_INLINE int8x16_t zip_high(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

/* Multiplies two k groups that follow each other. */
KERNEL_INLINE void add_groups(const int8x16_t first[QUARTERS], const int8x16_t second[QUARTERS], const int8_t* x,
                              const int quarters, const int mr, tfc_pair_acc acc) {
  int8x16_t rows[ROW_PAIRS];
  UNROLL for (int p = 0; p < mr / 2; ++p) rows[p] = vld1q_s8(x + p * 16);
  UNROLL for (int v = 0; v < quarters; ++v) {
    const int8x16_t low = zip_low(first[v], second[v]), high = zip_high(first[v], second[v]);
    UNROLL for (int p = 0; p < mr / 2; ++p) {
      acc[p][2 * v] = vmmlaq_s32(acc[p][2 * v], rows[p], low);
      acc[p][2 * v + 1] = vmmlaq_s32(acc[p][2 * v + 1], rows[p], high);
    }
  }
}

/* Loads a k group of a unit. */
KERNEL_INLINE void load_weights(const uint8_t* unit, int group, const int bits, const int quarters,
                                int8x16_t q[QUARTERS]) {
  const int fields = 8 / tfc_field_bits(bits);
  UNROLL for (int v = 0; v < quarters; ++v) {
    q[v] = weights(load_fields(unit + v * 16, group / fields, bits), group % fields, bits);
  }
}

KERNEL_INLINE void add_pair_acc(tfc_pair_acc pairs, const int quarters, const int mr, tfc_qd8_acc acc) {
  UNROLL for (int p = 0; p < mr / 2; ++p) {
    UNROLL for (int v = 0; v < quarters; ++v) {
      const int64x2_t low = vreinterpretq_s64_s32(pairs[p][2 * v]), high = vreinterpretq_s64_s32(pairs[p][2 * v + 1]);
      acc[2 * p][v] = vaddq_s32(acc[2 * p][v], vreinterpretq_s32_s64(vzip1q_s64(low, high)));
      acc[2 * p + 1][v] = vaddq_s32(acc[2 * p + 1][v], vreinterpretq_s32_s64(vzip2q_s64(low, high)));
    }
  }
}

/* Every row of x has its values of two k groups side by side. */
KERNEL_INLINE void qd8_dense_i8mm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                                  const tfc_qd8_lhs* lhs, const int bits, const int quarters, const int mr,
                                  float (*acc)[TFC_NR]) {
  if (mr == 1) {
    qd8_dense(attributes, panel, lhs, bits, quarters, mr, acc);
    return;
  }
  enum { GROUPS = 2 }; /* of a matrix product */
  const int groups = tfc_unit_groups(bits), units_at_once = groups < GROUPS ? GROUPS : 1;
  const int unit_bytes = tfc_unit_words(bits) * TFC_PANEL_WORD, pair_bytes = mr * GROUPS * TFC_KR;
  const tfc_units block = block_units(attributes, bits);
  const int64_t blocks = attributes->blocks;
  const int32_t* row_sums = lhs->row_sums;
  const uint8_t* unit = panel->codes;
  const int8_t* x = lhs->values;
  clear(acc, quarters, mr);
  for (int64_t b = 0; b < blocks; ++b, row_sums += mr) {
    tfc_qd8_acc block_acc;
    tfc_pair_acc pairs;
    UNROLL for (int p = 0; p < mr / 2; ++p) {
      UNROLL for (int c = 0; c < 2 * quarters; ++c) pairs[p][c] = vdupq_n_s32(0);
    }
    int64_t units = b + 1 < blocks ? block.whole : block.last;
    for (; units >= units_at_once; units -= units_at_once, unit += units_at_once * unit_bytes) {
      UNROLL for (int g = 0; g < groups * units_at_once; g += GROUPS, x += pair_bytes) {
        int8x16_t first[QUARTERS], second[QUARTERS];
        load_weights(unit, g % groups, bits, quarters, first);
        load_weights(unit + (g + 1) / groups * unit_bytes, (g + 1) % groups, bits, quarters, second);
        add_groups(first, second, x, quarters, mr, pairs);
        load_barrier();
      }
    }
    if (units > 0) { /* a single word of 8 bits, the end of x */
      int8x16_t first[QUARTERS], second[QUARTERS];
      load_weights(unit, 0, bits, quarters, first);
      UNROLL for (int v = 0; v < quarters; ++v) second[v] = vdupq_n_s8(0);
      add_groups(first, second, x, quarters, mr, pairs);
    }
    start_block(row_sums, bits, false, quarters, mr, block_acc);
    add_pair_acc(pairs, quarters, mr, block_acc);
    add_dense_block(panel, b, block_acc, row_sums, quarters, mr, acc);
  }
}

/* ---- Many rows ---- */

/* Of fewer rows the weights are multiplied as they are packed. From here on modelled cycles of unpacking and
 * multiplying (docs/results/benchmarks.md) are no more than of that. */
enum { MIN_ROWS = 16 };

/* Two channels side by side, with eight weights of each. */
KERNEL_INLINE void store_pair(const int8x16_t* first, const int8x16_t* second, int8_t* target) {
  UNROLL for (int v = 0; v < 2; ++v) {
    vst1q_s8(target + v * 32, zip_low(first[v], second[v]));
    vst1q_s8(target + v * 32 + 16, zip_high(first[v], second[v]));
  }
}

/* x is [pair of k groups, TILE_ROWS, 2 * TFC_KR]; tile[4 * p + c] are the sums of the pairs p of rows and c of
 * channels. */
KERNEL_INLINE void add_pairs(const int8_t* weights, const int8_t* x, int64_t pairs, const int mr, int32x4_t* tile) {
  DO_NOT_UNROLL for (int64_t i = 0; i < pairs; ++i, weights += 64, x += TILE_ROWS * 2 * TFC_KR) {
    int8x16_t rows[TILE_ROWS / 2];
    UNROLL for (int p = 0; p < mr / 2; ++p) rows[p] = vld1q_s8(x + p * 16);
    UNROLL for (int c = 0; c < 4; ++c) {
      const int8x16_t channels = vld1q_s8(weights + c * 16);
      UNROLL for (int p = 0; p < mr / 2; ++p) tile[4 * p + c] = vmmlaq_s32(tile[4 * p + c], rows[p], channels);
    }
  }
}

KERNEL_INLINE void tile_rows(const int32x4_t* tile, const int mr, tfc_qd8_acc rows) {
  UNROLL for (int p = 0; p < mr / 2; ++p) {
    UNROLL for (int v = 0; v < 2; ++v) {
      const int64x2_t low = vreinterpretq_s64_s32(tile[4 * p + 2 * v]);
      const int64x2_t high = vreinterpretq_s64_s32(tile[4 * p + 2 * v + 1]);
      rows[2 * p][v] = vreinterpretq_s32_s64(vzip1q_s64(low, high));
      rows[2 * p + 1][v] = vreinterpretq_s32_s64(vzip2q_s64(low, high));
    }
  }
}

#include "arm_many_rows.h"

static void tfc_qd8_pack_strips__neoni8mm(const tfc_fully_connected_attributes* attributes, const float* x,
                                          tfc_qd8_lhs* lhs, float* scales) {
  tfc_pack_strips__neon(attributes, x, TILE_ROWS, 2 * TFC_KR, NULL, lhs, scales);
}

/* ---- Tables ---- */

static bool is_available(void) {
  /* HWCAP_ASIMDDP and HWCAP2_I8MM of the Linux kernel's interface. */
  enum { HAS_DOT_PRODUCTS = 1 << 20, HAS_MATRIX_PRODUCTS = 1 << 13 };
  return (getauxval(AT_HWCAP) & HAS_DOT_PRODUCTS) != 0 && (getauxval(AT_HWCAP2) & HAS_MATRIX_PRODUCTS) != 0;
}

TFC_DEFINE_QD8_GEMM(neoni8mm, 8, MAX_BLOCK_GROUPS, tfc_qd8_pack_lhs__neoni8mm, tfc_epilogue__neon)
TFC_DEFINE_QD8_MANY_ROWS_GEMM(neoni8mm, TFC_EACH_MANY_ROWS_KERNEL, 128, MIN_ROWS, MAX_BLOCK_GROUPS,
                              tfc_qd8_pack_strips__neoni8mm, tfc_epilogue__neon)
TFC_KERNEL_SET(neoni8mm, neon, "neon_i8mm", &tfc_qd8_many_rows_gemm__neoni8mm)

#endif
