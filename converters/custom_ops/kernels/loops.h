/* Plain C loops that every instruction set compiles for itself; the order of their float operations is fixed. */
#ifndef TFC_KERNELS_LOOPS_H_
#define TFC_KERNELS_LOOPS_H_

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel.h"

/* Excess precision would break the promise of one result on every machine. */
_Static_assert(FLT_EVAL_METHOD == 0, "float expressions must be evaluated in float");

#define TFC_INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")

TFC_INLINE int64_t tfc_min(int64_t a, int64_t b) { return a < b ? a : b; }
TFC_INLINE int64_t tfc_max(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- Packed weights ---- */

/* The k groups of a unit. */
TFC_INLINE int tfc_unit_groups(int bits) { return tfc_unit_entries(bits) / TFC_KR; }

/* Bits from a field of a word to the next, and the words that have the fields of a unit: of 3 bits more than are
 * stored. */
TFC_INLINE int tfc_field_bits(int bits) { return bits == 3 ? 4 : bits; }
TFC_INLINE int tfc_field_words(int bits) { return bits == 3 ? 4 : 1; }

/* Values of x per row and k group: see tfc_qd8_lhs. */
TFC_INLINE int tfc_lhs_kr(const tfc_fully_connected_attributes* attributes) {
  return TFC_KR * TFC_SPARSITY_M / attributes->sparsity_n;
}

/* Input features of a block. */
TFC_INLINE int64_t tfc_block_inputs(const tfc_fully_connected_attributes* attributes, int64_t block) {
  return tfc_min(attributes->block_length, attributes->k - block * attributes->block_length);
}

/* Weights of a channel that are stored for a block. */
TFC_INLINE int64_t tfc_stored_weights(const tfc_fully_connected_attributes* attributes, int64_t block) {
  const int64_t length = tfc_block_inputs(attributes, block);
  if (attributes->sparsity_n == TFC_SPARSITY_M) return length;
  return (length + TFC_SPARSITY_M - 1) / TFC_SPARSITY_M * attributes->sparsity_n;
}

/* The units of a block with so many stored weights. */
TFC_INLINE int64_t tfc_block_units(int64_t stored, int bits) {
  const int64_t entries = tfc_unit_entries(bits);
  return (stored + entries - 1) / entries;
}

/* The k groups of such a block, up to the end of its last unit. */
TFC_INLINE int64_t tfc_block_groups(int64_t stored, int bits) {
  return tfc_block_units(stored, bits) * tfc_unit_groups(bits);
}

/* Whether a matmul of so many rows is bound by memory, which is fastest when read in one sequence: panels should be
 * taken one after the other then. The more rows and the fewer bits, the longer the multiplications per byte
 * take. */
TFC_INLINE bool tfc_is_memory_bound(int bits, int64_t m) { return m <= bits / 2; }

TFC_INLINE float tfc_half_to_float(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7FFF;
  if (magnitude < 0x0400) { /* zero or subnormal: a multiple of 2^-24 */
    const float value = (float)magnitude * 0x1p-24f;
    return sign ? -value : value;
  }
  const uint32_t exponent_shift = magnitude >= 0x7C00 ? 224u << 23 : 112u << 23; /* infinity and NaN stay so */
  const uint32_t bits = sign | ((magnitude << 13) + exponent_shift);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* The preconditions that all GEMM kernels share. */
TFC_INLINE void tfc_check_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels, int nt,
                               int bits, float (*acc)[TFC_NR]) {
  assert(attributes != NULL && panels != NULL && acc != NULL);
  assert(attributes->weight_bits == bits && attributes->blocks > 0 && attributes->block_length > 0);
  assert(attributes->blocks == 1 || attributes->block_length % 8 == 0);
  assert(nt > 0 && nt <= TFC_MAX_NT);
  for (int t = 0; t < nt; ++t) {
    assert(panels[t].codes != NULL && panels[t].scales != NULL);
    assert((panels[t].zero_points == NULL) == attributes->symmetric);
    assert((panels[t].indices == NULL) == (attributes->sparsity_n == TFC_SPARSITY_M));
    assert((uintptr_t)panels[t].scales % sizeof(uint16_t) == 0);
  }
  (void)attributes, (void)panels, (void)nt, (void)bits, (void)acc;
}

/* ---- The epilogue ---- */

/* A NaN passes through. */
TFC_INLINE float tfc_activate(tfc_activation activation, float value) {
  switch (activation) {
    case TFC_ACTIVATION_RELU:
      return value < 0.0f ? 0.0f : value;
    case TFC_ACTIVATION_RELU_N1_TO_1:
      return value < -1.0f ? -1.0f : value > 1.0f ? 1.0f : value;
    case TFC_ACTIVATION_RELU6:
      return value < 0.0f ? 0.0f : value > 6.0f ? 6.0f : value;
    case TFC_ACTIVATION_NONE:
      break;
  }
  return value;
}

TFC_INLINE void tfc_check_epilogue(const tfc_epilogue_arguments* arguments) {
  assert(arguments->acc != NULL && arguments->bias != NULL && arguments->y != NULL);
  assert(arguments->mr > 0 && arguments->mr <= TFC_MAX_MR);
  assert(arguments->channels > 0 && arguments->channels <= TFC_MAX_NT * TFC_NR);
  assert(arguments->stride >= arguments->channels);
  (void)arguments;
}

/* The epilogue from channel `first` on, a multiple of TFC_NR. Full panels without an activation, the usual case,
 * vectorize. */
TFC_INLINE void tfc_epilogue_loop(const tfc_epilogue_arguments* arguments, int first) {
  const int mr = arguments->mr, channels = arguments->channels;
  const tfc_activation activation = arguments->activation;
  const float* restrict bias = arguments->bias;
  for (; first < channels; first += TFC_NR) {
    const int count = (int)tfc_min(TFC_NR, channels - first);
    for (int m = 0; m < mr; ++m) {
      const float scale = arguments->scales == NULL ? 1.0f : arguments->scales[m];
      const float* restrict acc = arguments->acc[first / TFC_NR * mr + m];
      float* restrict y = arguments->y + m * arguments->stride + first;
      if (count == TFC_NR && activation == TFC_ACTIVATION_NONE) {
        _Pragma("GCC unroll 1") /* unrolled, gcc would leave it scalar */
            for (int c = 0; c < TFC_NR; ++c) y[c] = __builtin_fmaf(scale, acc[c], bias[first + c]);
      } else {
        for (int c = 0; c < count; ++c) {
          y[c] = tfc_activate(activation, __builtin_fmaf(scale, acc[c], bias[first + c]));
        }
      }
    }
  }
}

/* ---- Packing of rows of x ---- */

/* The bit pattern of max|x|. Patterns of non-negative floats are ordered as their values, with NaN above infinity. */
TFC_INLINE int32_t tfc_largest_magnitude_bits(const float* x, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    int32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    bits &= INT32_MAX;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

/* The scale of a row and the factor that quantizes its values, from the bit pattern of max|x|: see tfc_pack_lhs_row. */
TFC_INLINE float tfc_row_scale(int32_t largest_bits, float* inverse) {
  float largest;
  memcpy(&largest, &largest_bits, sizeof largest);
  *inverse = 127.0f / largest;
  if (isfinite(largest) && isfinite(*inverse)) return largest * (1.0f / 127.0f);
  *inverse = 0.0f;
  return isfinite(largest) ? 0.0f : NAN;
}

/* Adding it leaves no fraction bits: the result is rounded to an integer, half to even, for |value| < 2^22. */
#define TFC_ROUNDER 0x1.8p23f

/* Rounds x * inverse, half to even; no result leaves -127..127. Writes the quantized values and returns their sum. */
TFC_INLINE int32_t tfc_quantize(const float* restrict x, float inverse, int64_t count, int8_t* restrict q) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t value = (int32_t)(x[i] * inverse + TFC_ROUNDER - TFC_ROUNDER);
    q[i] = (int8_t)value;
    sum += value;
  }
  return sum;
}

