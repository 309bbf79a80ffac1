/* SME2: an accumulator tile of ZA is a square of 32-bit sums, as many both ways as a vector of streaming mode has
 * lanes: 16 at 512 bits, 8 at 256, 4 at 128. `smopa` adds the products of a strip of rows (four values of x of each)
 * and a strip of channels (four weights of each) to a tile, exactly. At 512 bits the strip of channels is a k group of
 * a panel; there are four tiles at every length.
 *
 * The loop nest, outermost first:
 *
 *   ops/fully_connected.c   rows of x    MR at a time: one call of a kernel
 *                           panels       TFC_MAX_NT at a time: a task of the threads
 *   multiply_layer          channels     four strips
 *   multiply_strips         segments     of up to SEGMENT k groups of x: unpacked to bytes once,
 *   multiply_segment        rows         two strips at a time with two of channels, or the last one with all four
 *   multiply_tiles          blocks       of the segment
 *   add_square, add_row     k groups     one product for each tile
 *   add_tile                rows         acc += scale * sums - zero_point * row sum
 *
 * A k group of x is four values of every row, as `tfc_pack_strips__neon` interleaves them; those of a sparse layer are
 * multiplied with dense weights, pruned ones of which are zero. Weights of 8 bits of a dense layer are strips of
 * channels as they are stored at 512 bits, and are read there (`sumopa`), as unsigned numbers, 128 more than their
 * values; the row sums make up for it.
 *
 * Dense weights of less than 8 bits are unpacked by `luti2` or `luti4` and a table of values in ZT0. It puts the bit
 * fields of a byte side by side, which makes other k groups of a panel word: of 2 bits the weights 0, 4, 8, 12 of every
 * channel, then 1, 5, 9, 13; of 4 bits 0, 4, 1, 5 and 2, 6, 3, 7. x is packed in the same order. Shifts, masks and
 * subtractions would take three times as many instructions of 2 bits, and half as many again of 4.
 *
 * Every call of a kernel enters streaming mode once and leaves it at its end: see call_streaming. */
#include "kernel.h"

#if TFC_HAS_SME2

#include <arm_sme.h>
#include <sys/auxv.h>

#include "arm_common.h"

/* Without SVE, which outside of streaming mode not every processor with SME2 has. */
#define TARGET __attribute__((target("arch=armv8.2-a+sme2")))
#define KERNEL_INLINE static inline __attribute__((always_inline)) TARGET
#define STREAMING __arm_streaming __arm_inout("za", "zt0")

enum {
  TILES = 4,
  STRIPS = TILES,              /* of channels, multiplied with the same rows */
  MAX_LANES = TFC_MR_MULTIPLE, /* of 32 bits in a vector */
  /* K groups of x that are unpacked at a time: 64 KB of weights at 512 bits. The sums of a longer block go through
   * memory for each, in as many instructions as an eighth of its products. */
  SEGMENT = 256,
  /* Fewer rows are multiplied by matrix products of NEON. A product takes as long for one row as for all of a strip;
   * the number is that of AMX, whose tiles have the same size, and was measured on no processor with SME2. */
  MIN_ROWS = 12,
  UNSIGNED_SHIFT = 128, /* of 8-bit weights as they are stored */
};

/* ---- Tiles ---- */

/* The numbers of tiles are part of the instructions. */
KERNEL_INLINE svint32x4_t read_slices(const int tile, uint32_t first) STREAMING {
  switch (tile) {
    case 0:
      return svread_hor_za32_s32_vg4(0, first);
    case 1:
      return svread_hor_za32_s32_vg4(1, first);
    case 2:
      return svread_hor_za32_s32_vg4(2, first);
    default:
      return svread_hor_za32_s32_vg4(3, first);
  }
}

KERNEL_INLINE svint32_t read_slice(const int tile, uint32_t index) STREAMING {
  const svbool_t all = svptrue_b32();
  const svint32_t unused = svundef_s32();
  switch (tile) {
    case 0:
      return svread_hor_za32_s32_m(unused, all, 0, index);
    case 1:
      return svread_hor_za32_s32_m(unused, all, 1, index);
    case 2:
      return svread_hor_za32_s32_m(unused, all, 2, index);
    default:
      return svread_hor_za32_s32_m(unused, all, 3, index);
  }
}

KERNEL_INLINE void write_slices(const int tile, uint32_t first, svint32x4_t slices) STREAMING {
  switch (tile) {
    case 0:
      svwrite_hor_za32_s32_vg4(0, first, slices);
      break;
    case 1:
      svwrite_hor_za32_s32_vg4(1, first, slices);
      break;
    case 2:
      svwrite_hor_za32_s32_vg4(2, first, slices);
      break;
    default:
      svwrite_hor_za32_s32_vg4(3, first, slices);
  }
}

