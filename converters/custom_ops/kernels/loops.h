/* Loops that every instruction set compiles for itself: plain C whose order of float operations is fixed. */
#ifndef TFCONFORMER_KERNELS_LOOPS_H_
#define TFCONFORMER_KERNELS_LOOPS_H_

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel.h"

/* Excess precision would break the promise of one result on every machine. */
_Static_assert(FLT_EVAL_METHOD == 0, "float expressions must be evaluated in float");

#define INLINE static inline __attribute__((always_inline))

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Codes of a channel in one cell. */
INLINE int64_t cell_codes(int bits) { return 8 * CELL / (TILE * bits); }

INLINE float half_to_float(uint16_t half) {
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

/* A NaN passes through. */
INLINE float activate(Activation activation, float value) {
  switch (activation) {
    case ACTIVATION_RELU:
      return value < 0.0f ? 0.0f : value;
    case ACTIVATION_RELU_N1_TO_1:
      return value < -1.0f ? -1.0f : value > 1.0f ? 1.0f : value;
    case ACTIVATION_RELU6:
      return value < 0.0f ? 0.0f : value > 6.0f ? 6.0f : value;
    case ACTIVATION_NONE:
      break;
  }
  return value;
}

/* Full tiles without an activation, the usual case, vectorize. */
INLINE void finish_rows_loop(float (*restrict totals)[TILE], int rows, const float* restrict scales,
                             const float* restrict bias, Activation activation, int channels, float* restrict y,
                             int64_t stride) {
  for (int first = 0; first < channels; first += TILE, totals += rows) {
    const int count = (int)smaller(TILE, channels - first);
    for (int m = 0; m < rows; ++m) {
      const float scale = scales == NULL ? 1.0f : scales[m];
      float* restrict target = y + m * stride + first;
      if (count == TILE && activation == ACTIVATION_NONE) {
        _Pragma("GCC unroll 1") /* unrolled, gcc would leave it scalar */
        for (int c = 0; c < TILE; ++c) target[c] = __builtin_fmaf(scale, totals[m][c], bias[first + c]);
      } else {
        for (int c = 0; c < count; ++c) {
          target[c] = activate(activation, __builtin_fmaf(scale, totals[m][c], bias[first + c]));
        }
      }
    }
  }
}

/* The bit pattern of max|x|. Patterns of non-negative floats are ordered as their values, with NaN above infinity. */
INLINE int32_t largest_magnitude_bits(const float* x, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    int32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    bits &= INT32_MAX;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

/* Codes of x per row and quad; see QuantizedRows. */
INLINE int window_codes(const FullyConnectedAttributes* attributes) { return GROUP * GROUP / attributes->kept; }

/* Input features of a block. */
INLINE int64_t block_inputs(const FullyConnectedAttributes* attributes, int64_t block) {
  return smaller(attributes->block_length, attributes->k - block * attributes->block_length);
}

/* Weights of a channel that are stored for a block. */
INLINE int64_t stored_codes(const FullyConnectedAttributes* attributes, int64_t block) {
  const int64_t length = block_inputs(attributes, block);
  return attributes->kept == GROUP ? length : (length + GROUP - 1) / GROUP * attributes->kept;
}

/* The quads that a block of so many codes takes, those that fill its last cell included. */
INLINE int64_t block_quads(int64_t codes, int bits) {
  const int64_t per_cell = cell_codes(bits);
  return (codes + per_cell - 1) / per_cell * (per_cell / GROUP);
}

/* Whether a product of so many rows waits for memory, which is fastest when read in one sequence: it should take tiles
 * one after the other then. The more rows and the fewer bits, the longer it multiplies what it has read. */
INLINE bool reads_in_sequence(int bits, int64_t rows) { return rows <= bits / 2; }

/* Adding it leaves no fraction bits: the sum is rounded to an integer, half to even, for |value| < 2^22. */
#define ROUNDER 0x1.8p23f

/* Rounds x * inverse, half to even; no code leaves -127..127. Writes the codes and returns their sum. */
INLINE int32_t quantize_values(const float* restrict x, float inverse, int64_t count, int8_t* restrict codes) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t code = (int32_t)(x[i] * inverse + ROUNDER - ROUNDER);
    codes[i] = (int8_t)code;
    sum += code;
  }
  return sum;
}

