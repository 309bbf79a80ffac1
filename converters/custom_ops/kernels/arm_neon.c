/* 64-bit Arm of any age, and the float product for all of them. */
#if defined(__aarch64__)

#define TARGET

#include <arm_neon.h>

static inline __attribute__((always_inline)) int32x4_t multiply_add(int32x4_t sum, int8x16_t a, int8x16_t b) {
  /* Two products of a signed byte with one in -127..127 fit 16 bits. */
  const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
  return vpadalq_s16(sum, vpaddq_s16(low, high));
}

static inline __attribute__((always_inline)) int32x4_t multiply_add_lane(int32x4_t sum, int8x16_t a, int8x16_t b,
                                                                         int lane) {
  const int32x4_t fours = vreinterpretq_s32_s8(b);
  if (lane == 0) return multiply_add(sum, a, vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 0)));
  if (lane == 1) return multiply_add(sum, a, vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 1)));
  if (lane == 2) return multiply_add(sum, a, vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 2)));
  return multiply_add(sum, a, vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 3)));
}

#include "arm_integer.h"

enum {
  FLOAT_ROWS = 4,
  CHAINS = 4, /* float sums in flight, times QUARTERS */
};

typedef float32x4_t Floats;
enum { FLOATS = 4, PRODUCT_ROWS = 4, PRODUCT_VECTORS = 4 };
INLINE Floats load_floats(const float* from) { return vld1q_f32(from); }
INLINE void store_floats(float* to, Floats values) { vst1q_f32(to, values); }
INLINE Floats broadcast_float(float value) { return vdupq_n_f32(value); }
INLINE Floats multiply_add_floats(Floats a, Floats b, Floats sum) { return vfmaq_f32(sum, a, b); }

#include "float_loops.h"

static bool is_available(void) { return true; }

INLINE void clear_floats(float32x4_t (*values)[QUARTERS], const int count) {
  for (int s = 0; s < count; ++s) {
    for (int v = 0; v < QUARTERS; ++v) values[s][v] = vdupq_n_f32(0.0f);
  }
}

/* Entry `index` of a cell, of each channel. */
INLINE int32x4_t entry(uint8x16_t quarter, int index, const int bits) {
  const int32x4_t shift = vdupq_n_s32(-(index % GROUP * 8 + index / GROUP * bits));
  const uint32x4_t shifted = vshlq_u32(vreinterpretq_u32_u8(quarter), shift);
  return vreinterpretq_s32_u32(vandq_u32(shifted, vdupq_n_u32((1u << bits) - 1)));
}

INLINE float32x4_t code_value(uint8x16_t quarter, int index, const int bits) {
  return vcvtq_f32_s32(vsubq_s32(entry(quarter, index, bits), vdupq_n_s32(1 << (bits - 1))));
}

/* Adds the first `codes` codes of a cell in each tile. */
INLINE void add_cell(const uint8_t* const* cells, const float* x, int64_t k, const int bits, int codes, const int count,
                     const int rows, float32x4_t (*sums)[QUARTERS]) {
  for (int i = 0; i < codes; ++i) {
    for (int t = 0; t < count; ++t) {
      for (int v = 0; v < QUARTERS; ++v) {
        const float32x4_t q = code_value(vld1q_u8(cells[t] + v * 16), i, bits);
        for (int m = 0; m < rows; ++m) sums[t * rows + m][v] = vfmaq_n_f32(sums[t * rows + m][v], q, x[m * k + i]);
      }
    }
  }
}

INLINE void dense_float_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles,
                                const FloatRows* x, const int bits, const int count, const int rows,
                                float (*totals)[TILE]) {
  const int64_t k = attributes->k, cell_length = cell_codes(bits);
  const uint8_t* cells[MAX_TILES];
  for (int t = 0; t < count; ++t) cells[t] = tiles[t].codes;
  clear(totals, count * rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const float* values = x->values + b * attributes->block_length;
    float32x4_t sums[CHAINS][QUARTERS], x_sums[FLOAT_ROWS][QUARTERS];
    clear_floats(sums, count * rows);
    int64_t left = stored_codes(attributes, b);
    for (; left >= cell_length; left -= cell_length, values += cell_length) {
      add_cell(cells, values, k, bits, (int)cell_length, count, rows, sums);
      for (int t = 0; t < count; ++t) cells[t] += CELL;
    }
    if (left > 0) {
      add_cell(cells, values, k, bits, (int)left, count, rows, sums);
      for (int t = 0; t < count; ++t) cells[t] += CELL;
    }
    for (int m = 0; m < rows; ++m) {
      for (int v = 0; v < QUARTERS; ++v) x_sums[m][v] = vdupq_n_f32(x->sums == NULL ? 0.0f : x->sums[b * rows + m]);
    }
    for (int t = 0; t < count; ++t) {
      add_scaled(&tiles[t], b, sums + t * rows, rows, totals + t * rows);
      if (x->sums != NULL) subtract_offsets(&tiles[t], b, x_sums, rows, totals + t * rows);
    }
  }
}

