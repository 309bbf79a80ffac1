/* What the kernels of 64-bit Arm have in common. A cell is four registers of four channels each. */
#ifndef TFCONFORMER_KERNELS_ARM_H_
#define TFCONFORMER_KERNELS_ARM_H_

#include <arm_neon.h>

#include "loops.h"

enum { QUARTERS = 4 };

/* Compiled once, in arm_neon.c: other instruction sets add nothing to them. */
extern FloatProduct arm_float_product;
extern QuantizeRow arm_quantize_row;
extern FinishRows arm_finish_rows;

INLINE float32x4_t load_halves(const uint16_t* halves) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves)));
}

/* totals[m][v] += scale * sums[m][v] - offset * x_sums[m][v] of one block. */
INLINE void add_block(const WeightTile* tile, int64_t block, float32x4_t (*sums)[QUARTERS],
                      float32x4_t (*x_sums)[QUARTERS], const int rows, float32x4_t (*totals)[QUARTERS]) {
  for (int v = 0; v < QUARTERS; ++v) {
    const int64_t at = block * TILE + v * 4;
    const float32x4_t scales = load_halves(tile->scales + at);
    for (int m = 0; m < rows; ++m) totals[m][v] = vfmaq_f32(totals[m][v], scales, sums[m][v]);
    if (tile->offsets == NULL) continue;
    const float32x4_t offsets = load_halves(tile->offsets + at);
    for (int m = 0; m < rows; ++m) totals[m][v] = vfmsq_f32(totals[m][v], offsets, x_sums[m][v]);
  }
}

INLINE void clear(float32x4_t (*values)[QUARTERS], const int count) {
  for (int s = 0; s < count; ++s) {
    for (int v = 0; v < QUARTERS; ++v) values[s][v] = vdupq_n_f32(0.0f);
  }
}

INLINE void store_totals(float32x4_t (*total)[QUARTERS], const int count, float (*totals)[TILE]) {
  for (int s = 0; s < count; ++s) {
    for (int v = 0; v < QUARTERS; ++v) vst1q_f32(totals[s] + v * 4, total[s][v]);
  }
}

/* Field `index` of every byte. */
INLINE uint8x16_t field(uint8x16_t quarter, int index, const int bits) {
  const uint8x16_t shifted = vshlq_u8(quarter, vdupq_n_s8((int8_t)(-index * bits)));
  return (index + 1) * bits == 8 ? shifted : vandq_u8(shifted, vdupq_n_u8((uint8_t)((1 << bits) - 1)));
}

#endif