KERNEL_INLINE void load_tile(const int tile, const int32_t* from) STREAMING {
  const uint32_t lanes = (uint32_t)svcntw();
  from += tile * lanes * lanes;
  for (uint32_t i = 0; i < lanes; i += 4) write_slices(tile, i, svld1_s32_x4(svptrue_c32(), from + i * lanes));
}

KERNEL_INLINE void store_tile(const int tile, int32_t* to) STREAMING {
  const uint32_t lanes = (uint32_t)svcntw();
  to += tile * lanes * lanes;
  for (uint32_t i = 0; i < lanes; i += 4) svst1_s32_x4(svptrue_c32(), to + i * lanes, read_slices(tile, i));
}

/* The weights are signed bytes, or the unsigned ones that are stored. */
#define MULTIPLY(tile, x, weights)                                         \
  do {                                                                     \
    if (are_stored) {                                                      \
      svsumopa_za32_s8_m(tile, all, all, x, svreinterpret_u8_s8(weights)); \
    } else {                                                               \
      svmopa_za32_s8_m(tile, all, all, x, weights);                        \
    }                                                                      \
  } while (0)

/* Two strips of rows by two of channels, which leaves most time between two products of a tile for one load. */
#define MULTIPLY_SQUARE(x0, x1, w0, w1) \
  MULTIPLY(0, x0, w0);                  \
  MULTIPLY(1, x0, w1);                  \
  MULTIPLY(2, x1, w0);                  \
  MULTIPLY(3, x1, w1)
#define MULTIPLY_FOURTH_OF_SQUARE(i) \
  MULTIPLY_SQUARE(svget4_s8(x0, i), svget4_s8(x1, i), svget4_s8(w0, i), svget4_s8(w1, i))

KERNEL_INLINE void add_square(const int8_t* const x[2], const int8_t* const weights[2], int64_t groups,
                              const bool are_stored) STREAMING {
  const svbool_t all = svptrue_b8();
  const svcount_t all_four = svptrue_c8();
  const int64_t bytes = (int64_t)svcntb(), end = groups * bytes;
  int64_t at = 0;
  for (; at + 4 * bytes <= end; at += 4 * bytes) {
    const svint8x4_t x0 = svld1_s8_x4(all_four, x[0] + at), x1 = svld1_s8_x4(all_four, x[1] + at);
    const svint8x4_t w0 = svld1_s8_x4(all_four, weights[0] + at), w1 = svld1_s8_x4(all_four, weights[1] + at);
    MULTIPLY_FOURTH_OF_SQUARE(0);
    MULTIPLY_FOURTH_OF_SQUARE(1);
    MULTIPLY_FOURTH_OF_SQUARE(2);
    MULTIPLY_FOURTH_OF_SQUARE(3);
  }
  for (; at < end; at += bytes) {
    const svint8_t x0 = svld1_s8(all, x[0] + at), x1 = svld1_s8(all, x[1] + at);
    const svint8_t w0 = svld1_s8(all, weights[0] + at), w1 = svld1_s8(all, weights[1] + at);
    MULTIPLY_SQUARE(x0, x1, w0, w1);
  }
}

/* A strip of rows by four of channels. */
#define MULTIPLY_ROW(x, w0, w1, w2, w3) \
  MULTIPLY(0, x, w0);                   \
  MULTIPLY(1, x, w1);                   \
  MULTIPLY(2, x, w2);                   \
  MULTIPLY(3, x, w3)
#define MULTIPLY_FOURTH_OF_ROW(i) \
  MULTIPLY_ROW(svget4_s8(x0, i), svget4_s8(w0, i), svget4_s8(w1, i), svget4_s8(w2, i), svget4_s8(w3, i))

KERNEL_INLINE void add_row(const int8_t* x, const int8_t* const weights[STRIPS], int64_t groups,
                           const bool are_stored) STREAMING {
  const svbool_t all = svptrue_b8();
  const svcount_t all_four = svptrue_c8();
  const int64_t bytes = (int64_t)svcntb(), end = groups * bytes;
  int64_t at = 0;
  for (; at + 4 * bytes <= end; at += 4 * bytes) {
    const svint8x4_t x0 = svld1_s8_x4(all_four, x + at);
    const svint8x4_t w0 = svld1_s8_x4(all_four, weights[0] + at), w1 = svld1_s8_x4(all_four, weights[1] + at);
    const svint8x4_t w2 = svld1_s8_x4(all_four, weights[2] + at), w3 = svld1_s8_x4(all_four, weights[3] + at);
    MULTIPLY_FOURTH_OF_ROW(0);
    MULTIPLY_FOURTH_OF_ROW(1);
    MULTIPLY_FOURTH_OF_ROW(2);
    MULTIPLY_FOURTH_OF_ROW(3);
  }
  for (; at < end; at += bytes) {
    const svint8_t x0 = svld1_s8(all, x + at);
    const svint8_t w0 = svld1_s8(all, weights[0] + at), w1 = svld1_s8(all, weights[1] + at);
    const svint8_t w2 = svld1_s8(all, weights[2] + at), w3 = svld1_s8(all, weights[3] + at);
    MULTIPLY_ROW(x0, w0, w1, w2, w3);
  }
}

