/* The integer product of 64-bit Arm, over two functions that the including file defines before,
 *
 *   int32x4_t multiply_add(int32x4_t sum, int8x16_t a, int8x16_t b): sum[i] += a[4 i] * b[4 i] + ... + a[4 i + 3] * b[4 i + 3]
 *   int32x4_t multiply_add_lane(int32x4_t sum, int8x16_t a, int8x16_t b, int lane): the same with b[4 lane ...] for all i
 *
 * and TARGET, the attribute that names their instructions. If it defines DENSE_PRODUCT, that is used in place of
 * `dense_product`. */
#include "arm.h"

#ifndef DENSE_PRODUCT
#define DENSE_PRODUCT dense_product
#endif

#define KERNEL_INLINE static inline __attribute__((always_inline)) TARGET

enum {
  INTEGER_ROWS = 4,
  WINDOWS = 16,            /* of dense layers, loaded at once */
  LONGEST_BLOCK = 1 << 15, /* quads whose products of bytes fit sums of 32 bits */
};

extern const Kernel portable_kernel;

typedef int32x4_t Sums[INTEGER_ROWS][QUARTERS];

/* What is needed behind it is not loaded before it: left alone, gcc loads ahead until no registers are left. */
KERNEL_INLINE void load_no_further(void) { __asm__ volatile("" ::: "memory"); }

KERNEL_INLINE void to_floats(Sums sum, const int rows, float32x4_t (*sums)[QUARTERS]) {
  UNROLL for (int m = 0; m < rows; ++m) {
    UNROLL for (int v = 0; v < QUARTERS; ++v) sums[m][v] = vcvtq_f32_s32(sum[m][v]);
  }
}

KERNEL_INLINE void fill(const int32_t* values, const int32_t factor, const int rows, Sums sum) {
  UNROLL for (int m = 0; m < rows; ++m) {
    UNROLL for (int v = 0; v < QUARTERS; ++v) sum[m][v] = vdupq_n_s32(factor * values[m]);
  }
}

/* Adds the sums of a block, x_sum NULL in a symmetric layer. */
KERNEL_INLINE void add_integer_block(const WeightTile* tile, int64_t block, Sums sum, Sums x_sum, const int rows,
                                     float (*totals)[TILE]) {
  float32x4_t sums[INTEGER_ROWS][QUARTERS];
  to_floats(sum, rows, sums);
  add_scaled(tile, block, sums, rows, totals);
  if (x_sum == NULL) return;
  to_floats(x_sum, rows, sums);
  subtract_offsets(tile, block, sums, rows, totals);
}

/* The same in a dense layer, where all channels have one sum of codes. */
KERNEL_INLINE void add_dense_block(const WeightTile* tile, int64_t block, Sums sum, const int32_t* code_sums,
                                   const int rows, float (*totals)[TILE]) {
  add_integer_block(tile, block, sum, NULL, rows, totals);
  if (tile->offsets == NULL) return;
  Sums x_sum;
  float32x4_t x_sums[INTEGER_ROWS][QUARTERS];
  fill(code_sums, 1, rows, x_sum);
  to_floats(x_sum, rows, x_sums);
  subtract_offsets(tile, block, x_sums, rows, totals);
}

/* sum q x = sum u x - 2^(bits - 1) sum x, where u = q + 2^(bits - 1) is what a cell holds; of 8 bits, whose u is no
 * signed byte, q itself is used. */
KERNEL_INLINE void start_sums(const int32_t* code_sums, const int bits, const int rows, Sums sum) {
  fill(code_sums, bits == 8 ? 0 : -(1 << (bits - 1)), rows, sum);
}

KERNEL_INLINE int8x16_t weights(uint8x16_t quarter, int index, const int bits) {
  if (bits == 8) return vreinterpretq_s8_u8(veorq_u8(quarter, vdupq_n_u8(128)));
  return vreinterpretq_s8_u8(field(quarter, index, bits));
}

/* The next windows, up to four; the rest is of no use. */
KERNEL_INLINE int8x16_t load_windows(const int8_t* windows, int count) {
  if (count >= 4) return vld1q_s8(windows);
  if (count == 2) return vcombine_s8(vld1_s8(windows), vdup_n_s8(0));
  int32_t codes;
  memcpy(&codes, windows, sizeof codes);
  return vreinterpretq_s8_s32(vdupq_n_s32(codes));
}

/* Adds the products of a cell with its windows. Of less than four rows, `values` have them from number `first` on, four
 * in each; of four rows those of a field fill a register, which is loaded when its time comes. */
