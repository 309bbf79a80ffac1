/* The two functions that arm_qd8_gemm.h needs, where there are dot products. */
#ifndef TFC_KERNELS_ARM_DOT_PRODUCTS_H_
#define TFC_KERNELS_ARM_DOT_PRODUCTS_H_

#include <arm_neon.h>

static inline __attribute__((always_inline)) TARGET int32x4_t multiply_add(int32x4_t acc, int8x16_t a, int8x16_t b) {
  return vdotq_s32(acc, a, b);
}

static inline __attribute__((always_inline)) TARGET int32x4_t multiply_add_lane(int32x4_t acc, int8x16_t a, int8x16_t b,
                                                                                int lane) {
  if (lane == 0) return vdotq_laneq_s32(acc, a, b, 0);
  if (lane == 1) return vdotq_laneq_s32(acc, a, b, 1);
  if (lane == 2) return vdotq_laneq_s32(acc, a, b, 2);
  return vdotq_laneq_s32(acc, a, b, 3);
}

#endif