/* Spreads codes over the windows of a row, which are `stride` bytes apart. Returns where the next one is. */
INLINE int8_t* write_windows(const int8_t* restrict codes, int64_t count, const int window, int64_t stride,
                             int8_t* restrict target) {
  for (int64_t i = 0; i < count; i += window, target += stride) memcpy(target, codes + i, (size_t)window);
  return target;
}

/* The scale of a row and the factor that makes codes of its values, from the bit pattern of max|x|: see below. */
INLINE float row_scale(int32_t largest_bits, float* inverse) {
  float largest;
  memcpy(&largest, &largest_bits, sizeof largest);
  *inverse = 127.0f / largest;
  if (isfinite(largest) && isfinite(*inverse)) return largest * (1.0f / 127.0f);
  *inverse = 0.0f;
  return isfinite(largest) ? 0.0f : NAN;
}

/* Replaces x by scale * code, code = round_half_even(x * (127 / max|x|)) in -127..127, scale = max|x| * (1 / 127).
 * Writes the codes to their windows and returns the scale. A row whose 127 / max|x| is infinite (zeros, or nothing
 * above 3.8e-37) gets the codes 0 and the scale 0; a row with a NaN or an infinity the scale NaN. */
INLINE float quantize_row_loop(const FullyConnectedAttributes* attributes, const float* x, int row,
                               QuantizedRows* quantized) {
  enum { PIECE = 256 }; /* codes at a time; a multiple of every window */
  const int rows = quantized->rows, window = window_codes(attributes);
  float inverse;
  const float scale = row_scale(largest_magnitude_bits(x, attributes->k), &inverse);
  const bool is_finite = !isnan(scale);
  int8_t* target = quantized->windows + row * window;
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const float* values = x + b * attributes->block_length;
    const int64_t length = block_inputs(attributes, b);
    const int64_t padded = block_quads(stored_codes(attributes, b), attributes->weight_bits) * window;
    int32_t sum = 0;
    for (int64_t first = 0; first < padded; first += PIECE) {
      int8_t codes[PIECE];
      const int64_t count = smaller(PIECE, padded - first);
      const int64_t filled = is_finite && first < length ? smaller(count, length - first) : 0;
      sum += quantize_values(values + first, inverse, filled, codes);
      memset(codes + filled, 0, (size_t)(count - filled));
      switch (window) { /* known sizes are copied by one load and one store */
        case 4: target = write_windows(codes, count, 4, rows * 4, target); break;
        case 8: target = write_windows(codes, count, 8, rows * 8, target); break;
        default: target = write_windows(codes, count, 16, rows * 16, target);
      }
    }
    quantized->code_sums[b * rows + row] = sum;
  }
  return scale;
}

/* As ConvolveFrames, from channel `first` on. */
INLINE void convolve_channels(const DepthwiseConvolutionAttributes* attributes, const float* kernel, const float* bias,
                              int64_t frames, const float* x, int64_t first, float* y) {
  const int64_t channels = attributes->channels;
  for (int64_t t = 0; t < frames; ++t) {
    for (int64_t c = first; c < channels; ++c) {
      float sum = bias[c];
      for (int64_t i = 0; i < attributes->length; ++i) {
        sum = __builtin_fmaf(kernel[i * channels + c], x[(t + i) * channels + c], sum);
      }
      y[t * channels + c] = sum;
    }
  }
}

enum { LANES = 64 }; /* partial sums of a row: number i is in that of i % LANES, and they are added pairwise */