KERNEL_INLINE void add_integer_cell(const uint8_t* cell, const int8_t* windows, const int8x16_t* values, int first,
                                    const int bits, const int rows, Sums sum) {
  uint8x16_t codes[QUARTERS];
  UNROLL for (int v = 0; v < QUARTERS; ++v) codes[v] = vld1q_u8(cell + v * 16);
  UNROLL for (int f = 0; f < 8 / bits; ++f) {
    UNROLL for (int v = 0; v < QUARTERS; ++v) {
      const int8x16_t q = weights(codes[v], f, bits);
      UNROLL for (int m = 0; m < rows; ++m) {
        const int window = first + f * rows + m;
        const int8x16_t four = rows == 4 ? vld1q_s8(windows + f * rows * GROUP) : values[window / 4];
        sum[m][v] = multiply_add_lane(sum[m][v], q, four, window % 4);
      }
    }
    load_no_further();
  }
}

KERNEL_INLINE void dense_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                 const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int fields = 8 / bits, count = fields * rows; /* windows that go with a cell */
  const int together = WINDOWS / count;               /* cells whose windows are loaded at once */
  const uint8_t* cell = tile->codes;
  const int8_t* windows = x->windows;
  clear(totals, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int32_t* code_sums = x->code_sums + b * rows;
    Sums sum;
    start_sums(code_sums, bits, rows, sum);
    int64_t cells = block_quads(stored_codes(attributes, b), bits) / fields;
    for (; cells >= together; cells -= together, cell += together * CELL, windows += WINDOWS * GROUP) {
      int8x16_t values[WINDOWS / 4];
      UNROLL for (int w = 0; w < WINDOWS; w += 4) values[w / 4] = vld1q_s8(windows + w * GROUP);
      UNROLL for (int i = 0; i < together; ++i) {
        add_integer_cell(cell + i * CELL, windows + i * count * GROUP, values, i * count, bits, rows, sum);
      }
    }
    ONE_BY_ONE for (; cells > 0; --cells, cell += CELL, windows += count * GROUP) {
      int8x16_t values[WINDOWS / 4];
      UNROLL for (int w = 0; w < count; w += 4) values[w / 4] = load_windows(windows + w * GROUP, count);
      add_integer_cell(cell, windows, values, 0, bits, rows, sum);
    }
    add_dense_block(tile, b, sum, code_sums, rows, totals);
  }
}

/* One row with weights of 2 bits: fields 1 and 2 stay where they are in their bytes, as 4 and 16 times their value,
 * which saves the shifts, and have sums of their own. */
KERNEL_INLINE void add_cell_of_2_bits(const uint8_t* cell, const int8_t* windows, Sums sum) {
  const int8x16_t values = vld1q_s8(windows);
  UNROLL for (int v = 0; v < QUARTERS; ++v) {
    const uint8x16_t codes = vld1q_u8(cell + v * 16);
    UNROLL for (int f = 0; f < 4; ++f) {
      const uint8x16_t q = f == 3 ? codes >> 6 : codes & vdupq_n_u8((uint8_t)(3 << 2 * f));
      sum[f % 3][v] = multiply_add_lane(sum[f % 3][v], vreinterpretq_s8_u8(q), values, f);
    }
  }
  load_no_further();
}

KERNEL_INLINE void dense_row_of_2_bits(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                       const QuantizedRows* x, float (*totals)[TILE]) {
  enum { FIELDS = 4, TOGETHER = WINDOWS / FIELDS };
  const uint8_t* cell = tile->codes;
  const int8_t* windows = x->windows;
  clear(totals, 1);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    Sums sum; /* [0], [1], [2]: 1, 4 and 16 times their value */
    start_sums(x->code_sums + b, 2, 1, sum);
    UNROLL for (int v = 0; v < QUARTERS; ++v) sum[1][v] = sum[2][v] = vdupq_n_s32(0);
    int64_t cells = block_quads(stored_codes(attributes, b), 2) / FIELDS;
    for (; cells >= TOGETHER; cells -= TOGETHER, cell += TOGETHER * CELL, windows += WINDOWS * GROUP) {
      UNROLL for (int i = 0; i < TOGETHER; ++i) {
        add_cell_of_2_bits(cell + i * CELL, windows + i * FIELDS * GROUP, sum);
      }
    }
    ONE_BY_ONE for (; cells > 0; --cells, cell += CELL, windows += FIELDS * GROUP) {
      add_cell_of_2_bits(cell, windows, sum);
    }
    UNROLL for (int v = 0; v < QUARTERS; ++v) {
      sum[0][v] = vsraq_n_s32(vsraq_n_s32(sum[0][v], sum[1][v], 2), sum[2][v], 4);
    }
    add_dense_block(tile, b, sum, x->code_sums + b, 1, totals);
  }
}

