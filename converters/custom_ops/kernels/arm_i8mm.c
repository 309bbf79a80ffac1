/* 64-bit Arm with matrix products of signed bytes (from Armv8.6, as Cortex-X2): two rows of x times two channels, eight
 * values of k long, in one instruction. A single row, and sparse weights, use dot products. */
#include "kernel.h"

#if defined(__aarch64__)

#define TARGET __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#define QD8_DENSE qd8_dense_i8mm

#include <sys/auxv.h>

#include "arm_dot_products.h"

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

/* Multiplies two k groups that follow each other; `second` is zero where there is only one. */
KERNEL_INLINE void add_groups(const int8x16_t first[QUARTERS], const int8x16_t second[QUARTERS], const int8_t* x,
                              bool both, const int mr, tfc_pair_acc acc) {
  int8x16_t rows[ROW_PAIRS];
  if (mr == 2) {
    const int8x8_t low = vld1_s8(x), high = both ? vld1_s8(x + mr * TFC_KR) : vdup_n_s8(0);
    rows[0] = zip_low(vcombine_s8(low, low), vcombine_s8(high, high));
  } else {
    const int8x16_t low = vld1q_s8(x), high = both ? vld1q_s8(x + mr * TFC_KR) : vdupq_n_s8(0);
    rows[0] = zip_low(low, high);
    rows[1] = zip_high(low, high);
  }
  for (int v = 0; v < QUARTERS; ++v) {
    const int8x16_t low = zip_low(first[v], second[v]), high = zip_high(first[v], second[v]);
    for (int p = 0; p < mr / 2; ++p) {
      acc[p][2 * v] = vmmlaq_s32(acc[p][2 * v], rows[p], low);
      acc[p][2 * v + 1] = vmmlaq_s32(acc[p][2 * v + 1], rows[p], high);
    }
  }
}

KERNEL_INLINE void load_weights(const uint8_t* word, int index, const int bits, int8x16_t q[QUARTERS]) {
  for (int v = 0; v < QUARTERS; ++v) q[v] = weights(vld1q_u8(word + v * 16), index, bits);
}

KERNEL_INLINE void add_pairs(tfc_pair_acc pairs, const int mr, tfc_qd8_acc acc) {
  for (int p = 0; p < mr / 2; ++p) {
    for (int v = 0; v < QUARTERS; ++v) {
      const int64x2_t low = vreinterpretq_s64_s32(pairs[p][2 * v]), high = vreinterpretq_s64_s32(pairs[p][2 * v + 1]);
      acc[2 * p][v] = vaddq_s32(acc[2 * p][v], vreinterpretq_s32_s64(vzip1q_s64(low, high)));
      acc[2 * p + 1][v] = vaddq_s32(acc[2 * p + 1][v], vreinterpretq_s32_s64(vzip2q_s64(low, high)));
    }
  }
}

KERNEL_INLINE void qd8_dense_i8mm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                                  const tfc_qd8_lhs* lhs, const int bits, const int mr, float (*acc)[TFC_NR]) {
  if (mr == 1) {
    qd8_dense(attributes, panel, lhs, bits, mr, acc);
    return;
  }
  const int fields = 8 / bits;
  const uint8_t* word = panel->codes;
  const int8_t* x = lhs->values;
  clear(acc, mr);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int32_t* row_sums = lhs->row_sums + b * mr;
    tfc_qd8_acc block_acc;
    tfc_pair_acc pairs;
    start_block(row_sums, bits, mr, block_acc);
    for (int p = 0; p < mr / 2; ++p) {
      for (int c = 0; c < CHANNEL_PAIRS; ++c) pairs[p][c] = vdupq_n_s32(0);
    }
    const int64_t groups = tfc_block_groups(tfc_stored_weights(attributes, b), bits);
    for (int64_t g = 0; g < groups; g += 2, x += 2 * mr * TFC_KR) {
      int8x16_t first[QUARTERS], second[QUARTERS] = {vdupq_n_s8(0), vdupq_n_s8(0), vdupq_n_s8(0), vdupq_n_s8(0)};
      const bool both = g + 1 < groups;
      load_weights(word + g / fields * TFC_PANEL_WORD, (int)(g % fields), bits, first);
      if (both) load_weights(word + (g + 1) / fields * TFC_PANEL_WORD, (int)((g + 1) % fields), bits, second);
      add_groups(first, second, x, both, mr, pairs);
    }
    if (groups % 2 != 0) x -= mr * TFC_KR;
    word += groups / fields * TFC_PANEL_WORD;
    add_pairs(pairs, mr, block_acc);
    add_dense_block(panel, b, block_acc, row_sums, mr, acc);
  }
}

static bool is_available(void) {
  /* HWCAP_ASIMDDP and HWCAP2_I8MM of the Linux kernel's interface. */
  enum { HAS_DOT_PRODUCTS = 1 << 20, HAS_MATRIX_PRODUCTS = 1 << 13 };
  return (getauxval(AT_HWCAP) & HAS_DOT_PRODUCTS) != 0 && (getauxval(AT_HWCAP2) & HAS_MATRIX_PRODUCTS) != 0;
}

TFC_DEFINE_QD8_GEMM(neoni8mm, 4, MAX_BLOCK_GROUPS, tfc_qd8_pack_lhs__neon, tfc_epilogue__neon)
TFC_KERNEL_SET(neoni8mm, neon, "neon_i8mm")

#endif