/* Copies quantized values in pieces of lhs_kr, which are `stride` bytes apart in the panel. Returns the address of the
 * next piece. */
TFC_INLINE int8_t* tfc_interleave(const int8_t* restrict q, int64_t count, const int lhs_kr, int64_t stride,
                                  int8_t* restrict target) {
  for (int64_t i = 0; i < count; i += lhs_kr, target += stride) memcpy(target, q + i, (size_t)lhs_kr);
  return target;
}

TFC_INLINE void tfc_check_pack_lhs(const tfc_fully_connected_attributes* attributes, const float* x,
                                   const tfc_qd8_lhs* lhs, const float* scales, int max_mr) {
  assert(attributes != NULL && x != NULL && lhs != NULL && scales != NULL);
  assert(lhs->mr > 0 && lhs->mr <= max_mr && lhs->values != NULL && lhs->row_sums != NULL);
  assert((uintptr_t)x % sizeof(float) == 0 && (uintptr_t)lhs->row_sums % sizeof(int32_t) == 0);
  (void)attributes, (void)x, (void)lhs, (void)scales, (void)max_mr;
}

/* Replaces x by scale * q, q = round_half_even(x * (127 / max|x|)) in -127..127, scale = max|x| * (1 / 127). Writes q
 * to row `row` of the panel and returns the scale. A row whose 127 / max|x| is infinite (zeros, or nothing
 * above 3.8e-37) gets the values 0 and the scale 0; a row with a NaN or an infinity the scale NaN. */
