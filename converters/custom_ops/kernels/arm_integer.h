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

enum { INTEGER_ROWS = 4 };

typedef int32x4_t Sums[INTEGER_ROWS][QUARTERS];

KERNEL_INLINE void add_integer_block(const WeightTile* tile, int64_t block, Sums sum, Sums x_sum, const int rows,
                                     float32x4_t (*total)[QUARTERS]) {
  float32x4_t sums[INTEGER_ROWS][QUARTERS], x_sums[INTEGER_ROWS][QUARTERS];
  for (int m = 0; m < rows; ++m) {
    for (int v = 0; v < QUARTERS; ++v) {
      sums[m][v] = vcvtq_f32_s32(sum[m][v]);
      x_sums[m][v] = vcvtq_f32_s32(x_sum[m][v]);
    }
  }
  add_block(tile, block, sums, x_sums, rows, total);
}

/* sum q x = sum u x - 2^(bits - 1) sum x, where u = q + 2^(bits - 1) is what a cell holds; of 8 bits, whose u is no
 * signed byte, q itself is used. */
KERNEL_INLINE void start_sums(const int32_t* code_sums, const int bits, const int rows, Sums sum, Sums x_sum) {
  for (int m = 0; m < rows; ++m) {
    const int32x4_t codes = vdupq_n_s32(code_sums[m]);
    const int32x4_t surplus = bits == 8 ? vdupq_n_s32(0) : vshlq_s32(codes, vdupq_n_s32(bits - 1));
    for (int v = 0; v < QUARTERS; ++v) {
      sum[m][v] = vnegq_s32(surplus);
      x_sum[m][v] = codes;
    }
  }
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

KERNEL_INLINE void dense_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                 const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int fields = 8 / bits, count = fields * rows; /* windows that go with a cell */
  const uint8_t* cell = tile->codes;
  const int8_t* windows = x->windows;
  float32x4_t total[INTEGER_ROWS][QUARTERS];
  clear(total, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    Sums sum, x_sum;
    start_sums(x->code_sums + b * rows, bits, rows, sum, x_sum);
    const int64_t cells = block_quads(stored_codes(attributes, b), bits) / fields;
    for (int64_t i = 0; i < cells; ++i, cell += CELL, windows += count * GROUP) {
      const uint8x16_t codes[QUARTERS] = {vld1q_u8(cell), vld1q_u8(cell + 16), vld1q_u8(cell + 32), vld1q_u8(cell + 48)};
      int8x16_t values = vdupq_n_s8(0);
      for (int f = 0; f < fields; ++f) {
        for (int v = 0; v < QUARTERS; ++v) {
          const int8x16_t q = weights(codes[v], f, bits);
          for (int m = 0; m < rows; ++m) {
            const int window = f * rows + m;
            if (v == 0 && window % 4 == 0) values = load_windows(windows + window * GROUP, count);
            sum[m][v] = multiply_add_lane(sum[m][v], q, values, window % 4);
          }
        }
      }
    }
    add_integer_block(tile, b, sum, x_sum, rows, total);
  }
  store_totals(total, rows, totals);
}

/* One row with weights of 2 bits: fields 1 and 2 stay where they are in their bytes, as 4 and 16 times their value, which
 * saves the shifts; each field has its own sums. */
KERNEL_INLINE void dense_row_of_2_bits(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                       const QuantizedRows* x, float (*totals)[TILE]) {
  enum { FIELDS = 4, PIECE = 1 << 12 }; /* cells whose sums fit 32 bits 16 times enlarged */
  const uint8_t* cell = tile->codes;
  const int8_t* windows = x->windows;
  float32x4_t total[INTEGER_ROWS][QUARTERS];
  clear(total, 1);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    Sums sum, x_sum;
    start_sums(x->code_sums + b, 2, 1, sum, x_sum);
    int64_t cells = block_quads(stored_codes(attributes, b), 2) / FIELDS;
    while (cells > 0) {
      int32x4_t field_sum[FIELDS][QUARTERS];
      for (int f = 0; f < FIELDS; ++f) {
        for (int v = 0; v < QUARTERS; ++v) field_sum[f][v] = vdupq_n_s32(0);
      }
      const int64_t count = smaller(cells, PIECE);
      for (int64_t i = 0; i < count; ++i, cell += CELL, windows += FIELDS * GROUP) {
        const int8x16_t values = vld1q_s8(windows);
        for (int v = 0; v < QUARTERS; ++v) {
          const uint8x16_t codes = vld1q_u8(cell + v * 16);
          for (int f = 0; f < FIELDS; ++f) {
            const uint8x16_t q = f == 3 ? vshrq_n_u8(codes, 6) : vandq_u8(codes, vdupq_n_u8((uint8_t)(3 << 2 * f)));
            field_sum[f][v] = multiply_add_lane(field_sum[f][v], vreinterpretq_s8_u8(q), values, f);
          }
        }
      }
      for (int v = 0; v < QUARTERS; ++v) {
        const int32x4_t low = vaddq_s32(field_sum[0][v], vshrq_n_s32(field_sum[1][v], 2));
        const int32x4_t high = vaddq_s32(vshrq_n_s32(field_sum[2][v], 4), field_sum[3][v]);
        sum[0][v] = vaddq_s32(sum[0][v], vaddq_s32(low, high));
      }
      cells -= count;
    }
    add_integer_block(tile, b, sum, x_sum, 1, total);
  }
  store_totals(total, 1, totals);
}

