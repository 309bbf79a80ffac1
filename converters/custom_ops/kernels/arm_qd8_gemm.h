/* The GEMM with int8 activations on 64-bit Arm, over two functions that the including file defines before,
 *
 *   int32x4_t multiply_add(int32x4_t acc, int8x16_t a, int8x16_t b)
 *     acc[i] += a[4 i] * b[4 i] + ... + a[4 i + 3] * b[4 i + 3]
 *   int32x4_t multiply_add_lane(int32x4_t acc, int8x16_t a, int8x16_t b, int lane)
 *     acc[i] += a[4 i] * b[4 lane] + ... + a[4 i + 3] * b[4 lane + 3]
 *
 * TARGET, the attribute that enables their instructions, and QD8_MR. If it defines QD8_DENSE, that is used in place of
 * `qd8_dense`; if it defines QD8_UNSIGNED, multiply_add_lane_unsigned is the same with unsigned a.
 *
 * Functions work on the first `quarters` registers of a panel word: all of them, or of eight rows, whose accumulators
 * would not fit the registers otherwise, half of them: see `qd8_panel`. */
#ifndef TFC_KERNELS_ARM_QD8_GEMM_H_
#define TFC_KERNELS_ARM_QD8_GEMM_H_

#include "arm_common.h"

#ifndef QD8_DENSE
#define QD8_DENSE qd8_dense
#endif

#define KERNEL_INLINE static inline __attribute__((always_inline)) TARGET

enum {
  FOURS = 16,                 /* fours of x (one k group of one row) of a dense layer, loaded at once */
  MAX_BLOCK_GROUPS = 1 << 15, /* k groups whose products of bytes fit accumulators of 32 bits */
  TILE_ROWS = 8,              /* of a tile of arm_many_rows.h */
};

typedef int32x4_t tfc_qd8_acc[QD8_MR][QUARTERS];

/* Nothing after it is loaded before it: left alone, gcc loads ahead until no registers are left. */
KERNEL_INLINE void load_barrier(void) { __asm__ volatile("" ::: "memory"); }

KERNEL_INLINE void to_floats(tfc_qd8_acc source, const int quarters, const int mr, float32x4_t (*target)[QUARTERS]) {
  UNROLL for (int m = 0; m < mr; ++m) {
    UNROLL for (int v = 0; v < quarters; ++v) target[m][v] = vcvtq_f32_s32(source[m][v]);
  }
}

/* Fills the accumulators of row m with factor * values[m]. */
KERNEL_INLINE void fill(const int32_t* values, const int32_t factor, const int quarters, const int mr,
                        tfc_qd8_acc acc) {
  UNROLL for (int m = 0; m < mr; ++m) {
    UNROLL for (int v = 0; v < quarters; ++v) acc[m][v] = vdupq_n_s32(factor * values[m]);
  }
}

/* Adds the accumulators of a block to those over blocks; row_sums is NULL in a symmetric layer. */
KERNEL_INLINE void add_block(const tfc_weight_panel* panel, int64_t block, tfc_qd8_acc block_acc, tfc_qd8_acc row_sums,
                             const int quarters, const int mr, float (*acc)[TFC_NR]) {
  float32x4_t floats[QD8_MR][QUARTERS];
  to_floats(block_acc, quarters, mr, floats);
  add_scaled(panel, block, floats, quarters, mr, acc);
  if (row_sums == NULL) return;
  to_floats(row_sums, quarters, mr, floats);
  subtract_zero_points(panel, block, floats, quarters, mr, acc);
}

/* The same in a dense layer, where all channels have the same row sum. */
KERNEL_INLINE void add_dense_block(const tfc_weight_panel* panel, int64_t block, tfc_qd8_acc block_acc,
                                   const int32_t* row_sums, const int quarters, const int mr, float (*acc)[TFC_NR]) {
  add_block(panel, block, block_acc, NULL, quarters, mr, acc);
  if (panel->zero_points == NULL) return;
  tfc_qd8_acc broadcast;
  float32x4_t floats[QD8_MR][QUARTERS];
  fill(row_sums, 1, quarters, mr, broadcast);
  to_floats(broadcast, quarters, mr, floats);
  subtract_zero_points(panel, block, floats, quarters, mr, acc);
}

