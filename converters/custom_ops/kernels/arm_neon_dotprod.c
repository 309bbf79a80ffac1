/* 64-bit Arm with dot products of signed bytes (from Armv8.2, as Cortex-A76). */
#include "kernel.h"

#if defined(__aarch64__)

#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define QD8_MR 8

#include <sys/auxv.h>

#include "arm_dot_products.h"

#include "arm_qd8_gemm.h"

/* ---- Many rows ---- */

/* Of fewer rows the weights are multiplied as they are packed. From here on unpacking and multiplying takes no more
 * instructions than that (docs/results/benchmarks.md), and fewer of arithmetic. */
enum { MIN_ROWS = 32 };

/* In order: group 0 quarter 0, group 0 quarter 1, group 1 quarter 0, group 1 quarter 1. */
KERNEL_INLINE void store_pair(const int8x16_t* first, const int8x16_t* second, int8_t* target) {
  vst1q_s8(target, first[0]);
  vst1q_s8(target + 16, first[1]);
  vst1q_s8(target + 32, second[0]);
  vst1q_s8(target + 48, second[1]);
}

/* A k group of x, [TILE_ROWS, TFC_KR], and of half of a panel. */
typedef struct {
  int8x16_t rows[TILE_ROWS / 4], quarters[2];
} tfc_group;

KERNEL_INLINE void load_rows(const int8_t* x, const int mr, tfc_group* group) {
  UNROLL for (int i = 0; i < mr / 4; ++i) group->rows[i] = vld1q_s8(x + i * 16);
}

KERNEL_INLINE void load_quarters(const int8_t* weights, tfc_group* group) {
  UNROLL for (int v = 0; v < 2; ++v) group->quarters[v] = vld1q_s8(weights + v * 16);
}

KERNEL_INLINE void multiply_quarter(const tfc_group* group, const int v, const int mr, int32x4_t* tile) {
  UNROLL for (int m = 0; m < mr; ++m) {
    tile[2 * m + v] = multiply_add_lane(tile[2 * m + v], group->quarters[v], group->rows[m / 4], m % 4);
  }
}

#if defined(__clang__)

/* Nothing moves across it of the products, of what is loaded from `from` on, and of two registers. */
KERNEL_INLINE void keep_order(const int8_t** from, int8x16_t* registers, const int mr, int32x4_t* tile) {
  UNROLL for (int i = 0; i < 2 * mr; i += 4) {
    __asm__ volatile(""
                     : "+w"(tile[i]), "+w"(tile[i + 1]), "+w"(tile[i + 2]), "+w"(tile[i + 3]), "+r"(*from),
                       "+w"(registers[0]), "+w"(registers[1]));
  }
}

/* Multiplies `count` k groups, each while the next one is loaded, half of it at a time: cores that execute in order
 * wait for loads that are used at once, that follow each other, or that move an address. `next` is the first group, and
 * then the one after the last. tile[2 * m + v] are the sums of row m and quarter v. */
KERNEL_INLINE void add_groups(const int8_t** weights, const int8_t** x, const int count, const int mr, tfc_group* next,
                              int32x4_t* tile) {
  UNROLL for (int i = 1; i <= count; ++i) {
    const tfc_group group = *next;
    load_rows(*x + i * TILE_ROWS * TFC_KR, mr, next);
    keep_order(weights, next->rows, mr, tile);
    multiply_quarter(&group, 0, mr, tile);
    keep_order(weights, next->rows, mr, tile);
    load_quarters(*weights + i * 32, next);
    keep_order(x, next->quarters, mr, tile);
    multiply_quarter(&group, 1, mr, tile);
    keep_order(x, next->quarters, mr, tile);
  }
  *weights += count * 32;
  *x += count * TILE_ROWS * TFC_KR;
}

KERNEL_INLINE void add_pairs(const int8_t* weights, const int8_t* x, int64_t pairs, const int mr, int32x4_t* tile) {
  tfc_group next = {0};
  load_rows(x, mr, &next);
  load_quarters(weights, &next);
  DO_NOT_UNROLL for (; pairs >= 2; pairs -= 2) add_groups(&weights, &x, 4, mr, &next, tile);
  if (pairs > 0) add_groups(&weights, &x, 2, mr, &next, tile);
}

#else /* gcc would move registers for that */

KERNEL_INLINE void add_pairs(const int8_t* weights, const int8_t* x, int64_t pairs, const int mr, int32x4_t* tile) {
  DO_NOT_UNROLL for (int64_t g = 0; g < 2 * pairs; ++g, weights += 32, x += TILE_ROWS * TFC_KR) {
    tfc_group group;
    load_rows(x, mr, &group);
    load_quarters(weights, &group);
    multiply_quarter(&group, 0, mr, tile);
    multiply_quarter(&group, 1, mr, tile);
  }
}

#endif

KERNEL_INLINE void tile_rows(const int32x4_t* tile, const int mr, tfc_qd8_acc rows) {
  UNROLL for (int m = 0; m < mr; ++m) { UNROLL for (int v = 0; v < 2; ++v) rows[m][v] = tile[2 * m + v]; }
}

#include "arm_many_rows.h"

static void tfc_qd8_pack_strips__neondot(const tfc_fully_connected_attributes* attributes, const float* x,
                                         tfc_qd8_lhs* lhs, float* scales) {
  tfc_pack_strips__neon(attributes, x, TILE_ROWS, TFC_KR, NULL, lhs, scales);
}

/* ---- Tables ---- */

static bool is_available(void) {
  enum { HAS_DOT_PRODUCTS = 1 << 20 }; /* HWCAP_ASIMDDP of the Linux kernel's interface */
  return (getauxval(AT_HWCAP) & HAS_DOT_PRODUCTS) != 0;
}

TFC_DEFINE_QD8_GEMM(neondot, 8, MAX_BLOCK_GROUPS, tfc_qd8_pack_lhs__neon, tfc_epilogue__neon)
TFC_DEFINE_QD8_MANY_ROWS_GEMM(neondot, TFC_EACH_MANY_ROWS_KERNEL, 128, MIN_ROWS, MAX_BLOCK_GROUPS,
                              tfc_qd8_pack_strips__neondot, tfc_epilogue__neon)
TFC_KERNEL_SET(neondot, neon, "neon_dotprod", &tfc_qd8_many_rows_gemm__neondot)

#endif
