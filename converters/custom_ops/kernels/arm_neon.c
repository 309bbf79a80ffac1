/* 64-bit Arm of any age, and the float kernels, packing and epilogue of all 64-bit Arm. */
#include "kernel.h"

#if defined(__aarch64__)

#define TARGET
#define TFC_ISA neon
#define QD8_MR 4

#include <arm_neon.h>

static inline __attribute__((always_inline)) int32x4_t multiply_add(int32x4_t acc, int8x16_t a, int8x16_t b) {
  /* Two products of a signed byte with one in -127..127 fit 16 bits. */
  const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
  return vpadalq_s16(acc, vpaddq_s16(low, high));
}

static inline __attribute__((always_inline)) int32x4_t multiply_add_lane(int32x4_t acc, int8x16_t a, int8x16_t b,
                                                                         int lane) {
  const int32x4_t fours = vreinterpretq_s32_s8(b);
  if (lane == 0) return multiply_add(acc, a, vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 0)));
  if (lane == 1) return multiply_add(acc, a, vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 1)));
  if (lane == 2) return multiply_add(acc, a, vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 2)));
  return multiply_add(acc, a, vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 3)));
}

#include "arm_qd8_gemm.h"

enum {
  F32_MR = 4,
  F32_ACCS = 4, /* float accumulators, times QUARTERS */
};

typedef float32x4_t tfc_floats;
enum { FLOATS = 4, MATMUL_MR = 4, MATMUL_NR = 16 };
TFC_INLINE tfc_floats load_floats(const float* from) { return vld1q_f32(from); }
TFC_INLINE void store_floats(float* to, tfc_floats values) { vst1q_f32(to, values); }
TFC_INLINE tfc_floats broadcast_floats(float value) { return vdupq_n_f32(value); }
TFC_INLINE tfc_floats multiply_add_floats(tfc_floats a, tfc_floats b, tfc_floats acc) { return vfmaq_f32(acc, a, b); }

#include "float_kernels.h"

static bool is_available(void) { return true; }

/* ---- Float activations ---- */

TFC_INLINE void clear_floats(float32x4_t (*values)[QUARTERS], const int count) {
  for (int s = 0; s < count; ++s) {
    for (int v = 0; v < QUARTERS; ++v) values[s][v] = vdupq_n_f32(0.0f);
  }
}

/* Entry `index` of a word of fields, of each channel. */
TFC_INLINE int32x4_t entry(uint8x16_t quarter, int index, const int bits) {
  const int32x4_t shift = vdupq_n_s32(-(index % TFC_KR * 8 + index / TFC_KR * tfc_field_bits(bits)));
  const uint32x4_t shifted = vshlq_u32(vreinterpretq_u32_u8(quarter), shift);
  return vreinterpretq_s32_u32(vandq_u32(shifted, vdupq_n_u32((1u << bits) - 1)));
}

TFC_INLINE float32x4_t quantized_floats(uint8x16_t quarter, int index, const int bits) {
  return vcvtq_f32_s32(vsubq_s32(entry(quarter, index, bits), vdupq_n_s32(1 << (bits - 1))));
}

/* The next unit of each panel, and the inputs that it is multiplied with. */
typedef struct {
  const uint8_t* units[TFC_MAX_NT];
  const float* x;
  int64_t k;
} tfc_f32_cursor;

