/* The GEMM of many rows with int8 activations on 64-bit Arm: weights of any width, dense or 2:4 sparse, are unpacked to
 * bytes once for all rows of a call, and then multiplied as those of 8 bits.
 *
 * The loop nest, outermost first:
 *
 *   ops/fully_connected.c   rows of x    MR at a time: one call of a kernel
 *                           panels       TFC_MAX_NT at a time: a task of the threads
 *   qd8_many_rows_gemm      panels       one after the other
 *   multiply_panel          segments     of a block, up to SEGMENT k groups of x: unpacked once
 *   multiply_segment        rows         TILE_ROWS at a time, the last four or less of them as four
 *                           channels     two halves of the panel
 *   multiply_tile           pairs        of k groups
 *   add_dense_block         rows         acc += scale * sums - zero_point * row sum
 *
 * x is packed in strips of TILE_ROWS rows (`tfc_pack_strips__neon`). The including file includes arm_qd8_gemm.h and
 * defines before, for a tile of two registers of each row,
 *
 *   store_pair(first, second, target)
 *     writes PAIR_BYTES: the weights of two k groups and two quarters
 *   add_pairs(weights, x, pairs, mr, tile)
 *     adds their products with mr rows, 4 or 8; may load a k group too many
 *   tile_rows(tile, mr, rows)
 *     the sums of a tile: rows[m][v] of row m and quarter v */
#ifndef TFC_KERNELS_ARM_MANY_ROWS_H_
#define TFC_KERNELS_ARM_MANY_ROWS_H_

enum {
  MANY_ROWS_MR = 128, /* unpacking takes some 2 % of the instructions of so many */
  HALF = QUARTERS / 2,
  HALVES = 2,
  TILE_REGISTERS = TILE_ROWS * HALF,
  PAIR_BYTES = 2 * HALF * 16, /* of weights, two k groups of half of a panel */
  /* K groups of x that are unpacked at a time: 16 KB of weights. The sums of a longer block go through memory for
   * each, in as many instructions as a hundredth of its products. */
  SEGMENT = 256,
};

_Static_assert(MANY_ROWS_MR == 128, "the kernels are named after it");

/* ---- Unpacking of weights ---- */

/* The next weights of a panel, and the place in both halves that they are unpacked to. */
typedef struct {
  const uint8_t *unit, *indices;
  int8_t* target[HALVES];
} tfc_unpacking;

KERNEL_INLINE void unpack_pair(int8x16_t first[QUARTERS], int8x16_t second[QUARTERS], tfc_unpacking* unpacking) {
  UNROLL for (int h = 0; h < HALVES; ++h) {
    store_pair(first + h * HALF, second + h * HALF, unpacking->target[h]);
    unpacking->target[h] += PAIR_BYTES;
  }
}

/* q of k group `group` of a unit. */
KERNEL_INLINE void unpack_group(const uint8_t* unit, int group, const int bits, int8x16_t q[QUARTERS]) {
  const int fields = 8 / tfc_field_bits(bits);
  UNROLL for (int v = 0; v < QUARTERS; ++v) {
    const int8x16_t u = weights(load_fields(unit + v * 16, group / fields, bits), group % fields, bits);
    q[v] = bits == 8 ? u : vsubq_s8(u, vdupq_n_s8((int8_t)(1 << (bits - 1))));
  }
}

/* Unpacks the next `groups` k groups of a dense layer, an odd one with zeros after it. */
KERNEL_INLINE void unpack_dense(int64_t groups, const int bits, tfc_unpacking* unpacking) {
  const int unit_groups = tfc_unit_groups(bits), units_at_once = unit_groups < 2 ? 2 : 1;
  const int unit_bytes = tfc_unit_words(bits) * TFC_PANEL_WORD;
  int8x16_t first[QUARTERS], second[QUARTERS];
  for (; groups >= units_at_once * unit_groups; groups -= units_at_once * unit_groups) {
    UNROLL for (int g = 0; g < units_at_once * unit_groups; g += 2) {
      unpack_group(unpacking->unit, g % unit_groups, bits, first);
      unpack_group(unpacking->unit + (g + 1) / unit_groups * unit_bytes, (g + 1) % unit_groups, bits, second);
      unpack_pair(first, second, unpacking);
    }
    unpacking->unit += units_at_once * unit_bytes;
  }
  if (groups > 0) { /* a single word of 8 bits, the end of x */
    unpack_group(unpacking->unit, 0, bits, first);
    UNROLL for (int v = 0; v < QUARTERS; ++v) second[v] = vdupq_n_s8(0);
    unpack_pair(first, second, unpacking);
  }
}