/* The windows of the rows of a quad: two rows share a register if one keeps half of its window's bytes. */
KERNEL_INLINE void load_sparse_windows(const int8_t* windows, const int kept, const int rows, int8x16_t* values) {
  const int shared = kept == 2 ? 2 : 1;
  if (rows < shared) {
    values[0] = vcombine_s8(vld1_s8(windows), vdup_n_s8(0));
    return;
  }
  UNROLL for (int i = 0; i < rows / shared; ++i) values[i] = vld1q_s8(windows + i * 16);
}

/* Field `index` of every byte as a signed number at the top of the byte, 2^(8 - bits) times its value. `codes` have the
 * top bit of every field flipped, which makes q of u. */
KERNEL_INLINE int8x16_t top_weights(uint8x16_t codes, int index, const int bits) {
  const uint8x16_t shifted = codes << (8 - bits - index * bits);
  const bool is_lowest = index == 0;
  return vreinterpretq_s8_u8(is_lowest ? shifted : shifted & vdupq_n_u8((uint8_t)(255 << (8 - bits))));
}

/* Field `index` of every byte, with the bits of `groups` two places higher. */
KERNEL_INLINE uint8x16_t window_places(uint8x16_t positions, int index, uint8x16_t groups) {
  return vsliq_n_u8(positions >> (index * POSITION_BITS), groups, POSITION_BITS);
}

/* Adds `count` quads, whose places are the fields from `first` on of a cell of positions. */
KERNEL_INLINE void add_sparse_quads(const uint8_t* cell, const uint8_t* positions, int first, const int8_t* windows,
                                    const int count, const int bits, const int kept, const bool symmetric,
                                    const int rows, Sums sum, Sums x_sum) {
  const int fields = 8 / bits, window = GROUP * GROUP / kept;
  const uint8x16_t top_bits = vdupq_n_u8(bits == 2 ? 0xAA : bits == 4 ? 0x88 : 0x80);
  /* The groups that codes 0..3 of a quad belong to. */
  const uint8x16_t groups = vreinterpretq_u8_u32(vdupq_n_u32(kept == 2 ? 0x01010000 : 0x03020100));
  UNROLL for (int i = 0; i < count; ++i) {
    int8x16_t x[INTEGER_ROWS];
    load_sparse_windows(windows + i * rows * window, kept, rows, x);
    UNROLL for (int v = 0; v < QUARTERS; ++v) {
      const uint8x16_t codes = veorq_u8(vld1q_u8(cell + i / fields * CELL + v * 16), top_bits);
      const uint8x16_t place_cell = vld1q_u8(positions + v * 16);
      const int8x16_t q = top_weights(codes, i % fields, bits);
      const uint8x16_t places = window_places(place_cell, first + i, groups);
      const uint8x16_t next_places = vaddq_u8(places, vdupq_n_u8((uint8_t)window)); /* of the next row */
      UNROLL for (int m = 0; m < rows; ++m) {
        const int8x16_t values =
            kept == 2 ? vqtbl1q_s8(x[m / 2], m % 2 == 0 ? places : next_places) : vqtbl1q_s8(x[m], places);
        sum[m][v] = multiply_add(sum[m][v], q, values);
        if (!symmetric) x_sum[m][v] = multiply_add(x_sum[m][v], vdupq_n_s8(1), values);
      }
    }
    if (rows > 1) load_no_further();
  }
}

KERNEL_INLINE void clear_sums(const int rows, Sums sum) {
  UNROLL for (int m = 0; m < rows; ++m) {
    UNROLL for (int v = 0; v < QUARTERS; ++v) sum[m][v] = vdupq_n_s32(0);
  }
}