/* Multiplies the first `count` weights of the next units, and moves on. */
TFC_INLINE void f32_add_units(tfc_f32_cursor* cursor, int count, const int bits, const int nt, const int mr,
                              float32x4_t (*acc)[QUARTERS]) {
  const int entries = tfc_unit_entries(bits) / tfc_field_words(bits);
  UNROLL for (int w = 0; w < tfc_field_words(bits); ++w) {
    uint8x16_t quarter[TFC_MAX_NT][QUARTERS];
    for (int t = 0; t < nt; ++t) {
      for (int v = 0; v < QUARTERS; ++v) quarter[t][v] = load_fields(cursor->units[t] + v * 16, w, bits);
    }
    for (int i = 0; i < entries && w * entries + i < count; ++i) {
      const float* x = cursor->x + w * entries + i;
      for (int t = 0; t < nt; ++t) {
        for (int v = 0; v < QUARTERS; ++v) {
          const float32x4_t q = quantized_floats(quarter[t][v], i, bits);
          for (int m = 0; m < mr; ++m) acc[t * mr + m][v] = vfmaq_n_f32(acc[t * mr + m][v], q, x[m * cursor->k]);
        }
      }
    }
  }
  for (int t = 0; t < nt; ++t) cursor->units[t] += tfc_unit_words(bits) * TFC_PANEL_WORD;
  cursor->x += count;
}

TFC_INLINE void f32_dense(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                          const tfc_f32_lhs* lhs, const int bits, const int nt, const int mr, float (*acc)[TFC_NR]) {
  const int entries = tfc_unit_entries(bits);
  tfc_f32_cursor cursor = {.k = attributes->k};
  for (int t = 0; t < nt; ++t) cursor.units[t] = panels[t].codes;
  clear(acc, QUARTERS, nt * mr);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    float32x4_t block_acc[F32_ACCS][QUARTERS], row_sums[F32_MR][QUARTERS];
    clear_floats(block_acc, nt * mr);
    cursor.x = lhs->values + b * attributes->block_length;
    int64_t left = tfc_stored_weights(attributes, b);
    for (; left >= entries; left -= entries) f32_add_units(&cursor, entries, bits, nt, mr, block_acc);
    if (left > 0) f32_add_units(&cursor, (int)left, bits, nt, mr, block_acc);
    for (int m = 0; m < mr; ++m) {
      const float row_sum = lhs->row_sums == NULL ? 0.0f : lhs->row_sums[b * mr + m];
      for (int v = 0; v < QUARTERS; ++v) row_sums[m][v] = vdupq_n_f32(row_sum);
    }
    for (int t = 0; t < nt; ++t) {
      add_scaled(&panels[t], b, block_acc + t * mr, QUARTERS, mr, acc + t * mr);
      if (lhs->row_sums != NULL) subtract_zero_points(&panels[t], b, row_sums, QUARTERS, mr, acc + t * mr);
    }
  }
}

/* The one of four values that each of 4 channels chooses. */
TFC_INLINE float32x4_t choose(const float four[TFC_SPARSITY_M], int32x4_t index) {
  const uint8x16_t bytes = vreinterpretq_u8_u32(vmulq_n_u32(vreinterpretq_u32_s32(index), 0x04040404));
  const uint8x16_t at = vaddq_u8(bytes, vreinterpretq_u8_u32(vdupq_n_u32(0x03020100)));
  return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(vld1q_f32(four)), at));
}