/* sum q x = sum u x - 2^(bits - 1) sum x, where u = q + 2^(bits - 1) is stored in the unit; of 8 bits, whose u is no
 * signed byte, q itself is used unless `is_unsigned`. */
KERNEL_INLINE void start_block(const int32_t* row_sums, const int bits, const bool is_unsigned, const int quarters,
                               const int mr, tfc_qd8_acc block_acc) {
  fill(row_sums, bits == 8 && !is_unsigned ? 0 : -(1 << (bits - 1)), quarters, mr, block_acc);
}

/* u, or q of 8 bits, of bit field `index`. */
KERNEL_INLINE int8x16_t weights(uint8x16_t quarter, int index, const int bits) {
  if (bits == 8) return vreinterpretq_s8_u8(veorq_u8(quarter, vdupq_n_u8(128)));
  return vreinterpretq_s8_u8(field(quarter, index, bits));
}

/* The next `count` fours of x, up to four; the other lanes are not used. */
KERNEL_INLINE int8x16_t load_fours(const int8_t* x, int count) {
  if (count >= 4) return vld1q_s8(x);
  if (count == 2) return vcombine_s8(vld1_s8(x), vdup_n_s8(0));
  int32_t four;
  memcpy(&four, x, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

#ifdef QD8_UNSIGNED
enum { HAS_UNSIGNED = true };
#else
enum { HAS_UNSIGNED = false };
KERNEL_INLINE int32x4_t multiply_add_lane_unsigned(int32x4_t acc, uint8x16_t a, int8x16_t b, int lane) {
  return multiply_add_lane(acc, vreinterpretq_s8_u8(a), b, lane); /* not used */
}
#endif

/* Multiplies a unit with its values of x. Of less than four rows, `fours` has them from number `first` on, four in each
 * register; of more rows those of a bit field fill registers, which are loaded just before they are used. */
KERNEL_INLINE void add_unit(const uint8_t* unit, const int8_t* x, const int8x16_t* fours, int first, const int bits,
                            const int quarters, const int mr, tfc_qd8_acc block_acc) {
  const int fields = 8 / tfc_field_bits(bits);
  uint8x16_t registers[QUARTERS];
  UNROLL for (int g = 0; g < tfc_unit_groups(bits); ++g) {
    const int f = g % fields;
    int8x16_t rows[(QD8_MR + 3) / 4];
    UNROLL for (int i = 0; i < mr / 4; ++i) rows[i] = vld1q_s8(x + g * mr * TFC_KR + i * 16);
    UNROLL for (int v = 0; v < quarters; ++v) {
      if (f == 0) registers[v] = load_fields(unit + v * 16, g / fields, bits);
      UNROLL for (int m = 0; m < mr; ++m) {
        const int lane = first + g * mr + m;
        const int8x16_t four = mr >= 4 ? rows[m / 4] : fours[lane / 4];
        int32x4_t* acc = &block_acc[m][v];
        if (bits == 8 && HAS_UNSIGNED) {
          *acc = multiply_add_lane_unsigned(*acc, registers[v], four, mr >= 4 ? m % 4 : lane % 4);
        } else {
          *acc = multiply_add_lane(*acc, weights(registers[v], f, bits), four, mr >= 4 ? m % 4 : lane % 4);
        }
      }
    }
    load_barrier();
  }
}

/* Units of a block that is not the last, and of that. */
typedef struct {
  int64_t whole, last;
} tfc_units;

KERNEL_INLINE tfc_units block_units(const tfc_fully_connected_attributes* attributes, const int bits) {
  return (tfc_units){
      .whole = tfc_block_units(tfc_stored_weights(attributes, 0), bits),
      .last = tfc_block_units(tfc_stored_weights(attributes, attributes->blocks - 1), bits),
  };
}

KERNEL_INLINE void qd8_dense(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                             const tfc_qd8_lhs* lhs, const int bits, const int quarters, const int mr,
                             float (*acc)[TFC_NR]) {
  const int count = tfc_unit_groups(bits) * mr;         /* fours of x that go with a unit */
  const int unroll = count < FOURS ? FOURS / count : 1; /* units whose values of x are loaded at once */
  const int unit_bytes = tfc_unit_words(bits) * TFC_PANEL_WORD;
  const tfc_units block = block_units(attributes, bits);
  const int64_t blocks = attributes->blocks;
  const int32_t* row_sums = lhs->row_sums;
  const uint8_t* unit = panel->codes;
  const int8_t* x = lhs->values;
  clear(acc, quarters, mr);
  for (int64_t b = 0; b < blocks; ++b, row_sums += mr) {
    tfc_qd8_acc block_acc;
    start_block(row_sums, bits, HAS_UNSIGNED, quarters, mr, block_acc);
    int64_t units = b + 1 < blocks ? block.whole : block.last;
    for (; units >= unroll; units -= unroll, unit += unroll * unit_bytes, x += unroll * count * TFC_KR) {
      int8x16_t fours[FOURS / 4];
      if (mr < 4) {
        UNROLL for (int i = 0; i < FOURS; i += 4) fours[i / 4] = vld1q_s8(x + i * TFC_KR);
      }
      UNROLL for (int i = 0; i < unroll; ++i) {
        add_unit(unit + i * unit_bytes, x + i * count * TFC_KR, fours, i * count, bits, quarters, mr, block_acc);
      }
    }
    DO_NOT_UNROLL for (; units > 0; --units, unit += unit_bytes, x += count * TFC_KR) {
      int8x16_t fours[FOURS / 4];
      UNROLL for (int i = 0; i < count && i < FOURS; i += 4) fours[i / 4] = load_fours(x + i * TFC_KR, count);
      add_unit(unit, x, fours, 0, bits, quarters, mr, block_acc);
    }
    add_dense_block(panel, b, block_acc, row_sums, quarters, mr, acc);
  }
}

/* Multiplies a word of 2-bit weights with a single row: bit fields 1 and 2 stay where they are in their bytes, as 4 and
 * 16 times their value, which saves the shifts, and have accumulators of their own. */
KERNEL_INLINE void add_2_bit_word(const uint8_t* word, const int8_t* x, const int quarters, tfc_qd8_acc block_acc) {
  const int8x16_t fours = vld1q_s8(x);
  UNROLL for (int v = 0; v < quarters; ++v) {
    const uint8x16_t quarter = vld1q_u8(word + v * 16);
    UNROLL for (int f = 0; f < 4; ++f) {
      const uint8x16_t u = f == 3 ? quarter >> 6 : quarter & vdupq_n_u8((uint8_t)(3 << 2 * f));
      block_acc[f % 3][v] = multiply_add_lane(block_acc[f % 3][v], vreinterpretq_s8_u8(u), fours, f);
    }
  }
  load_barrier();
}

KERNEL_INLINE void qd8_dense_2_bit_row(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                                       const tfc_qd8_lhs* lhs, float (*acc)[TFC_NR]) {
  enum { FIELDS = 4, WORDS = FOURS / FIELDS };
  const int quarters = QUARTERS;
  const tfc_units block = block_units(attributes, 2);
  const int64_t blocks = attributes->blocks;
  const int32_t* row_sums = lhs->row_sums;
  const uint8_t* word = panel->codes;
  const int8_t* x = lhs->values;
  clear(acc, quarters, 1);
  for (int64_t b = 0; b < blocks; ++b, ++row_sums) {
    tfc_qd8_acc block_acc; /* [0], [1], [2]: 1, 4 and 16 times their value */
    start_block(row_sums, 2, false, quarters, 1, block_acc);
    UNROLL for (int v = 0; v < quarters; ++v) block_acc[1][v] = block_acc[2][v] = vdupq_n_s32(0);
    int64_t words = b + 1 < blocks ? block.whole : block.last;
    for (; words >= WORDS; words -= WORDS, word += WORDS * TFC_PANEL_WORD, x += FOURS * TFC_KR) {
      UNROLL for (int i = 0; i < WORDS; ++i) {
        add_2_bit_word(word + i * TFC_PANEL_WORD, x + i * FIELDS * TFC_KR, quarters, block_acc);
      }
    }
    DO_NOT_UNROLL for (; words > 0; --words, word += TFC_PANEL_WORD, x += FIELDS * TFC_KR) {
      add_2_bit_word(word, x, quarters, block_acc);
    }
    UNROLL for (int v = 0; v < quarters; ++v) {
      block_acc[0][v] = vsraq_n_s32(vsraq_n_s32(block_acc[0][v], block_acc[1][v], 2), block_acc[2][v], 4);
    }
    add_dense_block(panel, b, block_acc, row_sums, quarters, 1, acc);
  }
}

/* The values of x of the rows of a k group: two rows share a register if a row has 8 of them. */
KERNEL_INLINE void load_choices(const int8_t* x, const int sparsity_n, const int mr, int8x16_t* values) {
  const int shared = sparsity_n == 2 ? 2 : 1;
  if (mr < shared) {
    values[0] = vcombine_s8(vld1_s8(x), vdup_n_s8(0));
    return;
  }
  UNROLL for (int i = 0; i < mr / shared; ++i) values[i] = vld1q_s8(x + i * 16);
}

/* Bit field `index` of every byte as a signed number at the top of the byte, 2^(8 - bits) times its value. The top bit
 * of every field of `flipped` is flipped, which makes q of u. */
KERNEL_INLINE int8x16_t top_weights(uint8x16_t flipped, int index, const int bits) {
  const uint8x16_t shifted = flipped << (8 - bits - index * bits);
  const bool is_lowest = index == 0;
  return vreinterpretq_s8_u8(is_lowest ? shifted : shifted & vdupq_n_u8((uint8_t)(255 << (8 - bits))));
}

/* The weights and the values of x of `groups` k groups, whose sparsity indices are the bit fields from `first` on of
 * one word. */
typedef struct {
  const uint8_t *word, *indices;
  const int8_t* x;
} tfc_sparse_cursor;

KERNEL_INLINE void add_sparse_groups(const tfc_sparse_cursor* cursor, int first, const int groups, const int bits,
                                     const int sparsity_n, const int quarters, const int mr, tfc_qd8_acc block_acc,
                                     tfc_qd8_acc row_sums) {
  const int fields = 8 / bits, lhs_kr = TFC_KR * TFC_SPARSITY_M / sparsity_n;
  const uint8x16_t top_bits = vdupq_n_u8(bits == 2 ? 0xAA : bits == 4 ? 0x88 : 0x80);
  /* The fours of values that weights 0..3 of a k group choose from. */
  const uint8x16_t fours = vreinterpretq_u8_u32(vdupq_n_u32(sparsity_n == 2 ? 0x01010000 : 0x03020100));
  UNROLL for (int i = 0; i < groups; ++i) {
    int8x16_t x[QD8_MR];
    load_choices(cursor->x + i * mr * lhs_kr, sparsity_n, mr, x);
    UNROLL for (int v = 0; v < quarters; ++v) {
      const uint8x16_t flipped = veorq_u8(vld1q_u8(cursor->word + i / fields * TFC_PANEL_WORD + v * 16), top_bits);
      const uint8x16_t indices = vld1q_u8(cursor->indices + v * 16);
      const int8x16_t q = top_weights(flipped, i % fields, bits);
      const uint8x16_t choice = vsliq_n_u8(indices >> ((first + i) * TFC_INDEX_BITS), fours, TFC_INDEX_BITS);
      const uint8x16_t next_choice = vaddq_u8(choice, vdupq_n_u8((uint8_t)lhs_kr)); /* of the next row */
      UNROLL for (int m = 0; m < mr; ++m) {
        const int8x16_t values =
            sparsity_n == 2 ? vqtbl1q_s8(x[m / 2], m % 2 == 0 ? choice : next_choice) : vqtbl1q_s8(x[m], choice);
        block_acc[m][v] = multiply_add(block_acc[m][v], q, values);
        if (row_sums != NULL) row_sums[m][v] = multiply_add(row_sums[m][v], vdupq_n_s8(1), values);
      }
    }
    if (mr > 1) load_barrier();
  }
}

KERNEL_INLINE void clear_acc(const int quarters, const int mr, tfc_qd8_acc acc) {
  UNROLL for (int m = 0; m < mr; ++m) { UNROLL for (int v = 0; v < quarters; ++v) acc[m][v] = vdupq_n_s32(0); }
}

KERNEL_INLINE void qd8_sparse(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                              const tfc_qd8_lhs* lhs, const int bits, const int sparsity_n, const bool symmetric,
                              const int quarters, const int mr, float (*acc)[TFC_NR]) {
  enum { INDEX_FIELDS = 8 / TFC_INDEX_BITS };
  const int fields = 8 / bits, lhs_kr = TFC_KR * TFC_SPARSITY_M / sparsity_n;
  const int64_t index_bytes = tfc_fully_connected_block_words(attributes, TFC_INDEX_BITS) * TFC_PANEL_WORD;
  tfc_sparse_cursor cursor = {.word = panel->codes, .x = lhs->values};
  clear(acc, quarters, mr);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    tfc_qd8_acc block_acc, block_row_sums;
    int32x4_t(*row_sums)[QUARTERS] = symmetric ? NULL : block_row_sums;
    clear_acc(quarters, mr, block_acc);
    clear_acc(quarters, mr, block_row_sums);
    cursor.indices = panel->indices + b * index_bytes;
    int64_t groups = tfc_block_groups(tfc_stored_weights(attributes, b), bits);
    for (; groups >= INDEX_FIELDS; groups -= INDEX_FIELDS, cursor.indices += TFC_PANEL_WORD) {
      add_sparse_groups(&cursor, 0, INDEX_FIELDS, bits, sparsity_n, quarters, mr, block_acc, row_sums);
      cursor.word += INDEX_FIELDS / fields * TFC_PANEL_WORD;
      cursor.x += INDEX_FIELDS * mr * lhs_kr;
    }
    DO_NOT_UNROLL for (int i = 0; i < groups; i += fields) {
      add_sparse_groups(&cursor, i, fields, bits, sparsity_n, quarters, mr, block_acc, row_sums);
      cursor.word += TFC_PANEL_WORD;
      cursor.x += fields * mr * lhs_kr;
    }
    UNROLL for (int m = 0; m < mr; ++m) { UNROLL for (int v = 0; v < quarters; ++v) block_acc[m][v] >>= 8 - bits; }
    add_block(panel, b, block_acc, row_sums, quarters, mr, acc);
  }
}

KERNEL_INLINE void QD8_DENSE(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                             const tfc_qd8_lhs* lhs, const int bits, const int quarters, const int mr,
                             float (*acc)[TFC_NR]);

/* The first `quarters` quarters of the channels of a panel. */
KERNEL_INLINE void qd8_panel(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                             const tfc_qd8_lhs* lhs, const int bits, const int layout, const int quarters, const int mr,
                             float (*acc)[TFC_NR]) {
  if (layout == TFC_QD8_DENSE && bits == 2 && mr == 1) {
    qd8_dense_2_bit_row(attributes, panel, lhs, acc);
  } else if (layout == TFC_QD8_DENSE) {
    QD8_DENSE(attributes, panel, lhs, bits, quarters, mr, acc);
  } else {
    const int sparsity_n = layout == TFC_QD8_SPARSE_2_4 || layout == TFC_QD8_SPARSE_2_4_ZERO_POINTS ? 2 : 1;
    const bool symmetric = layout == TFC_QD8_SPARSE_2_4 || layout == TFC_QD8_SPARSE_1_4;
    qd8_sparse(attributes, panel, lhs, bits, sparsity_n, symmetric, quarters, mr, acc);
  }
}

/* Eight rows take half of a panel after the other: `part` is the panel from some channel on, as strides stay. */
KERNEL_INLINE void qd8_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels, int nt,
                            const tfc_qd8_lhs* lhs, const int bits, const int layout, const int mr,
                            float (*acc)[TFC_NR]) {
  const int quarters = mr <= 4 ? QUARTERS : QUARTERS / 2;
  for (const tfc_weight_panel* panel = panels; panel < panels + nt; ++panel, acc += mr) {
    DO_NOT_UNROLL for (int first = 0; first < QUARTERS; first += quarters) {
      const int channel = first * 4;
      const tfc_weight_panel part = {
          .codes = panel->codes + channel * TFC_KR,
          .indices = panel->indices == NULL ? NULL : panel->indices + channel * TFC_KR,
          .scales = panel->scales + channel,
          .zero_points = panel->zero_points == NULL ? NULL : panel->zero_points + channel,
          .zero_point_factor = panel->zero_point_factor,
      };
      qd8_panel(attributes, &part, lhs, bits, layout, quarters, mr, (float(*)[TFC_NR])(acc[0] + channel));
    }
  }
}

#endif