/* Four dense weights of each channel of a quarter, of which numbers `first` and `first + 1` are stored. */
KERNEL_INLINE int8x16_t expand_four(int8x16_t q, uint8x16_t indices, const int first) {
  const uint8x16_t channels = vreinterpretq_u8_u32((uint32x4_t){0, 0x04040404, 0x08080808, 0x0C0C0C0C});
  const uint8x16_t places = vreinterpretq_u8_u32(vdupq_n_u32(0x03020100));
  int8x16_t dense = vdupq_n_s8(0);
  UNROLL for (int i = 0; i < 2; ++i) {
    const uint8x16_t weight = vaddq_u8(channels, vdupq_n_u8((uint8_t)(first + i))); /* of all channels */
    const uint8x16_t is_here = vceqq_u8(vqtbl1q_u8(indices, weight), places);
    dense = vbslq_s8(is_here, vqtbl1q_s8(q, weight), dense);
  }
  return dense;
}

/* Unpacks the next `groups` k groups of x, of a block or a part of it, of a layer with 2:4 sparsity: every stored group
 * is a pair. */
KERNEL_INLINE void unpack_sparse(int64_t groups, const int bits, tfc_unpacking* unpacking) {
  enum { INDEX_FIELDS = 8 / TFC_INDEX_BITS };
  const int64_t stored = groups / 2;
  const int fields = 8 / bits;
  for (int64_t group = 0; group < stored; unpacking->unit += TFC_PANEL_WORD) {
    UNROLL for (int f = 0; f < fields; ++f, ++group) {
      const uint8_t* index_word = unpacking->indices + group / INDEX_FIELDS * TFC_PANEL_WORD;
      const int8x16_t shift = vdupq_n_s8((int8_t)(-(group % INDEX_FIELDS) * TFC_INDEX_BITS));
      int8x16_t q[QUARTERS], first[QUARTERS], second[QUARTERS];
      unpack_group(unpacking->unit, f, bits, q);
      UNROLL for (int v = 0; v < QUARTERS; ++v) {
        const uint8x16_t shifted = vshlq_u8(vld1q_u8(index_word + v * 16), shift);
        const uint8x16_t indices = vandq_u8(shifted, vdupq_n_u8(TFC_SPARSITY_M - 1));
        first[v] = expand_four(q[v], indices, 0);
        second[v] = expand_four(q[v], indices, 2);
      }
      unpack_pair(first, second, unpacking);
    }
  }
  unpacking->indices += (stored + INDEX_FIELDS - 1) / INDEX_FIELDS * TFC_PANEL_WORD;
}

/* ---- Multiplication ---- */

/* A block of weights, or a part of it. */
typedef struct {
  int8_t weights[HALVES][SEGMENT / 2 * PAIR_BYTES];
  int32x4_t partial[MANY_ROWS_MR / TILE_ROWS][HALVES][TILE_REGISTERS]; /* sums of a block that goes on */
  int64_t block, pairs, x_offset; /* bytes to its values of x from the first ones of a strip */
  bool is_first, is_last;         /* of the block */
} tfc_unpacked_segment;