/* The value at place 0..3 of a group of four, for each of 4 channels. */
INLINE float32x4_t pick(const float group[GROUP], int32x4_t place) {
  const uint8x16_t bytes = vreinterpretq_u8_u32(vmulq_n_u32(vreinterpretq_u32_s32(place), 0x04040404));
  const uint8x16_t at = vaddq_u8(bytes, vreinterpretq_u8_u32(vdupq_n_u32(0x03020100)));
  return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(vld1q_f32(group)), at));
}

INLINE void sparse_float_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                 const FloatRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int64_t k = attributes->k, cell_length = cell_codes(bits), position_cell_length = cell_codes(POSITION_BITS);
  const uint8_t *cell = tile->codes, *positions = tile->positions;
  clear(totals, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t first = b * attributes->block_length, stored = stored_codes(attributes, b);
    float32x4_t sums[FLOAT_ROWS][QUARTERS], x_sums[FLOAT_ROWS][QUARTERS];
    clear_floats(sums, rows);
    clear_floats(x_sums, rows);
    for (int64_t i = 0; i < stored; ++i) {
      const int64_t at = first + i / attributes->kept * GROUP;
      const size_t there = (size_t)smaller(GROUP, k - at);
      for (int v = 0; v < QUARTERS; ++v) {
        const uint8x16_t codes = vld1q_u8(cell + i / cell_length * CELL + v * 16);
        const uint8x16_t places = vld1q_u8(positions + i / position_cell_length * CELL + v * 16);
        const float32x4_t q = code_value(codes, (int)(i % cell_length), bits);
        const int32x4_t place = entry(places, (int)(i % position_cell_length), POSITION_BITS);
        for (int m = 0; m < rows; ++m) {
          float group[GROUP] = {0.0f}; /* zeros stand for what is beyond x */
          memcpy(group, x->values + m * k + at, there * sizeof group[0]);
          const float32x4_t value = pick(group, place);
          sums[m][v] = vfmaq_f32(sums[m][v], q, value);
          x_sums[m][v] = vaddq_f32(x_sums[m][v], value);
        }
      }
    }
    cell += fully_connected_block_cells(attributes, bits) * CELL;
    positions += fully_connected_block_cells(attributes, POSITION_BITS) * CELL;
    add_scaled(tile, b, sums, rows, totals);
    if (tile->offsets != NULL) subtract_offsets(tile, b, x_sums, rows, totals);
  }
}

/* Few rows go with several tiles, so that there are enough sums in flight. */
INLINE void float_rows(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                       const FloatRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int together = rows == 1 ? 2 : 1;
  int t = 0;
  if (attributes->kept != GROUP) {
    for (; t < count; ++t) sparse_float_product(attributes, tiles + t, x, bits, rows, totals + t * rows);
    return;
  }
  for (; t + together <= count; t += together) {
    dense_float_product(attributes, tiles + t, x, bits, together, rows, totals + t * rows);
  }
  for (; t < count; ++t) dense_float_product(attributes, tiles + t, x, bits, 1, rows, totals + t * rows);
}

#define DEFINE_FLOAT_PRODUCT(ROWS)                                                                                \
  static void float_product_##ROWS(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count, \
                                   const FloatRows* x, float (*totals)[TILE]) {                                   \
    if (attributes->weight_bits == 2) float_rows(attributes, tiles, count, x, 2, ROWS, totals);                   \
    if (attributes->weight_bits == 4) float_rows(attributes, tiles, count, x, 4, ROWS, totals);                   \
    if (attributes->weight_bits == 8) float_rows(attributes, tiles, count, x, 8, ROWS, totals);                   \
  }

DEFINE_FLOAT_PRODUCT(1)
DEFINE_FLOAT_PRODUCT(2)
DEFINE_FLOAT_PRODUCT(4)

