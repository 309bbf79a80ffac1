/* What the kernels of 64-bit Arm have in common. A cell is four registers of four channels each. */
#ifndef TFCONFORMER_KERNELS_ARM_H_
#define TFCONFORMER_KERNELS_ARM_H_

#include <arm_neon.h>

#include "loops.h"

enum { QUARTERS = 4 };

/* Loops over registers, which must have names known to the compiler. */
#define UNROLL _Pragma("GCC unroll 16")
#define ONE_BY_ONE _Pragma("GCC unroll 1")

/* Compiled once, in arm_neon.c: other instruction sets add nothing to them. */
extern FloatProduct arm_float_product;
extern QuantizeRows arm_quantize_rows;
extern FinishRows arm_finish_rows;
extern ConvolveFrames arm_convolve_frames;
extern NormalizeRows arm_normalize_rows;
extern MultiplyMatrix arm_multiply_matrix;
extern ExponentiateScores arm_exponentiate_scores;

INLINE float32x4_t load_halves(const uint16_t* halves) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves)));
}

/* totals[m] += scale * sums[m] of one block. The totals stay in memory, so that all registers are free for sums. */
INLINE void add_scaled(const WeightTile* tile, int64_t block, float32x4_t (*sums)[QUARTERS], const int rows,
                       float (*totals)[TILE]) {
  UNROLL for (int v = 0; v < QUARTERS; ++v) {
    const float32x4_t scales = load_halves(tile->scales + block * TILE + v * 4);
    UNROLL for (int m = 0; m < rows; ++m) {
      float* total = totals[m] + v * 4;
      vst1q_f32(total, vfmaq_f32(vld1q_f32(total), scales, sums[m][v]));
    }
  }
}

/* totals[m] -= offset * x_sums[m] of one block of an asymmetric layer. */
INLINE void subtract_offsets(const WeightTile* tile, int64_t block, float32x4_t (*x_sums)[QUARTERS], const int rows,
                             float (*totals)[TILE]) {
  UNROLL for (int v = 0; v < QUARTERS; ++v) {
    const float32x4_t offsets = load_halves(tile->offsets + block * TILE + v * 4);
    UNROLL for (int m = 0; m < rows; ++m) {
      float* total = totals[m] + v * 4;
      vst1q_f32(total, vfmsq_f32(vld1q_f32(total), offsets, x_sums[m][v]));
    }
  }
}

INLINE void clear(float (*totals)[TILE], int count) { memset(totals, 0, (size_t)count * sizeof totals[0]); }

/* Field `index` of every byte. */
INLINE uint8x16_t field(uint8x16_t quarter, int index, const int bits) {
  const uint8x16_t shifted = quarter >> (index * bits);
  return (index + 1) * bits == 8 ? shifted : vandq_u8(shifted, vdupq_n_u8((uint8_t)((1 << bits) - 1)));
}

#endif
