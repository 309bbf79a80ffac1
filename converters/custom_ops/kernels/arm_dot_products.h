/* What the integer product of arm_integer.h is made of where there are dot products. */
#include <arm_neon.h>

static inline __attribute__((always_inline)) TARGET int32x4_t multiply_add(int32x4_t sum, int8x16_t a, int8x16_t b) {
  return vdotq_s32(sum, a, b);
}

static inline __attribute__((always_inline)) TARGET int32x4_t multiply_add_lane(int32x4_t sum, int8x16_t a, int8x16_t b,
                                                                               int lane) {
  if (lane == 0) return vdotq_laneq_s32(sum, a, b, 0);
  if (lane == 1) return vdotq_laneq_s32(sum, a, b, 1);
  if (lane == 2) return vdotq_laneq_s32(sum, a, b, 2);
  return vdotq_laneq_s32(sum, a, b, 3);
}