void arm_float_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                       const FloatRows* x, float (*totals)[TILE]) {
  if (x->rows == 1) float_product_1(attributes, tiles, count, x, totals);
  if (x->rows == 2) float_product_2(attributes, tiles, count, x, totals);
  if (x->rows == 4) float_product_4(attributes, tiles, count, x, totals);
}

enum { SIXTEEN = 16 }; /* values quantized at a time */

INLINE int32_t largest_bits(const float* x, int64_t count) {
  int32x4_t largest[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  int64_t i = 0;
  for (; i + SIXTEEN <= count; i += SIXTEEN) {
    UNROLL for (int j = 0; j < 4; ++j) {
      largest[j] = vmaxq_s32(largest[j], vreinterpretq_s32_f32(vabsq_f32(vld1q_f32(x + i + 4 * j))));
    }
  }
  const int32x4_t low = vmaxq_s32(largest[0], largest[1]), high = vmaxq_s32(largest[2], largest[3]);
  return (int32_t)larger(vmaxvq_s32(vmaxq_s32(low, high)), largest_magnitude_bits(x + i, count - i));
}

/* Rounds half to even, as the portable loop does; NaN becomes 0. */
INLINE int8x16_t quantize_sixteen(const float* x, float inverse) {
  int16x8_t halves[2];
  UNROLL for (int i = 0; i < 2; ++i) {
    const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 8 * i), inverse));
    const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 8 * i + 4), inverse));
    halves[i] = vuzp1q_s16(vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high));
  }
  return vuzp1q_s8(vreinterpretq_s8_s16(halves[0]), vreinterpretq_s8_s16(halves[1]));
}

/* Writes 16 codes in pieces that are `stride` bytes apart; returns where the next one is. */
INLINE int8_t* store_sixteen(int8x16_t codes, const int piece, int64_t stride, int8_t* target) {
  if (piece == 16) {
    vst1q_s8(target, codes);
  } else if (piece == 8) {
    vst1_s8(target, vget_low_s8(codes));
    vst1_s8(target + stride, vget_high_s8(codes));
  } else {
    const int32x4_t fours = vreinterpretq_s32_s8(codes);
    vst1q_lane_s32((int32_t*)(void*)target, fours, 0);
    vst1q_lane_s32((int32_t*)(void*)(target + stride), fours, 1);
    vst1q_lane_s32((int32_t*)(void*)(target + 2 * stride), fours, 2);
    vst1q_lane_s32((int32_t*)(void*)(target + 3 * stride), fours, 3);
  }
  return target + SIXTEEN / piece * stride;
}

/* The codes of a block of so many values, filled up with zeros to `padded`, in pieces. Returns their sum. */
INLINE int32_t quantize_block(const float* x, float inverse, int64_t length, int64_t padded, const int piece,
                              int64_t stride, int8_t** target) {
  int32x4_t sum = vdupq_n_s32(0);
  int64_t i = 0;
  for (; i + SIXTEEN <= length; i += SIXTEEN) {
    const int8x16_t codes = quantize_sixteen(x + i, inverse);
    sum = vpadalq_s16(sum, vpaddlq_s8(codes));
    *target = store_sixteen(codes, piece, stride, *target);
  }
  for (; i < padded; i += SIXTEEN) {
    float rest[SIXTEEN] = {0.0f};
    int8_t stored[SIXTEEN];
    if (i < length) memcpy(rest, x + i, (size_t)(length - i) * sizeof rest[0]);
    const int8x16_t codes = quantize_sixteen(rest, inverse);
    sum = vpadalq_s16(sum, vpaddlq_s8(codes));
    vst1q_s8(stored, codes);
    if (piece == 16 && padded - i < SIXTEEN) { /* a single row of a layer with shorter windows */
      memcpy(*target, stored, (size_t)(padded - i));
      *target += padded - i;
    } else {
      *target = write_windows(stored, smaller(SIXTEEN, padded - i), piece, stride, *target);
    }
  }
  return vaddvq_s32(sum);
}