TFC_INLINE void f32_sparse(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                           const tfc_f32_lhs* lhs, const int bits, const int mr, float (*acc)[TFC_NR]) {
  const int64_t k = attributes->k, entries = tfc_unit_entries(bits), index_entries = tfc_unit_entries(TFC_INDEX_BITS);
  const uint8_t *word = panel->codes, *indices = panel->indices;
  clear(acc, QUARTERS, mr);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t first = b * attributes->block_length, stored = tfc_stored_weights(attributes, b);
    float32x4_t block_acc[F32_MR][QUARTERS], row_sums[F32_MR][QUARTERS];
    clear_floats(block_acc, mr);
    clear_floats(row_sums, mr);
    for (int64_t i = 0; i < stored; ++i) {
      const int64_t at = first + i / attributes->sparsity_n * TFC_SPARSITY_M;
      const size_t count = (size_t)tfc_min(TFC_SPARSITY_M, k - at);
      for (int v = 0; v < QUARTERS; ++v) {
        const uint8x16_t weight_quarter = vld1q_u8(word + i / entries * TFC_PANEL_WORD + v * 16);
        const uint8x16_t index_quarter = vld1q_u8(indices + i / index_entries * TFC_PANEL_WORD + v * 16);
        const float32x4_t q = quantized_floats(weight_quarter, (int)(i % entries), bits);
        const int32x4_t index = entry(index_quarter, (int)(i % index_entries), TFC_INDEX_BITS);
        for (int m = 0; m < mr; ++m) {
          float four[TFC_SPARSITY_M] = {0.0f}; /* zeros beyond the end of x */
          memcpy(four, lhs->values + m * k + at, count * sizeof four[0]);
          const float32x4_t value = choose(four, index);
          block_acc[m][v] = vfmaq_f32(block_acc[m][v], q, value);
          row_sums[m][v] = vaddq_f32(row_sums[m][v], value);
        }
      }
    }
    word += tfc_fully_connected_block_words(attributes, bits) * TFC_PANEL_WORD;
    indices += tfc_fully_connected_block_words(attributes, TFC_INDEX_BITS) * TFC_PANEL_WORD;
    add_scaled(panel, b, block_acc, QUARTERS, mr, acc);
    if (panel->zero_points != NULL) subtract_zero_points(panel, b, row_sums, QUARTERS, mr, acc);
  }
}

/* A single row takes two panels at once, so that enough accumulators are busy. */
TFC_INLINE void f32_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels, int nt,
                         const tfc_f32_lhs* lhs, const int bits, const int layout, const int mr, float (*acc)[TFC_NR]) {
  const int at_once = mr == 1 ? 2 : 1;
  int t = 0;
  if (layout == TFC_F32_SPARSE) {
    for (; t < nt; ++t) f32_sparse(attributes, panels + t, lhs, bits, mr, acc + t * mr);
    return;
  }
  for (; t + at_once <= nt; t += at_once) f32_dense(attributes, panels + t, lhs, bits, at_once, mr, acc + t * mr);
  for (; t < nt; ++t) f32_dense(attributes, panels + t, lhs, bits, 1, mr, acc + t * mr);
}

/* ---- Packing ---- */

enum { CHUNK = 16 }; /* values quantized at a time */

TFC_INLINE int32_t largest_bits(const float* x, int64_t count) {
  int32x4_t largest[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  int64_t i = 0;
  for (; i + CHUNK <= count; i += CHUNK) {
    UNROLL for (int j = 0; j < 4; ++j) {
      largest[j] = vmaxq_s32(largest[j], vreinterpretq_s32_f32(vabsq_f32(vld1q_f32(x + i + 4 * j))));
    }
  }
  const int32x4_t low = vmaxq_s32(largest[0], largest[1]), high = vmaxq_s32(largest[2], largest[3]);
  return (int32_t)tfc_max(vmaxvq_s32(vmaxq_s32(low, high)), tfc_largest_magnitude_bits(x + i, count - i));
}

/* Rounds half to even, as tfc_quantize does; NaN becomes 0. */
TFC_INLINE int8x16_t quantize_chunk(const float* x, float inverse) {
  int16x8_t halves[2];
  UNROLL for (int i = 0; i < 2; ++i) {
    const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 8 * i), inverse));
    const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 8 * i + 4), inverse));
    halves[i] = vuzp1q_s16(vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high));
  }
  return vuzp1q_s8(vreinterpretq_s8_s16(halves[0]), vreinterpretq_s8_s16(halves[1]));
}

/* Where the values of a row go in the panel: `length` at a time, `stride` bytes apart. */
typedef struct {
  int8_t* target;
  int64_t stride;
} tfc_row_target;