/* ---- Unpacking of weights ---- */

/* The next weights of a strip of channels. */
typedef struct {
  const uint8_t *word, *indices;
} tfc_strip_cursor;

/* Loads the values of bit fields to ZT0. The highest bit of a field of 3 bits is anything. */
KERNEL_INLINE void load_values(const int bits) STREAMING {
  int32_t values[16];
  for (int i = 0; i < 16; ++i) values[i] = (i & ((1 << bits) - 1)) - (1 << (bits - 1));
  svldr_zt(0, values);
}

/* Part `index` of a strip of 4-bit fields, of a unit of 3 bits: as load_fields of arm_common.h. */
KERNEL_INLINE svuint8_t strip_fields_of_3_bits(const uint8_t* unit, int index) STREAMING {
  const svbool_t all = svptrue_b8();
  const svuint8_t low = svlsr_n_u8_x(all, svld1_u8(all, unit + index / 2 * TFC_PANEL_WORD), index % 2 * 2);
  const svuint8_t word = svld1_u8(all, unit + 2 * TFC_PANEL_WORD);
  const svuint8_t highs = index < 2 ? svlsl_n_u8_x(all, word, 2 - index) : svlsr_n_u8_x(all, word, index - 2);
  return svbsl_n_u8(low, highs, 0x33);
}

/* Writes the two k groups of 4-bit fields. */
KERNEL_INLINE void unpack_fours(svuint8_t fields, int8_t* target) STREAMING {
  const svint32x2_t halves = svreinterpret_s32_s8_x2(svluti4_lane_zt_s8_x2(0, fields, 0));
  svst1_s8_x2(svptrue_c8(), target, svreinterpret_s8_s32_x2(svuzp_s32_x2(halves)));
}

/* Unpacks the next `groups` k groups of a dense layer. Returns the place after them. */
KERNEL_INLINE int8_t* unpack_dense(tfc_strip_cursor* cursor, int64_t groups, const int bits, int8_t* target) STREAMING {
  const svbool_t all = svptrue_b8();
  const int64_t bytes = (int64_t)svcntb();
  const int8_t* end = target + groups * bytes;
  const uint8_t* word = cursor->word;
  while (target < end) {
    if (bits == 2) {
      const svint32x4_t quarters = svreinterpret_s32_s8_x4(svluti2_lane_zt_s8_x4(0, svld1_u8(all, word), 0));
      svst1_s8_x4(svptrue_c8(), target, svreinterpret_s8_s32_x4(svuzp_s32_x4(quarters)));
      word += TFC_PANEL_WORD;
      target += 4 * bytes;
    } else if (bits == 3) {
      UNROLL for (int i = 0; i < 4; ++i) unpack_fours(strip_fields_of_3_bits(word, i), target + 2 * i * bytes);
      word += 3 * TFC_PANEL_WORD;
      target += 8 * bytes;
    } else if (bits == 4) {
      unpack_fours(svld1_u8(all, word), target);
      word += TFC_PANEL_WORD;
      target += 2 * bytes;
    } else {
      svst1_s8(all, target, svreinterpret_s8_u8(sveor_n_u8_x(all, svld1_u8(all, word), 128)));
      word += TFC_PANEL_WORD;
      target += bytes;
    }
  }
  cursor->word = word;
  return target;
}

/* Bit field `index` of every byte as a signed number: q of u = q + 2^(bits - 1). */
KERNEL_INLINE svint8_t strip_weights(svuint8_t word, int index, const int bits) STREAMING {
  const svbool_t all = svptrue_b8();
  const svuint8_t shifted = index == 0 ? word : svlsr_n_u8_x(all, word, (uint8_t)(index * bits));
  const svuint8_t u = (index + 1) * bits == 8 ? shifted : svand_n_u8_x(all, shifted, (uint8_t)((1 << bits) - 1));
  return svreinterpret_s8_u8(svsub_n_u8_x(all, u, (uint8_t)(1 << (bits - 1))));
}