/* As quantize_row_loop. */
static float quantize_row(const FullyConnectedAttributes* attributes, const float* x, int row,
                          QuantizedRows* quantized) {
  const int rows = quantized->rows, window = window_codes(attributes);
  float inverse;
  const float scale = row_scale(largest_bits(x, attributes->k), &inverse);
  int8_t* target = quantized->windows + row * window;
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t first = b * attributes->block_length, length = block_inputs(attributes, b);
    const int64_t padded = block_quads(stored_codes(attributes, b), attributes->weight_bits) * window;
    int32_t* sum = &quantized->code_sums[b * rows + row];
    if (rows == 1 || window == 16) { /* the windows of a single row make one piece */
      *sum = quantize_block(x + first, inverse, length, padded, 16, rows * 16, &target);
    } else if (window == 8) {
      *sum = quantize_block(x + first, inverse, length, padded, 8, rows * 8, &target);
    } else {
      *sum = quantize_block(x + first, inverse, length, padded, 4, rows * 4, &target);
    }
  }
  return scale;
}

void arm_quantize_rows(const FullyConnectedAttributes* attributes, const float* x, QuantizedRows* quantized,
                       float* scales) {
  for (int m = 0; m < quantized->rows; ++m) scales[m] = quantize_row(attributes, x + m * attributes->k, m, quantized);
}

/* As `activate`. */
INLINE float32x4_t activate_four(Activation activation, float32x4_t value) {
  if (activation == ACTIVATION_NONE) return value;
  const bool is_relu = activation == ACTIVATION_RELU, is_relu6 = activation == ACTIVATION_RELU6;
  const float32x4_t least = vdupq_n_f32(is_relu || is_relu6 ? 0.0f : -1.0f);
  const float32x4_t most = vdupq_n_f32(is_relu ? INFINITY : is_relu6 ? 6.0f : 1.0f);
  const float32x4_t raised = vbslq_f32(vcltq_f32(value, least), least, value);
  return vbslq_f32(vcgtq_f32(raised, most), most, raised);
}

/* As finish_rows_loop. */
void arm_finish_rows(float (*totals)[TILE], int rows, const float* scales, const float* bias, Activation activation,
                     int channels, float* y, int64_t stride) {
  const int whole = channels / TILE * TILE;
  for (int first = 0; first < whole; first += TILE, totals += rows) {
    float32x4_t biases[QUARTERS];
    UNROLL for (int v = 0; v < QUARTERS; ++v) biases[v] = vld1q_f32(bias + first + v * 4);
    for (int m = 0; m < rows; ++m) {
      const float scale = scales == NULL ? 1.0f : scales[m];
      UNROLL for (int v = 0; v < QUARTERS; ++v) {
        const float32x4_t value = vfmaq_n_f32(biases[v], vld1q_f32(totals[m] + v * 4), scale);
        vst1q_f32(y + m * stride + first + v * 4, activate_four(activation, value));
      }
    }
  }
  finish_rows_loop(totals, rows, scales, bias + whole, activation, channels - whole, y + whole, stride);
}

void arm_convolve_frames(const DepthwiseConvolutionAttributes* attributes, const float* kernel, const float* bias,
                         int64_t frames, const float* x, float* y) {
  convolve_frames(attributes, kernel, bias, frames, x, y);
}

void arm_normalize_rows(const LayerNormalizationAttributes* attributes, const float* gain, const float* bias,
                        int64_t rows, const float* x, float* y) {
  normalize_rows(attributes, gain, bias, rows, x, y);
}

void arm_multiply_matrix(int64_t rows, int64_t depth, int64_t columns, const float* x, int64_t x_stride,
                         const float* matrix, int64_t matrix_stride, bool add, float* y, int64_t y_stride) {
  multiply_matrix(rows, depth, columns, x, x_stride, matrix, matrix_stride, add, y, y_stride);
}

float arm_exponentiate_scores(const float* positions, const float* mask, int64_t count, float* scores) {
  return exponentiate_scores(positions, mask, count, scores);
}

const Kernel arm_neon_kernel = {
    .name = "neon",
    .is_available = is_available,
    .integer_rows = INTEGER_ROWS,
    .float_rows = FLOAT_ROWS,
    .integer_product = integer_product,
    .float_product = arm_float_product,
    .quantize_rows = arm_quantize_rows,
    .finish_rows = arm_finish_rows,
    .convolve_frames = arm_convolve_frames,
    .normalize_rows = arm_normalize_rows,
    .multiply_matrix = arm_multiply_matrix,
    .exponentiate_scores = arm_exponentiate_scores,
};

#else
typedef int NothingForThisProcessor; /* an empty translation unit is not C */
#endif