TFC_INLINE float tfc_pack_lhs_row(const tfc_fully_connected_attributes* attributes, const float* x, int row,
                                  tfc_qd8_lhs* lhs) {
  enum { CHUNK = 256 }; /* values at a time; a multiple of every lhs_kr */
  const int mr = lhs->mr, lhs_kr = tfc_lhs_kr(attributes);
  float inverse;
  const float scale = tfc_row_scale(tfc_largest_magnitude_bits(x, attributes->k), &inverse);
  const bool is_finite = !isnan(scale);
  int8_t* target = lhs->values + row * lhs_kr;
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const float* values = x + b * attributes->block_length;
    const int64_t length = tfc_block_inputs(attributes, b);
    const int64_t padded = tfc_block_groups(tfc_stored_weights(attributes, b), attributes->weight_bits) * lhs_kr;
    int32_t sum = 0;
    for (int64_t first = 0; first < padded; first += CHUNK) {
      int8_t q[CHUNK];
      const int64_t count = tfc_min(CHUNK, padded - first);
      const int64_t filled = is_finite && first < length ? tfc_min(count, length - first) : 0;
      sum += tfc_quantize(values + first, inverse, filled, q);
      memset(q + filled, 0, (size_t)(count - filled));
      switch (lhs_kr) { /* known sizes are copied by one load and one store */
        case 4:
          target = tfc_interleave(q, count, 4, mr * 4, target);
          break;
        case 8:
          target = tfc_interleave(q, count, 8, mr * 8, target);
          break;
        default:
          target = tfc_interleave(q, count, 16, mr * 16, target);
      }
    }
    lhs->row_sums[b * mr + row] = sum;
  }
  return scale;
}

/* ---- Float operations ---- */

TFC_INLINE void tfc_check_dwconv(const tfc_depthwise_convolution_attributes* attributes,
                                 const tfc_depthwise_convolution_weights* weights, int64_t frames, const float* x,
                                 const float* y) {
  assert(attributes != NULL && attributes->length > 0 && attributes->channels > 0 && frames > 0);
  assert(weights->filter != NULL && weights->bias != NULL && x != NULL && y != NULL);
  (void)attributes, (void)weights, (void)frames, (void)x, (void)y;
}

/* The depthwise convolution of the channels from `first` on. */
TFC_INLINE void tfc_dwconv_loop(const tfc_depthwise_convolution_attributes* attributes,
                                const tfc_depthwise_convolution_weights* weights, int64_t frames, const float* x,
                                int64_t first, float* y) {
  const int64_t channels = attributes->channels;
  for (int64_t t = 0; t < frames; ++t) {
    for (int64_t c = first; c < channels; ++c) {
      float acc = weights->bias[c];
      for (int64_t i = 0; i < attributes->length; ++i) {
        acc = __builtin_fmaf(weights->filter[i * channels + c], x[(t + i) * channels + c], acc);
      }
      y[t * channels + c] = acc;
    }
  }
}

/* Partial sums of a row: element i is added to partial sum i % TFC_LANES, and those are added pairwise. */
enum { TFC_LANES = 64 };