/* Writes a chunk in pieces of `length` values. */
TFC_INLINE void store_chunk(int8x16_t q, const int length, tfc_row_target* row) {
  int8_t* target = row->target;
  if (length == 16) {
    vst1q_s8(target, q);
  } else if (length == 8) {
    vst1_s8(target, vget_low_s8(q));
    vst1_s8(target + row->stride, vget_high_s8(q));
  } else {
    const int32x4_t fours = vreinterpretq_s32_s8(q);
    vst1q_lane_s32((int32_t*)(void*)target, fours, 0);
    vst1q_lane_s32((int32_t*)(void*)(target + row->stride), fours, 1);
    vst1q_lane_s32((int32_t*)(void*)(target + 2 * row->stride), fours, 2);
    vst1q_lane_s32((int32_t*)(void*)(target + 3 * row->stride), fours, 3);
  }
  row->target += CHUNK / length * row->stride;
}

/* Packs a block of `count` values, followed by zeros up to `padded`, in pieces of `length`. Returns their sum. */
TFC_INLINE int32_t pack_block(const float* x, float inverse, int64_t count, int64_t padded, const int length,
                              tfc_row_target* row) {
  int32x4_t sum = vdupq_n_s32(0);
  int64_t i = 0;
  for (; i + CHUNK <= count; i += CHUNK) {
    const int8x16_t q = quantize_chunk(x + i, inverse);
    sum = vpadalq_s16(sum, vpaddlq_s8(q));
    store_chunk(q, length, row);
  }
  for (; i < padded; i += CHUNK) {
    float rest[CHUNK] = {0.0f};
    int8_t stored[CHUNK];
    if (i < count) memcpy(rest, x + i, (size_t)(count - i) * sizeof rest[0]);
    const int8x16_t q = quantize_chunk(rest, inverse);
    sum = vpadalq_s16(sum, vpaddlq_s8(q));
    vst1q_s8(stored, q);
    if (length == 16 && padded - i < CHUNK) { /* a single row whose lhs_kr is smaller */
      memcpy(row->target, stored, (size_t)(padded - i));
      row->target += padded - i;
    } else {
      row->target = tfc_interleave(stored, tfc_min(CHUNK, padded - i), length, row->stride, row->target);
    }
  }
  return vaddvq_s32(sum);
}

/* As tfc_pack_lhs_row, but for pieces of at least `least` values of a row, the last of which may be padded. */
static float pack_row(const tfc_fully_connected_attributes* attributes, const float* x, int row, int least,
                      tfc_qd8_lhs* lhs) {
  const int mr = lhs->mr, lhs_kr = tfc_lhs_kr(attributes), piece = (int)tfc_max(lhs_kr, least);
  const int length = mr == 1 ? CHUNK : piece; /* the values of a single row are contiguous */
  float inverse;
  const float scale = tfc_row_scale(largest_bits(x, attributes->k), &inverse);
  tfc_row_target target = {lhs->values + row * piece, mr * length};
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t first = b * attributes->block_length, count = tfc_block_inputs(attributes, b);
    const int64_t values = tfc_block_groups(tfc_stored_weights(attributes, b), attributes->weight_bits) * lhs_kr;
    const int64_t padded = mr == 1 ? values : (values + piece - 1) / piece * piece;
    int32_t* sum = &lhs->row_sums[b * mr + row];
    switch (length) { /* known sizes are copied by one load and one store */
      case 4:
        *sum = pack_block(x + first, inverse, count, padded, 4, &target);
        break;
      case 8:
        *sum = pack_block(x + first, inverse, count, padded, 8, &target);
        break;
      default:
        *sum = pack_block(x + first, inverse, count, padded, 16, &target);
    }
  }
  return scale;
}

void tfc_qd8_pack_lhs__neon(const tfc_fully_connected_attributes* attributes, const float* x, tfc_qd8_lhs* lhs,
                            float* scales) {
  tfc_check_pack_lhs(attributes, x, lhs, scales, TFC_MAX_OWN_MR);
  for (int m = 0; m < lhs->mr; ++m) scales[m] = pack_row(attributes, x + m * attributes->k, m, TFC_KR, lhs);
}