/* Writes a k group, of which two or one of every four weights are stored, as 2 or 4 dense ones; returns the place after
 * them. */
KERNEL_INLINE int8_t* expand_group(svint8_t weights, svuint8_t indices, const int sparsity_n,
                                   int8_t* target) STREAMING {
  const svbool_t all = svptrue_b8();
  const svuint8_t places = svreinterpret_u8_u32(svdup_n_u32(0x03020100));
  const svuint8_t channels = svand_n_u8_x(all, svindex_u8(0, 1), 0xFC); /* first bytes */
  for (int j = 0; j < TFC_KR; target += svcntb()) {
    svint8_t dense = svdup_n_s8(0);
    for (int i = 0; i < sparsity_n; ++i, ++j) {
      const svuint8_t weight = svadd_n_u8_x(all, channels, (uint8_t)j); /* number j of all channels */
      const svbool_t is_here = svcmpeq_u8(all, svtbl_u8(indices, weight), places);
      dense = svsel_s8(is_here, svtbl_s8(weights, weight), dense);
    }
    svst1_s8(all, target, dense);
  }
  return target;
}

/* The same of a sparse layer, of one block. */
KERNEL_INLINE int8_t* unpack_sparse(tfc_strip_cursor* cursor, int64_t groups, const int bits, const int sparsity_n,
                                    int8_t* target) STREAMING {
  enum { INDEX_FIELDS = 8 / TFC_INDEX_BITS };
  const svbool_t all = svptrue_b8();
  const int fields = 8 / bits;
  const int64_t stored = groups * sparsity_n / TFC_SPARSITY_M;
  for (int64_t group = 0; group < stored; cursor->word += TFC_PANEL_WORD) {
    const svuint8_t word = svld1_u8(all, cursor->word);
    UNROLL for (int f = 0; f < fields; ++f, ++group) {
      const svuint8_t index_word = svld1_u8(all, cursor->indices + group / INDEX_FIELDS * TFC_PANEL_WORD);
      const uint8_t shift = (uint8_t)(group % INDEX_FIELDS * TFC_INDEX_BITS);
      const svuint8_t indices = svand_n_u8_x(all, svlsr_n_u8_x(all, index_word, shift), TFC_SPARSITY_M - 1);
      target = expand_group(strip_weights(word, f, bits), indices, sparsity_n, target);
    }
  }
  cursor->indices += (stored + INDEX_FIELDS - 1) / INDEX_FIELDS * TFC_PANEL_WORD;
  return target;
}

/* ---- Multiplication ---- */

/* A call of a kernel. */
typedef struct {
  const tfc_weight_panel* panels;
  int nt;
  const tfc_qd8_lhs* lhs;
  float (*acc)[TFC_NR];
  int64_t blocks, groups, last_groups; /* k groups of x in a block but the last, and in that */
} tfc_sme2_gemm;

KERNEL_INLINE int64_t block_groups(const tfc_sme2_gemm* gemm, int64_t block) STREAMING {
  return block + 1 < gemm->blocks ? gemm->groups : gemm->last_groups;
}

KERNEL_INLINE int64_t least(int64_t a, int64_t b) STREAMING { return a < b ? a : b; }

/* Whole blocks, or a part of a single one, and the weights of every strip of channels. */
typedef struct {
  int64_t block, blocks;
  int64_t first, length; /* first k group in the block or blocks, and most of them */
  int64_t x_offset;      /* bytes to its first k group of x from that of the layer */
  const int8_t* weights[STRIPS];
  bool are_stored; /* the weights, unsigned */
  int strips, first_panel;
} tfc_segment;

KERNEL_INLINE int64_t segment_groups(const tfc_sme2_gemm* gemm, const tfc_segment* segment, int64_t block) STREAMING {
  return least(block_groups(gemm, block) - segment->first, segment->length);
}

KERNEL_INLINE svfloat32_t load_strip_halves(const uint16_t* halves) STREAMING {
  const svbool_t all = svptrue_b32();
  return svcvt_f32_f16_x(all, svreinterpret_f16_u32(svld1uh_u32(all, halves)));
}

/* sums - 128 * row_sum */
KERNEL_INLINE svint32_t subtract_row_sum(svint32_t sums, int32_t row_sum) STREAMING {
  return svmls_n_s32_x(svptrue_b32(), sums, svdup_n_s32(row_sum), UNSIGNED_SHIFT);
}

/* acc - zero_point * row_sum */
KERNEL_INLINE svfloat32_t subtract_zero_point(svfloat32_t acc, svfloat32_t zero_points, int32_t row_sum) STREAMING {
  const svbool_t all = svptrue_b32();
  return svmls_f32_x(all, acc, zero_points, svcvt_f32_s32_x(all, svdup_n_s32(row_sum)));
}