KERNEL_INLINE int8x16_t load_window(const int8_t* window, const int kept) {
  return kept == 2 ? vcombine_s8(vld1_s8(window), vdup_n_s8(0)) : vld1q_s8(window);
}

KERNEL_INLINE void sparse_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                  const QuantizedRows* x, const int bits, const int kept, const int rows,
                                  float (*totals)[TILE]) {
  const int fields = 8 / bits, window = GROUP * GROUP / kept;
  const int8x16_t zero = vdupq_n_s8((int8_t)(1 << (bits - 1)));
  /* The groups that codes 0..3 of a quad belong to begin at these places of its window. */
  const uint8x16_t groups = vreinterpretq_u8_u32(vdupq_n_u32(kept == 2 ? 0x04040000 : 0x0C080400));
  const uint8_t *cell = tile->codes, *positions = tile->positions;
  const int8_t* windows = x->windows;
  float32x4_t total[INTEGER_ROWS][QUARTERS];
  clear(total, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t quads = block_quads(stored_codes(attributes, b), bits);
    Sums sum, x_sum;
    for (int m = 0; m < rows; ++m) {
      for (int v = 0; v < QUARTERS; ++v) sum[m][v] = x_sum[m][v] = vdupq_n_s32(0);
    }
    for (int64_t quad = 0; quad < quads; ++quad, windows += rows * window) {
      for (int v = 0; v < QUARTERS; ++v) {
        const uint8x16_t codes = vld1q_u8(cell + quad / fields * CELL + v * 16);
        const uint8x16_t places = vld1q_u8(positions + quad / GROUP * CELL + v * 16);
        const int8x16_t stored = weights(codes, (int)(quad % fields), bits);
        const int8x16_t q = bits == 8 ? stored : vsubq_s8(stored, zero);
        const uint8x16_t shifted = vshlq_u8(places, vdupq_n_s8((int8_t)(-(quad % GROUP) * POSITION_BITS)));
        const uint8x16_t place = vaddq_u8(vandq_u8(shifted, vdupq_n_u8(GROUP - 1)), groups);
        for (int m = 0; m < rows; ++m) {
          const int8x16_t values = vqtbl1q_s8(load_window(windows + m * window, kept), place);
          sum[m][v] = multiply_add(sum[m][v], q, values);
          if (tile->offsets != NULL) x_sum[m][v] = multiply_add(x_sum[m][v], vdupq_n_s8(1), values);
        }
      }
    }
    cell += quads / fields * CELL;
    positions += fully_connected_block_cells(attributes, POSITION_BITS) * CELL;
    add_integer_block(tile, b, sum, x_sum, rows, total);
  }
  store_totals(total, rows, totals);
}

KERNEL_INLINE void DENSE_PRODUCT(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                 const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]);

KERNEL_INLINE void integer_rows(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  if (attributes->kept == GROUP && bits == 2 && rows == 1) {
    dense_row_of_2_bits(attributes, tile, x, totals);
  } else if (attributes->kept == GROUP) {
    DENSE_PRODUCT(attributes, tile, x, bits, rows, totals);
  } else if (attributes->kept == 2) {
    sparse_product(attributes, tile, x, bits, 2, rows, totals);
  } else {
    sparse_product(attributes, tile, x, bits, 1, rows, totals);
  }
}

#define DEFINE_PRODUCT(ROWS)                                                                                    \
  TARGET static void integer_product_##ROWS(const FullyConnectedAttributes* attributes, const WeightTile* tile, \
                                            const QuantizedRows* x, float (*totals)[TILE]) {                    \
    if (attributes->weight_bits == 2) integer_rows(attributes, tile, x, 2, ROWS, totals);                       \
    if (attributes->weight_bits == 4) integer_rows(attributes, tile, x, 4, ROWS, totals);                       \
    if (attributes->weight_bits == 8) integer_rows(attributes, tile, x, 8, ROWS, totals);                       \
  }

DEFINE_PRODUCT(1)
DEFINE_PRODUCT(2)
DEFINE_PRODUCT(4)

static void integer_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                            const QuantizedRows* x, float (*totals)[TILE]) {
  for (int t = 0; t < count; ++t, totals += x->rows) {
    if (x->rows == 1) integer_product_1(attributes, &tiles[t], x, totals);
    if (x->rows == 2) integer_product_2(attributes, &tiles[t], x, totals);
    if (x->rows == 4) integer_product_4(attributes, &tiles[t], x, totals);
  }
}