TFC_INLINE float tfc_reduce_lanes(float* lanes, int count) {
  for (int half = count / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

/* Adds elements of a row, or the squares of their distances to the mean, to the first `count` partial sums. */
TFC_INLINE void tfc_add_to_lanes(const float* x, int64_t count, float mean, bool squared, float* lanes) {
  for (int64_t i = 0; i < count; ++i) {
    const float centered = x[i] - mean;
    lanes[i] = squared ? __builtin_fmaf(centered, centered, lanes[i]) : lanes[i] + x[i];
  }
}

TFC_INLINE void tfc_check_layer_norm(const tfc_layer_normalization_attributes* attributes,
                                     const tfc_layer_normalization_weights* weights, int64_t m, const float* x,
                                     const float* y) {
  assert(attributes != NULL && attributes->channels > 0 && attributes->epsilon > 0.0f && m > 0);
  assert(weights->gamma != NULL && weights->beta != NULL && x != NULL && y != NULL);
  (void)attributes, (void)weights, (void)m, (void)x, (void)y;
}

TFC_INLINE void tfc_check_matmul(const tfc_f32_matmul_arguments* arguments) {
  assert(arguments->m > 0 && arguments->k > 0 && arguments->n >= 0);
  assert(arguments->a != NULL && arguments->b != NULL && arguments->c != NULL);
  assert(arguments->a_stride >= arguments->k && arguments->b_stride >= arguments->n);
  assert(arguments->m == 1 || arguments->c_stride >= arguments->n);
  (void)arguments;
}

/* The float matmul of the rows from `first_row` and the columns from `first_column` on. */
TFC_INLINE void tfc_matmul_loop(const tfc_f32_matmul_arguments* arguments, int64_t first_row, int64_t rows,
                                int64_t first_column) {
  for (int64_t i = first_row; i < first_row + rows; ++i) {
    const float* a = arguments->a + i * arguments->a_stride;
    float* c = arguments->c + i * arguments->c_stride;
    for (int64_t j = first_column; j < arguments->n; ++j) {
      float acc = arguments->accumulate ? c[j] : 0.0f;
      for (int64_t l = 0; l < arguments->k; ++l)
        acc = __builtin_fmaf(a[l], arguments->b[l * arguments->b_stride + j], acc);
      c[j] = acc;
    }
  }
}

/* exp(x) of a number that is not above 0, within 2 ulp, is
 *
 *   2^n * (1 + r + r^2 / 2! + ... + r^7 / 7!),   n = round(x / ln 2), r = x - n ln 2, in fused multiply-adds;
 *
 * below TFC_LEAST_EXPONENT it is 0. The Taylor series ends where its terms, |r| <= ln 2 / 2, are below half an ulp. */
#define TFC_LEAST_EXPONENT -87.0f
#define TFC_LOG2_E 0x1.715476p0f
#define TFC_LN_2_HIGH 0x1.62e400p-1f /* with few bits, so that n times it is exact */
#define TFC_LN_2_LOW 0x1.7f7d1cp-20f
#define TFC_EXPONENT_BIAS 127
#define TFC_EXPONENT_SHIFT 23
static const float tfc_taylor[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
enum { TFC_TAYLOR_TERMS = sizeof tfc_taylor / sizeof tfc_taylor[0] };

TFC_INLINE float tfc_exp(float x) {
  const float shifted = __builtin_fmaf(x, TFC_LOG2_E, TFC_ROUNDER), rounder = TFC_ROUNDER;
  const float n = shifted - TFC_ROUNDER;
  const float r = __builtin_fmaf(-n, TFC_LN_2_LOW, __builtin_fmaf(-n, TFC_LN_2_HIGH, x));
  float series = tfc_taylor[0];
  for (int i = 1; i < TFC_TAYLOR_TERMS; ++i) series = __builtin_fmaf(series, r, tfc_taylor[i]);
  uint32_t bits, rounder_bits;
  memcpy(&bits, &shifted, sizeof bits);
  memcpy(&rounder_bits, &rounder, sizeof rounder_bits);
  bits = (bits - rounder_bits + TFC_EXPONENT_BIAS) << TFC_EXPONENT_SHIFT;
  float power;
  memcpy(&power, &bits, sizeof power);
  return x < TFC_LEAST_EXPONENT ? 0.0f : series * power; /* a NaN passes through */
}

TFC_INLINE void tfc_check_exp_scores(const float* position_scores, const float* mask, int64_t count,
                                     const float* scores) {
  assert(position_scores != NULL && mask != NULL && scores != NULL && count > 0);
  (void)position_scores, (void)mask, (void)count, (void)scores;
}

/* The next multiple of TFC_LANES. */
TFC_INLINE int64_t tfc_padded_lanes(int64_t count) { return (count + TFC_LANES - 1) / TFC_LANES * TFC_LANES; }

#endif