INLINE float add_lanes(float* lanes, int count) {
  for (int half = count / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

/* Adds numbers of a row, or the squares of their distances to the mean, to the first of its partial sums. */
INLINE void add_rest(const float* x, int64_t count, float mean, bool squared, float* lanes) {
  for (int64_t i = 0; i < count; ++i) {
    const float centered = x[i] - mean;
    lanes[i] = squared ? __builtin_fmaf(centered, centered, lanes[i]) : lanes[i] + x[i];
  }
}

/* As MultiplyMatrix, from column `first` on. */
INLINE void multiply_columns(int64_t rows, int64_t depth, int64_t columns, const float* x, int64_t x_stride,
                             const float* matrix, int64_t matrix_stride, bool add, int64_t first, float* y,
                             int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = first; c < columns; ++c) {
      float sum = add ? y[r * y_stride + c] : 0.0f;
      for (int64_t d = 0; d < depth; ++d) sum = __builtin_fmaf(x[r * x_stride + d], matrix[d * matrix_stride + c], sum);
      y[r * y_stride + c] = sum;
    }
  }
}

/* exp(x) of a number that is not above 0, within 2 ulp, is
 *
 *   2^n * (1 + r + r^2 / 2! + ... + r^7 / 7!),   n = round(x / ln 2), r = x - n ln 2, in fused multiply-adds;
 *
 * below LEAST_EXPONENT it is 0. The Taylor series ends where its terms, |r| <= ln 2 / 2, are below half an ulp. */
#define LEAST_EXPONENT -87.0f
#define LOG2_E 0x1.715476p0f
#define LN_2_HIGH 0x1.62e400p-1f /* with few bits, so that n times it is exact */
#define LN_2_LOW 0x1.7f7d1cp-20f
#define EXPONENT_BIAS 127
#define EXPONENT_SHIFT 23
static const float TAYLOR[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
enum { TAYLOR_TERMS = sizeof TAYLOR / sizeof TAYLOR[0] };

INLINE float exponential(float x) {
  const float shifted = __builtin_fmaf(x, LOG2_E, ROUNDER), rounder = ROUNDER;
  const float n = shifted - ROUNDER;
  const float r = __builtin_fmaf(-n, LN_2_LOW, __builtin_fmaf(-n, LN_2_HIGH, x));
  float series = TAYLOR[0];
  for (int i = 1; i < TAYLOR_TERMS; ++i) series = __builtin_fmaf(series, r, TAYLOR[i]);
  uint32_t bits, rounder_bits;
  memcpy(&bits, &shifted, sizeof bits);
  memcpy(&rounder_bits, &rounder, sizeof rounder_bits);
  bits = (bits - rounder_bits + EXPONENT_BIAS) << EXPONENT_SHIFT;
  float power;
  memcpy(&power, &bits, sizeof power);
  return x < LEAST_EXPONENT ? 0.0f : series * power; /* a NaN passes through */
}

/* Whole groups of partial sums. */
INLINE int64_t whole_lanes(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

/* The functions of a kernel that are these loops, compiled with the attribute that names its instructions. */
#define DEFINE_ROW_FUNCTIONS(TARGET)                                                                            \
  TARGET static void quantize_rows(const FullyConnectedAttributes* attributes, const float* x,                  \
                                   QuantizedRows* quantized, float* scales) {                                   \
    for (int m = 0; m < quantized->rows; ++m) {                                                                 \
      scales[m] = quantize_row_loop(attributes, x + m * attributes->k, m, quantized);                           \
    }                                                                                                           \
  }                                                                                                             \
  TARGET static void finish_rows(float (*totals)[TILE], int rows, const float* scales, const float* bias,       \
                                 Activation activation, int channels, float* y, int64_t stride) {               \
    finish_rows_loop(totals, rows, scales, bias, activation, channels, y, stride);                              \
  }

#endif
