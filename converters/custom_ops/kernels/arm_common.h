/* The common parts of the kernels of 64-bit Arm. A panel word is four registers of four channels each. */
#ifndef TFC_KERNELS_ARM_COMMON_H_
#define TFC_KERNELS_ARM_COMMON_H_

#include <arm_neon.h>

#include "gemm_kernels.h"

enum { QUARTERS = 4 }; /* registers of a panel word */

/* Loops over registers are unrolled, since registers cannot be indexed. */
#define UNROLL _Pragma("GCC unroll 16")
#define DO_NOT_UNROLL _Pragma("GCC unroll 1")

/* Compiled once, in arm_neon.c: later instruction sets add nothing to them. */
extern tfc_qd8_pack_lhs_function tfc_qd8_pack_lhs__neon, tfc_qd8_pack_lhs__neoni8mm;
/* Interleaves strips of `strip_rows` rows in pieces of `length` values, 4 or 8: a strip is [pieces of a row,
 * strip_rows, length] and begins at its first row's place. Number i of sixteen values of a block is number order[i] of
 * x. */
void tfc_pack_strips__neon(const tfc_fully_connected_attributes* attributes, const float* x, int strip_rows, int length,
                           const uint8_t order[16], tfc_qd8_lhs* lhs, float* scales);
extern tfc_epilogue_function tfc_epilogue__neon;
extern const tfc_kernel_set tfc_kernels__neoni8mm;
extern const tfc_qd8_gemm_kernels tfc_qd8_gemm__neoni8mm;
extern const tfc_f32_gemm_kernels tfc_f32_gemm__neon;
extern tfc_f32_dwconv_function tfc_f32_dwconv__neon;
extern tfc_f32_layer_norm_function tfc_f32_layer_norm__neon;
extern const tfc_attention_kernels tfc_attention__neon;

TFC_INLINE float32x4_t load_halves(const uint16_t* halves) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves)));
}

/* acc[m] += factor * half * values[m], `factor` a power of two. The accumulators over blocks stay in memory, so that
 * all registers are free for those of a block. Loads stand before the arithmetic and stores, for cores that execute in
 * order. */
TFC_INLINE void add_products(const uint16_t* halves, const float factor, float32x4_t (*values)[QUARTERS],
                             const int quarters, const int mr, float (*acc)[TFC_NR]) {
  float32x4_t factors[QUARTERS];
  UNROLL for (int v = 0; v < quarters; ++v) factors[v] = vmulq_n_f32(load_halves(halves + v * 4), factor);
  UNROLL for (int m = 0; m < mr; ++m) {
    float32x4_t sums[QUARTERS];
    UNROLL for (int v = 0; v < quarters; ++v) sums[v] = vld1q_f32(acc[m] + v * 4);
    UNROLL for (int v = 0; v < quarters; ++v) sums[v] = vfmaq_f32(sums[v], factors[v], values[m][v]);
    UNROLL for (int v = 0; v < quarters; ++v) vst1q_f32(acc[m] + v * 4, sums[v]);
  }
}

/* acc[m] += scale * block_acc[m] of one block. */
TFC_INLINE void add_scaled(const tfc_weight_panel* panel, int64_t block, float32x4_t (*block_acc)[QUARTERS],
                           const int quarters, const int mr, float (*acc)[TFC_NR]) {
  add_products(panel->scales + block * TFC_NR, 1.0f, block_acc, quarters, mr, acc);
}

/* acc[m] -= zero_point * row_sums[m] of one block of an asymmetric layer. */
TFC_INLINE void subtract_zero_points(const tfc_weight_panel* panel, int64_t block, float32x4_t (*row_sums)[QUARTERS],
                                     const int quarters, const int mr, float (*acc)[TFC_NR]) {
  add_products(panel->zero_points + block * TFC_NR, -panel->zero_point_factor, row_sums, quarters, mr, acc);
}

TFC_INLINE void clear(float (*acc)[TFC_NR], const int quarters, int count) {
  for (int i = 0; i < count; ++i) memset(acc[i], 0, (size_t)quarters * sizeof(float32x4_t));
}

/* A quarter of word `index` of the fields of a unit, whose quarter of the first word `unit` points at: the panel word
 * itself or, of 3 bits, of two of its words; the highest bits of fields are anything then. */
TFC_INLINE uint8x16_t load_fields(const uint8_t* unit, int index, const int bits) {
  if (bits != 3) return vld1q_u8(unit);
  const uint8x16_t low = vld1q_u8(unit + index / 2 * TFC_PANEL_WORD) >> (index % 2 * 2);
  const uint8x16_t highs = vld1q_u8(unit + 2 * TFC_PANEL_WORD);
  return vbslq_u8(vdupq_n_u8(0x33), low, index < 2 ? highs << (2 - index) : highs >> (index - 2));
}

/* Bit field `index` of every byte. */
TFC_INLINE uint8x16_t field(uint8x16_t quarter, int index, const int bits) {
  const uint8x16_t shifted = quarter >> (index * tfc_field_bits(bits));
  return (index + 1) * bits == 8 ? shifted : vandq_u8(shifted, vdupq_n_u8((uint8_t)((1 << bits) - 1)));
}

#endif