KERNEL_INLINE void sparse_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                  const QuantizedRows* x, const int bits, const int kept, const bool symmetric,
                                  const int rows, float (*totals)[TILE]) {
  const int fields = 8 / bits, window = GROUP * GROUP / kept;
  const int64_t position_bytes = fully_connected_block_cells(attributes, POSITION_BITS) * CELL;
  const uint8_t* cell = tile->codes;
  const int8_t* windows = x->windows;
  clear(totals, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const uint8_t* positions = tile->positions + b * position_bytes;
    Sums sum, x_sum;
    clear_sums(rows, sum);
    clear_sums(rows, x_sum);
    int64_t quads = block_quads(stored_codes(attributes, b), bits);
    for (; quads >= GROUP; quads -= GROUP, positions += CELL) {
      add_sparse_quads(cell, positions, 0, windows, GROUP, bits, kept, symmetric, rows, sum, x_sum);
      cell += GROUP / fields * CELL;
      windows += GROUP * rows * window;
    }
    ONE_BY_ONE for (int i = 0; i < quads; i += fields, cell += CELL, windows += fields * rows * window) {
      add_sparse_quads(cell, positions, i, windows, fields, bits, kept, symmetric, rows, sum, x_sum);
    }
    UNROLL for (int m = 0; m < rows; ++m) {
      UNROLL for (int v = 0; v < QUARTERS; ++v) sum[m][v] >>= 8 - bits;
    }
    add_integer_block(tile, b, sum, symmetric ? NULL : x_sum, rows, totals);
  }
}

KERNEL_INLINE void DENSE_PRODUCT(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                 const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]);

KERNEL_INLINE void dense_rows(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                              const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  if (bits == 2 && rows == 1) {
    dense_row_of_2_bits(attributes, tile, x, totals);
  } else {
    DENSE_PRODUCT(attributes, tile, x, bits, rows, totals);
  }
}

/* One function for every kind of layer and number of rows: in one for all, gcc runs out of registers. */
#define DEFINE_PRODUCT(NAME, ROWS, CALL)                                                               \
  TARGET static void NAME(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count, \
                          const QuantizedRows* x, float (*totals)[TILE]) {                             \
    for (const WeightTile* tile = tiles; tile < tiles + count; ++tile, totals += ROWS) CALL;           \
  }
#define DEFINE_SPARSE(KIND, BITS, ROWS, KEPT, SYMMETRIC)  \
  DEFINE_PRODUCT(KIND##_##BITS##_##ROWS, ROWS,           \
                 sparse_product(attributes, tile, x, BITS, KEPT, SYMMETRIC, ROWS, totals))
#define DEFINE_PRODUCTS(BITS, ROWS)                                                                      \
  DEFINE_PRODUCT(dense_##BITS##_##ROWS, ROWS, dense_rows(attributes, tile, x, BITS, ROWS, totals))       \
  DEFINE_SPARSE(sparse_2, BITS, ROWS, 2, true)                                                           \
  DEFINE_SPARSE(sparse_2_asymmetric, BITS, ROWS, 2, false)                                               \
  DEFINE_SPARSE(sparse_1, BITS, ROWS, 1, true)                                                           \
  DEFINE_SPARSE(sparse_1_asymmetric, BITS, ROWS, 1, false)
#define FOR_ALL_ROWS(MACRO, BITS) MACRO(BITS, 1) MACRO(BITS, 2) MACRO(BITS, 4)

FOR_ALL_ROWS(DEFINE_PRODUCTS, 2)
FOR_ALL_ROWS(DEFINE_PRODUCTS, 4)
FOR_ALL_ROWS(DEFINE_PRODUCTS, 8)

enum { DENSE, SPARSE_2, SPARSE_2_ASYMMETRIC, SPARSE_1, SPARSE_1_ASYMMETRIC, KINDS };

#define NAME_PRODUCTS(BITS, ROWS)                                                                             \
  {dense_##BITS##_##ROWS, sparse_2_##BITS##_##ROWS, sparse_2_asymmetric_##BITS##_##ROWS, sparse_1_##BITS##_##ROWS, \
   sparse_1_asymmetric_##BITS##_##ROWS},

/* By bits 2, 4, 8, and rows 1, 2, 4. */
static IntegerProduct* const products[3][3][KINDS] = {
    {FOR_ALL_ROWS(NAME_PRODUCTS, 2)}, {FOR_ALL_ROWS(NAME_PRODUCTS, 4)}, {FOR_ALL_ROWS(NAME_PRODUCTS, 8)}};

static void integer_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                            const QuantizedRows* x, float (*totals)[TILE]) {
  if (block_quads(stored_codes(attributes, 0), attributes->weight_bits) > LONGEST_BLOCK) {
    portable_kernel.integer_product(attributes, tiles, count, x, totals);
    return;
  }
  const int sparse = attributes->kept == 2 ? SPARSE_2 : SPARSE_1;
  const int kind = attributes->kept == GROUP ? DENSE : attributes->symmetric ? sparse : sparse + 1;
  products[attributes->weight_bits / 4][x->rows / 2][kind](attributes, tiles, count, x, totals);
}