/* Adds the sums of a tile over a block to those over blocks. */
KERNEL_INLINE void add_tile(const tfc_sme2_gemm* gemm, const tfc_segment* segment, int64_t block, const int tile,
                            int row_strip, int channel_strip) STREAMING {
  const svbool_t all = svptrue_b32();
  const svcount_t all_four = svptrue_c32();
  const int lanes = (int)svcntw(), mr = gemm->lhs->mr, row = row_strip * lanes;
  if (channel_strip >= segment->strips) return;
  const int t = segment->first_panel + channel_strip * lanes / TFC_NR, channel = channel_strip * lanes % TFC_NR;
  const tfc_weight_panel* panel = &gemm->panels[t];
  const int64_t constants = block * TFC_NR + channel;
  const bool is_symmetric = panel->zero_points == NULL, are_stored = segment->are_stored;
  const svfloat32_t scales = load_strip_halves(panel->scales + constants);
  const svfloat32_t stored = is_symmetric ? scales : load_strip_halves(panel->zero_points + constants);
  const svfloat32_t zero_points = svmul_n_f32_x(all, stored, panel->zero_point_factor);
  const int32_t* row_sums = gemm->lhs->row_sums + block * mr + row;
  float* acc = gemm->acc[t * mr + row] + channel;
  const int rows = (int)least(lanes, mr - row);
  int i = 0;
  for (; lanes == TFC_NR && i + 4 <= rows; i += 4, row_sums += 4, acc += 4 * TFC_NR) { /* rows are contiguous */
    svint32x4_t sums = read_slices(tile, (uint32_t)i);
    if (are_stored) {
      sums = svcreate4_s32(
          subtract_row_sum(svget4_s32(sums, 0), row_sums[0]), subtract_row_sum(svget4_s32(sums, 1), row_sums[1]),
          subtract_row_sum(svget4_s32(sums, 2), row_sums[2]), subtract_row_sum(svget4_s32(sums, 3), row_sums[3]));
    }
    const svfloat32x4_t floats = svcvt_f32_s32_x4(sums), before = svld1_f32_x4(all_four, acc);
    svfloat32x4_t after = svcreate4_f32(svmla_f32_x(all, svget4_f32(before, 0), scales, svget4_f32(floats, 0)),
                                        svmla_f32_x(all, svget4_f32(before, 1), scales, svget4_f32(floats, 1)),
                                        svmla_f32_x(all, svget4_f32(before, 2), scales, svget4_f32(floats, 2)),
                                        svmla_f32_x(all, svget4_f32(before, 3), scales, svget4_f32(floats, 3)));
    if (!is_symmetric) {
      after = svcreate4_f32(subtract_zero_point(svget4_f32(after, 0), zero_points, row_sums[0]),
                            subtract_zero_point(svget4_f32(after, 1), zero_points, row_sums[1]),
                            subtract_zero_point(svget4_f32(after, 2), zero_points, row_sums[2]),
                            subtract_zero_point(svget4_f32(after, 3), zero_points, row_sums[3]));
    }
    svst1_f32_x4(all_four, acc, after);
  }
  for (; i < rows; ++i, ++row_sums, acc += TFC_NR) {
    svint32_t sums = read_slice(tile, (uint32_t)i);
    if (are_stored) sums = subtract_row_sum(sums, *row_sums);
    svfloat32_t after = svmla_f32_x(all, svld1_f32(all, acc), scales, svcvt_f32_s32_x(all, sums));
    if (!is_symmetric) after = subtract_zero_point(after, zero_points, *row_sums);
    svst1_f32(all, acc, after);
  }
}

/* The same with all tiles, `columns` of which are side by side. A function for all kernels. */
TARGET static void add_tiles(const tfc_sme2_gemm* gemm, const tfc_segment* segment, int64_t block, int row_strip,
                             int channel_strip, int columns) STREAMING {
  add_tile(gemm, segment, block, 0, row_strip, channel_strip);
  add_tile(gemm, segment, block, 1, row_strip + 1 / columns, channel_strip + 1 % columns);
  add_tile(gemm, segment, block, 2, row_strip + 2 / columns, channel_strip + 2 % columns);
  add_tile(gemm, segment, block, 3, row_strip + 3 / columns, channel_strip + 3 % columns);
}

/* Multiplies a segment: two strips of rows with two of channels, or one with four. `partial` has the sums of a block
 * that goes on. */