/* Rows have eight values side by side, as matrix products take them. */
void tfc_qd8_pack_lhs__neoni8mm(const tfc_fully_connected_attributes* attributes, const float* x, tfc_qd8_lhs* lhs,
                                float* scales) {
  tfc_check_pack_lhs(attributes, x, lhs, scales, TFC_MAX_OWN_MR);
  for (int m = 0; m < lhs->mr; ++m) scales[m] = pack_row(attributes, x + m * attributes->k, m, 2 * TFC_KR, lhs);
}

/* The next values of four rows, of which `left` are not beyond the end of a block; those that are become zero. */
TFC_INLINE void quantize_four_rows(const float* const x[4], int64_t at, int64_t left, const float inverses[4],
                                   int8x16_t q[4]) {
  if (left >= CHUNK) {
    UNROLL for (int r = 0; r < 4; ++r) q[r] = quantize_chunk(x[r] + at, inverses[r]);
    return;
  }
  UNROLL for (int r = 0; r < 4; ++r) {
    float rest[CHUNK] = {0.0f};
    if (left > 0) memcpy(rest, x[r] + at, (size_t)left * sizeof rest[0]);
    q[r] = quantize_chunk(rest, inverses[r]);
  }
}

/* Writes `count` eights of values of each row, those of four rows side by side, `stride` bytes apart. */
TFC_INLINE void interleave_eights(const int8x16_t q[4], int count, int64_t stride, int8_t* target) {
  const int64x2_t rows[] = {vreinterpretq_s64_s8(q[0]), vreinterpretq_s64_s8(q[1]), vreinterpretq_s64_s8(q[2]),
                            vreinterpretq_s64_s8(q[3])};
  UNROLL for (int r = 0; r < 4; r += 2) {
    vst1q_s8(target + r * 8, vreinterpretq_s8_s64(vtrn1q_s64(rows[r], rows[r + 1])));
    if (count > 1) vst1q_s8(target + stride + r * 8, vreinterpretq_s8_s64(vtrn2q_s64(rows[r], rows[r + 1])));
  }
}

/* The same with fours. */
TFC_INLINE void interleave_fours(const int8x16_t q[4], int count, int64_t stride, int8_t* target) {
  int32x4_t even[2], odd[2];
  UNROLL for (int i = 0; i < 2; ++i) {
    const int32x4_t first = vreinterpretq_s32_s8(q[2 * i]), second = vreinterpretq_s32_s8(q[2 * i + 1]);
    even[i] = vtrn1q_s32(first, second);
    odd[i] = vtrn2q_s32(first, second);
  }
  const int64x2_t even_01 = vreinterpretq_s64_s32(even[0]), even_23 = vreinterpretq_s64_s32(even[1]);
  const int64x2_t odd_01 = vreinterpretq_s64_s32(odd[0]), odd_23 = vreinterpretq_s64_s32(odd[1]);
  const int64x2_t columns[] = {vtrn1q_s64(even_01, even_23), vtrn1q_s64(odd_01, odd_23), vtrn2q_s64(even_01, even_23),
                               vtrn2q_s64(odd_01, odd_23)};
  UNROLL for (int i = 0; i < 4; ++i) {
    if (i < count) vst1q_s8(target + i * stride, vreinterpretq_s8_s64(columns[i]));
  }
}