/* Multiplies rows from `row` on with half of a panel. */
KERNEL_INLINE void multiply_tile(const tfc_weight_panel* panel, const tfc_qd8_lhs* lhs, tfc_unpacked_segment* segment,
                                 int row, int half, const int mr, float (*acc)[TFC_NR]) {
  const int count = mr * HALF; /* registers of the tile */
  int32x4_t* partial = segment->partial[row / TILE_ROWS][half];
  const int8_t* x = lhs->values + row * lhs->row_bytes + segment->x_offset;
  int32x4_t tile[TILE_REGISTERS];
  if (segment->is_first) {
    UNROLL for (int i = 0; i < count; ++i) tile[i] = vdupq_n_s32(0);
  } else {
    UNROLL for (int i = 0; i < count; ++i) tile[i] = partial[i];
  }
  add_pairs(segment->weights[half], x, segment->pairs, mr, tile);
  if (!segment->is_last) {
    UNROLL for (int i = 0; i < count; ++i) partial[i] = tile[i];
    return;
  }
  tfc_qd8_acc sums;
  tile_rows(tile, mr, sums);
  const int channel = half * HALF * 4, rows = (int)tfc_min(lhs->mr - row, mr);
  const int32_t* row_sums = lhs->row_sums + segment->block * lhs->mr + row;
  const tfc_weight_panel part = {
      .scales = panel->scales + channel,
      .zero_points = panel->zero_points == NULL ? NULL : panel->zero_points + channel,
      .zero_point_factor = panel->zero_point_factor,
  };
  if (rows == mr) {
    add_dense_block(&part, segment->block, sums, row_sums, HALF, mr, (float(*)[TFC_NR])(acc[row] + channel));
    return;
  }
  float rest[TILE_ROWS][TFC_NR] = {{0.0f}};
  int32_t rest_sums[TILE_ROWS] = {0};
  memcpy(rest, acc[row], (size_t)rows * sizeof rest[0]);
  memcpy(rest_sums, row_sums, (size_t)rows * sizeof rest_sums[0]);
  add_dense_block(&part, segment->block, sums, rest_sums, HALF, mr, (float(*)[TFC_NR])(rest[0] + channel));
  memcpy(acc[row], rest, (size_t)rows * sizeof rest[0]);
}

/* Multiplies all rows with a segment. A function for all kernels: no width of weights is part of it. */
TARGET static void multiply_segment(const tfc_weight_panel* panel, const tfc_qd8_lhs* lhs,
                                    tfc_unpacked_segment* segment, float (*acc)[TFC_NR]) {
  for (int row = 0; row < lhs->mr; row += TILE_ROWS) {
    for (int half = 0; half < HALVES; ++half) {
      if (lhs->mr - row > TILE_ROWS / 2) {
        multiply_tile(panel, lhs, segment, row, half, TILE_ROWS, acc);
      } else {
        multiply_tile(panel, lhs, segment, row, half, TILE_ROWS / 2, acc);
      }
    }
  }
}

KERNEL_INLINE void multiply_panel(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                                  const tfc_qd8_lhs* lhs, const int bits, const int sparsity_n, float (*acc)[TFC_NR]) {
  _Alignas(TFC_CACHE_LINE) tfc_unpacked_segment segment;
  tfc_unpacking unpacking = {.unit = panel->codes, .indices = panel->indices};
  segment.x_offset = 0;
  for (segment.block = 0; segment.block < attributes->blocks; ++segment.block) {
    const int64_t stored = tfc_block_groups(tfc_stored_weights(attributes, segment.block), bits);
    const int64_t all = stored * TFC_SPARSITY_M / sparsity_n;
    for (int64_t first = 0; first < all; first += SEGMENT) {
      const int64_t groups = tfc_min(all - first, SEGMENT);
      for (int h = 0; h < HALVES; ++h) unpacking.target[h] = segment.weights[h];
      if (sparsity_n == TFC_SPARSITY_M) {
        unpack_dense(groups, bits, &unpacking);
      } else {
        unpack_sparse(groups, bits, &unpacking);
      }
      segment.pairs = (groups + 1) / 2;
      segment.is_first = first == 0;
      segment.is_last = first + groups == all;
      multiply_segment(panel, lhs, &segment, acc);
      segment.x_offset += segment.pairs * 2 * TFC_KR * TILE_ROWS;
    }
  }
}

KERNEL_INLINE void qd8_many_rows_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                                      int nt, const tfc_qd8_lhs* lhs, const int bits, const int sparsity_n,
                                      float (*acc)[TFC_NR]) {
  clear(acc, QUARTERS, nt * lhs->mr);
  for (int t = 0; t < nt; ++t) multiply_panel(attributes, panels + t, lhs, bits, sparsity_n, acc + t * lhs->mr);
}

#endif