KERNEL_INLINE void multiply_tiles(const tfc_sme2_gemm* gemm, const tfc_segment* segment, int row_strip,
                                  const int row_strips, int channel_strip, int32_t* partial) STREAMING {
  const int64_t bytes = (int64_t)svcntb(), strip_bytes = (int64_t)svcntw() * gemm->lhs->row_bytes;
  const int columns = TILES / row_strips;
  const int8_t* x[2];
  const int8_t* weights[STRIPS];
  UNROLL for (int i = 0; i < row_strips; ++i) {
    x[i] = gemm->lhs->values + (row_strip + i) * strip_bytes + segment->x_offset;
  }
  UNROLL for (int i = 0; i < columns; ++i) weights[i] = segment->weights[channel_strip + i];
  for (int64_t block = segment->block; block < segment->block + segment->blocks; ++block) {
    const int64_t groups = segment_groups(gemm, segment, block);
    if (segment->first == 0) {
      svzero_za();
    } else {
      load_tile(0, partial);
      load_tile(1, partial);
      load_tile(2, partial);
      load_tile(3, partial);
    }
    if (row_strips == 2 && segment->are_stored) {
      add_square(x, weights, groups, true);
    } else if (row_strips == 2) {
      add_square(x, weights, groups, false);
    } else if (segment->are_stored) {
      add_row(x[0], weights, groups, true);
    } else {
      add_row(x[0], weights, groups, false);
    }
    UNROLL for (int i = 0; i < row_strips; ++i) x[i] += groups * bytes;
    UNROLL for (int i = 0; i < columns; ++i) weights[i] += groups * bytes;
    if (segment->first + groups < block_groups(gemm, block)) {
      store_tile(0, partial);
      store_tile(1, partial);
      store_tile(2, partial);
      store_tile(3, partial);
    } else {
      add_tiles(gemm, segment, block, row_strip, channel_strip, columns);
    }
  }
}

/* Multiplies all rows with a segment. A function for all kernels: no width of weights is part of it. */
TARGET static void multiply_segment(const tfc_sme2_gemm* gemm, const tfc_segment* segment, int32_t* partial) STREAMING {
  const int lanes = (int)svcntw(), row_strips = (gemm->lhs->mr + lanes - 1) / lanes;
  int row_strip = 0;
  for (; row_strip + 2 <= row_strips; row_strip += 2) {
    for (int i = 0; i < segment->strips; i += 2, partial += TILES * lanes * lanes) {
      multiply_tiles(gemm, segment, row_strip, 2, i, partial);
    }
  }
  if (row_strip < row_strips) multiply_tiles(gemm, segment, row_strip, 1, 0, partial);
}

typedef struct {
  int8_t weights[STRIPS][SEGMENT * MAX_LANES * TFC_KR];
  int32_t partial[TFC_MAX_MR * STRIPS * MAX_LANES];
} tfc_sme2_scratch;

/* Multiplies all rows with up to four strips of channels, from those of panel `first_panel` on. */
KERNEL_INLINE void multiply_strips(const tfc_sme2_gemm* gemm, int first_panel, const int bits, const int sparsity_n,
                                   tfc_sme2_scratch* scratch) STREAMING {
  const int lanes = (int)svcntw();
  const bool are_stored = bits == 8 && sparsity_n == TFC_SPARSITY_M && lanes == TFC_NR;
  const int64_t length = are_stored ? INT64_MAX : SEGMENT;
  const int64_t at_once = are_stored ? gemm->blocks : gemm->groups < SEGMENT ? SEGMENT / gemm->groups : 1;
  tfc_segment segment = {.length = length, .are_stored = are_stored, .first_panel = first_panel};
  segment.strips = (int)least(STRIPS, (gemm->nt - first_panel) * TFC_NR / lanes);
  tfc_strip_cursor cursors[STRIPS];
  for (int i = 0; i < STRIPS; ++i) { /* those that there are not: any weights, whose sums are dropped */
    const int strip = i < segment.strips ? i : 0;
    const tfc_weight_panel* panel = &gemm->panels[first_panel + strip * lanes / TFC_NR];
    const int byte = strip * lanes % TFC_NR * TFC_KR;
    cursors[i].word = panel->codes + byte;
    cursors[i].indices = sparsity_n == TFC_SPARSITY_M ? NULL : panel->indices + byte;
    segment.weights[i] = are_stored ? (const int8_t*)cursors[i].word : scratch->weights[strip];
  }
  for (; segment.block < gemm->blocks; segment.block += segment.blocks) {
    segment.blocks = least(at_once, gemm->blocks - segment.block);
    for (segment.first = 0; segment.first < block_groups(gemm, segment.block); segment.first += length) {
      for (int i = 0; i < segment.strips && !are_stored; ++i) {
        int8_t* target = scratch->weights[i];
        for (int64_t block = segment.block; block < segment.block + segment.blocks; ++block) {
          const int64_t groups = segment_groups(gemm, &segment, block);
          target = sparsity_n == TFC_SPARSITY_M ? unpack_dense(&cursors[i], groups, bits, target)
                                                : unpack_sparse(&cursors[i], groups, bits, sparsity_n, target);
        }
      }
      multiply_segment(gemm, &segment, scratch->partial);
      for (int64_t block = segment.block; block < segment.block + segment.blocks; ++block) {
        segment.x_offset += segment_groups(gemm, &segment, block) * (int64_t)svcntb();
      }
    }
  }
}