/* Four rows at a time; those after the last one, for which there is room, are copies of it. */
void tfc_pack_strips__neon(const tfc_fully_connected_attributes* attributes, const float* x, int strip_rows, int length,
                           const uint8_t order[16], tfc_qd8_lhs* lhs, float* scales) {
  tfc_check_pack_lhs(attributes, x, lhs, scales, TFC_MAX_MR);
  assert(strip_rows % 4 == 0 && TFC_MR_MULTIPLE % strip_rows == 0 && (length == 4 || length == 8));
  const int mr = lhs->mr, lhs_kr = tfc_lhs_kr(attributes);
  const int64_t stride = strip_rows * length;
  const uint8x16_t places = order == NULL ? vdupq_n_u8(0) : vld1q_u8(order);
  for (int m = 0; m < mr; m += 4) {
    const float* rows[4];
    float inverses[4];
    DO_NOT_UNROLL for (int r = 0; r < 4; ++r) {
      const int row = (int)tfc_min(m + r, mr - 1);
      rows[r] = x + row * attributes->k;
      scales[row] = tfc_row_scale(largest_bits(rows[r], attributes->k), &inverses[r]);
    }
    int8_t* target = lhs->values + m / strip_rows * strip_rows * lhs->row_bytes + m % strip_rows * length;
    for (int64_t b = 0; b < attributes->blocks; ++b) {
      const int64_t first = b * attributes->block_length, count = tfc_block_inputs(attributes, b);
      const int64_t values = tfc_block_groups(tfc_stored_weights(attributes, b), attributes->weight_bits) * lhs_kr;
      int32x4_t sums[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
      for (int64_t i = 0; i < values; i += CHUNK) {
        const int pieces = ((int)tfc_min(CHUNK, values - i) + length - 1) / length;
        int8x16_t q[4];
        quantize_four_rows(rows, first + i, count - i, inverses, q);
        UNROLL for (int r = 0; r < 4; ++r) {
          sums[r] = vpadalq_s16(sums[r], vpaddlq_s8(q[r]));
          if (order != NULL) q[r] = vqtbl1q_s8(q[r], places);
        }
        if (length == 8) {
          interleave_eights(q, pieces, stride, target);
        } else {
          interleave_fours(q, pieces, stride, target);
        }
        target += pieces * stride;
      }
      UNROLL for (int r = 0; r < 4; ++r) lhs->row_sums[b * mr + tfc_min(m + r, mr - 1)] = vaddvq_s32(sums[r]);
    }
  }
}

/* ---- Epilogue ---- */

/* As tfc_activate. */
TFC_INLINE float32x4_t activate_four(tfc_activation activation, float32x4_t value) {
  if (activation == TFC_ACTIVATION_NONE) return value;
  const bool is_relu = activation == TFC_ACTIVATION_RELU, is_relu6 = activation == TFC_ACTIVATION_RELU6;
  const float32x4_t least = vdupq_n_f32(is_relu || is_relu6 ? 0.0f : -1.0f);
  const float32x4_t most = vdupq_n_f32(is_relu ? INFINITY : is_relu6 ? 6.0f : 1.0f);
  const float32x4_t raised = vbslq_f32(vcltq_f32(value, least), least, value);
  return vbslq_f32(vcgtq_f32(raised, most), most, raised);
}

void tfc_epilogue__neon(const tfc_epilogue_arguments* arguments) {
  tfc_check_epilogue(arguments);
  const int mr = arguments->mr, whole = arguments->channels / TFC_NR * TFC_NR;
  for (int first = 0; first < whole; first += TFC_NR) {
    float(*acc)[TFC_NR] = arguments->acc + first / TFC_NR * mr;
    float32x4_t biases[QUARTERS];
    UNROLL for (int v = 0; v < QUARTERS; ++v) biases[v] = vld1q_f32(arguments->bias + first + v * 4);
    for (int m = 0; m < mr; ++m) {
      const float scale = arguments->scales == NULL ? 1.0f : arguments->scales[m];
      float* y = arguments->y + m * arguments->stride + first;
      UNROLL for (int v = 0; v < QUARTERS; ++v) {
        const float32x4_t value = vfmaq_n_f32(biases[v], vld1q_f32(acc[m] + v * 4), scale);
        vst1q_f32(y + v * 4, activate_four(arguments->activation, value));
      }
    }
  }
  tfc_epilogue_loop(arguments, whole);
}

/* ---- Tables ---- */

TFC_DEFINE_QD8_GEMM(neon, 4, MAX_BLOCK_GROUPS, tfc_qd8_pack_lhs__neon, tfc_epilogue__neon)
TFC_DEFINE_F32_GEMM(neon, 4, tfc_epilogue__neon)
TFC_KERNEL_SET(neon, neon, "neon", NULL)

#endif