KERNEL_INLINE void multiply_layer(const tfc_sme2_gemm* gemm, const int bits, const int sparsity_n) STREAMING {
  _Alignas(TFC_CACHE_LINE) tfc_sme2_scratch scratch;
  const int panels = STRIPS * (int)svcntw() / TFC_NR;
  if (bits < 8 && sparsity_n == TFC_SPARSITY_M) load_values(bits);
  for (int t = 0; t < gemm->nt; t += panels) multiply_strips(gemm, t, bits, sparsity_n, &scratch);
}

/* ---- Streaming mode ---- */

/* Calls a function in streaming mode, with ZA on, and turns both off. The calling convention of AArch64 (AAPCS64) has
 * three rules for it: changes of mode lose all vectors, so the halves of them that are the caller's are saved; if
 * TPIDR2_EL0 points at a place for rows of ZA, and their number, these belong to a function further up and are stored
 * there, after which the register is zero; and ZA is off at the end.
 *
 * In assembly, because what compilers make of the attributes __arm_locally_streaming and __arm_new calls support
 * routines of compiler-rt, without which the libraries for Android are linked here. */
typedef void tfc_streaming_function(const tfc_sme2_gemm* gemm) STREAMING;

__attribute__((naked)) TARGET static void call_streaming(tfc_streaming_function* function, const tfc_sme2_gemm* gemm) {
  __asm__(
      "stp x29, x30, [sp, #-80]!\n"
      "mov x29, sp\n"
      "stp d8, d9, [sp, #16]\n"
      "stp d10, d11, [sp, #32]\n"
      "stp d12, d13, [sp, #48]\n"
      "stp d14, d15, [sp, #64]\n"
      "mrs x9, TPIDR2_EL0\n"
      "cbz x9, 3f\n"
      "ldr x10, [x9]\n"       /* the place */
      "ldrh w11, [x9, #8]\n"  /* the number */
      "ldrh w12, [x9, #10]\n" /* six bytes that must be zero, as long as nothing is defined for them */
      "ldr w13, [x9, #12]\n"
      "orr w12, w12, w13\n"
      "cbnz w12, 4f\n"
      "msr TPIDR2_EL0, xzr\n"
      "cbz x10, 3f\n"
      "mov w12, #0\n"
      "1: cmp w12, w11\n"
      "b.eq 3f\n"
      "str za[w12, 0], [x10]\n"
      "addsvl x10, x10, #1\n"
      "add w12, w12, #1\n"
      "b 1b\n"
      "3: smstart\n"
      "mov x9, x0\n"
      "mov x0, x1\n"
      "blr x9\n"
      "smstop\n"
      "ldp d8, d9, [sp, #16]\n"
      "ldp d10, d11, [sp, #32]\n"
      "ldp d12, d13, [sp, #48]\n"
      "ldp d14, d15, [sp, #64]\n"
      "ldp x29, x30, [sp], #80\n"
      "ret\n"
      "4: brk #0\n");
}

/* ---- Tables ---- */

/* Lanes of a vector in streaming mode. */
TARGET static int streaming_lanes(void) { return (int)svcntsw(); }

static void tfc_qd8_pack_lhs__sme2(const tfc_fully_connected_attributes* attributes, const float* x, tfc_qd8_lhs* lhs,
                                   float* scales) {
  static const uint8_t of_2_bits[] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  static const uint8_t of_3_and_4_bits[] = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
  const int bits = attributes->weight_bits;
  const bool is_in_order = bits == 8 || attributes->sparsity_n != TFC_SPARSITY_M;
  const uint8_t* order = is_in_order ? NULL : bits == 2 ? of_2_bits : of_3_and_4_bits;
  tfc_pack_strips__neon(attributes, x, streaming_lanes(), TFC_KR, order, lhs, scales);
}

/* Panels have no room for longer vectors than of 512 bits. */
static bool is_available(void) {
  const uint64_t has_sme2 = (uint64_t)1 << 37; /* HWCAP2_SME2 of the Linux kernel's interface */
  return tfc_kernels__neoni8mm.is_available() && (getauxval(AT_HWCAP2) & has_sme2) != 0 &&
         streaming_lanes() <= MAX_LANES;
}

static tfc_sme2_gemm prepare(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels, int nt,
                             const tfc_qd8_lhs* lhs, float (*acc)[TFC_NR]) {
  assert(lhs->values != NULL && lhs->row_sums != NULL);
  assert(lhs->mr > 0 && lhs->mr <= TFC_MAX_MR && (uintptr_t)lhs->values % TFC_CACHE_LINE == 0);
  const int bits = attributes->weight_bits, x_groups = tfc_lhs_kr(attributes) / TFC_KR;
  return (tfc_sme2_gemm){
      .panels = panels,
      .nt = nt,
      .lhs = lhs,
      .acc = acc,
      .blocks = attributes->blocks,
      .groups = tfc_block_groups(tfc_stored_weights(attributes, 0), bits) * x_groups,
      .last_groups = tfc_block_groups(tfc_stored_weights(attributes, attributes->blocks - 1), bits) * x_groups,
  };
}

/* Applies F to every width and layout. Asymmetric sparse layers, whose sums of x differ between channels, and weights
 * of 1 bit, which no table instruction unpacks, are left to the other kernels. */
#define EACH_LAYOUT(F, BITS)                          \
  F(BITS, qb##BITS##w, TFC_QD8_DENSE, TFC_SPARSITY_M) \
  F(BITS, qb##BITS##w_sp24, TFC_QD8_SPARSE_2_4, 2)    \
  F(BITS, qb##BITS##w_sp14, TFC_QD8_SPARSE_1_4, 1)
#define EACH_KERNEL(F) \
  EACH_LAYOUT(F, 2)    \
  F(3, qb3w, TFC_QD8_DENSE, TFC_SPARSITY_M) EACH_LAYOUT(F, 4) EACH_LAYOUT(F, 8)

#define QD8_KERNEL(BITS, WEIGHTS, LAYOUT, SPARSITY_N)                                                             \
  TARGET static void tfc_qd8_f32_##WEIGHTS##_gemm_256x16c4__sme2_streaming(const tfc_sme2_gemm* gemm) STREAMING { \
    multiply_layer(gemm, BITS, SPARSITY_N);                                                                       \
  }                                                                                                               \
  static void tfc_qd8_f32_##WEIGHTS##_gemm_256x16c4__sme2(const tfc_fully_connected_attributes* attributes,       \
                                                          const tfc_weight_panel* panels, int nt,                 \
                                                          const tfc_qd8_lhs* lhs, float(*acc)[TFC_NR]) {          \
    tfc_check_gemm(attributes, panels, nt, BITS, acc);                                                            \
    assert(tfc_qd8_layout(attributes) == LAYOUT);                                                                 \
    clear(acc, QUARTERS, nt * lhs->mr);                                                                           \
    const tfc_sme2_gemm gemm = prepare(attributes, panels, nt, lhs, acc);                                         \
    call_streaming(tfc_qd8_f32_##WEIGHTS##_gemm_256x16c4__sme2_streaming, &gemm);                                 \
  }
#define QD8_ENTRY(BITS, WEIGHTS, LAYOUT, SPARSITY_N) \
  [TFC_WIDTH(BITS)][LAYOUT][TFC_ANY_MR] = tfc_qd8_f32_##WEIGHTS##_gemm_256x16c4__sme2,

_Static_assert(TFC_MAX_MR == 256, "the kernels are named after it");
EACH_KERNEL(QD8_KERNEL)

static const tfc_qd8_gemm_kernels tfc_qd8_gemm__sme2 = {
    .mr = TFC_MAX_MR,
    .min_rows = MIN_ROWS,
    .max_block_groups = INT64_MAX, /* sums wrap, and those of a whole block fit 32 bits */
    .pack_lhs = tfc_qd8_pack_lhs__sme2,
    .epilogue = tfc_epilogue__neon,
    .gemm = {EACH_KERNEL(QD8_ENTRY)},
};

const tfc_kernel_set tfc_kernels__sme2 = {
    .name = "sme2",
    .is_available = is_available,
    .qd8_gemm = &tfc_qd8_gemm__neoni8mm,
    .qd8_many_rows_gemm = &tfc_qd8_gemm__sme2,
    .f32_gemm = &tfc_f32_gemm__neon,
    .dwconv = tfc_f32_dwconv__neon,
    .layer_norm = tfc_f32_layer_norm__neon,
    .attention = &tfc_attention__neon,
};

#endif
