/* The operations on floats alone, compiled for one instruction set. The including file has defined TARGET, TFC_ISA (the
 * suffix of the names), a vector type `tfc_floats` of FLOATS numbers with load_floats, store_floats, broadcast_floats
 * and multiply_add_floats, and MATMUL_MR by MATMUL_NR, the accumulators of a matmul that fit its registers. */
#ifndef TFC_KERNELS_FLOAT_KERNELS_H_
#define TFC_KERNELS_FLOAT_KERNELS_H_

#include "loops.h"

#define TFC_PASTE(name, isa) name##__##isa
#define TFC_JOIN(name, isa) TFC_PASTE(name, isa)
#define KERNEL(name) TFC_JOIN(tfc_##name, TFC_ISA)

#define FLOAT_INLINE static inline __attribute__((always_inline)) TARGET

/* ---- Depthwise convolution ---- */

enum {
  DWCONV_FRAMES = 8, /* of y at a time, */
  DWCONV_TAPS = 4,   /* and of the filter: every x is loaded once for all of both */
};

/* `frames` frames of FLOATS channels. */
FLOAT_INLINE void dwconv_tile(const tfc_depthwise_convolution_attributes* attributes,
                              const tfc_depthwise_convolution_weights* weights, int64_t channel, const float* x,
                              float* y, const int frames) {
  const int64_t channels = attributes->channels;
  const float* filter = weights->filter + channel;
  x += channel, y += channel;
  tfc_floats acc[DWCONV_FRAMES];
  UNROLLED for (int t = 0; t < frames; ++t) acc[t] = load_floats(weights->bias + channel);
  int64_t i = 0;
  for (; i + DWCONV_TAPS <= attributes->length; i += DWCONV_TAPS) {
    tfc_floats taps[DWCONV_TAPS];
    UNROLLED for (int j = 0; j < DWCONV_TAPS; ++j) taps[j] = load_floats(filter + j * channels);
    UNROLLED for (int row = 0; row < frames + DWCONV_TAPS - 1; ++row) {
      const tfc_floats values = load_floats(x + row * channels);
      UNROLLED for (int j = 0; j < DWCONV_TAPS; ++j) {
        const int t = row - j;
        if (t >= 0 && t < frames) acc[t] = multiply_add_floats(taps[j], values, acc[t]);
      }
    }
    filter += DWCONV_TAPS * channels;
    x += DWCONV_TAPS * channels;
  }
  for (; i < attributes->length; ++i, filter += channels, x += channels) {
    const tfc_floats tap = load_floats(filter);
    UNROLLED for (int t = 0; t < frames; ++t) acc[t] = multiply_add_floats(tap, load_floats(x + t * channels), acc[t]);
  }
  UNROLLED for (int t = 0; t < frames; ++t) store_floats(y + t * channels, acc[t]);
}

TARGET void KERNEL(f32_dwconv)(const tfc_depthwise_convolution_attributes* attributes,
                               const tfc_depthwise_convolution_weights* weights, int64_t frames, const float* x,
                               float* y) {
  tfc_check_dwconv(attributes, weights, frames, x, y);
  const int64_t channels = attributes->channels, whole = channels / FLOATS * FLOATS;
  int64_t t = 0;
  for (; t + DWCONV_FRAMES <= frames; t += DWCONV_FRAMES) {
    for (int64_t c = 0; c < whole; c += FLOATS) {
      dwconv_tile(attributes, weights, c, x + t * channels, y + t * channels, DWCONV_FRAMES);
    }
  }
  for (; t < frames; ++t) {
    for (int64_t c = 0; c < whole; c += FLOATS) {
      dwconv_tile(attributes, weights, c, x + t * channels, y + t * channels, 1);
    }
  }
  tfc_dwconv_loop(attributes, weights, frames, x, whole, y);
}

/* ---- Layer normalization ---- */

enum { LANE_VECTORS = TFC_LANES / FLOATS };

/* As tfc_reduce_lanes, of TFC_LANES partial sums in registers. */
FLOAT_INLINE float reduce_vectors(tfc_floats* vectors) {
  float lanes[FLOATS];
  UNROLLED for (int half = LANE_VECTORS / 2; half > 0; half /= 2) {
    UNROLLED for (int v = 0; v < half; ++v) vectors[v] = vectors[v] + vectors[v + half];
  }
  store_floats(lanes, vectors[0]);
  return tfc_reduce_lanes(lanes, FLOATS);
}

/* The sum over a row of x, or of (x - mean)^2; `whole`, a multiple of TFC_LANES, of its elements are added in
 * registers. */
FLOAT_INLINE float sum_row(const float* x, int64_t whole, int64_t channels, float mean, const bool squared) {
  const tfc_floats means = broadcast_floats(mean);
  tfc_floats vectors[LANE_VECTORS];
  UNROLLED for (int v = 0; v < LANE_VECTORS; ++v) vectors[v] = broadcast_floats(0.0f);
  for (int64_t i = 0; i < whole; i += TFC_LANES) {
    UNROLLED for (int v = 0; v < LANE_VECTORS; ++v) {
      const tfc_floats values = load_floats(x + i + v * FLOATS);
      const tfc_floats centered = values - means;
      if (squared) vectors[v] = multiply_add_floats(centered, centered, vectors[v]);
      if (!squared) vectors[v] = vectors[v] + values;
    }
  }
  if (whole < channels) {
    float lanes[TFC_LANES];
    UNROLLED for (int v = 0; v < LANE_VECTORS; ++v) store_floats(lanes + v * FLOATS, vectors[v]);
    tfc_add_to_lanes(x + whole, channels - whole, mean, squared, lanes);
    UNROLLED for (int v = 0; v < LANE_VECTORS; ++v) vectors[v] = load_floats(lanes + v * FLOATS);
  }
  return reduce_vectors(vectors);
}

TARGET void KERNEL(f32_layer_norm)(const tfc_layer_normalization_attributes* attributes,
                                   const tfc_layer_normalization_weights* weights, int64_t m, const float* x,
                                   float* y) {
  tfc_check_layer_norm(attributes, weights, m, x, y);
  const float *gamma = weights->gamma, *beta = weights->beta;
  const int64_t channels = attributes->channels, whole = channels / TFC_LANES * TFC_LANES;
  for (int64_t i = 0; i < m; ++i, x += channels, y += channels) {
    const float mean = sum_row(x, whole, channels, 0.0f, false) / (float)channels;
    const float variance = sum_row(x, whole, channels, mean, true) / (float)channels;
    const float inverse = 1.0f / sqrtf(variance + attributes->epsilon);
    const tfc_floats means = broadcast_floats(mean), inverses = broadcast_floats(inverse);
    int64_t c = 0;
    for (; c + FLOATS <= channels; c += FLOATS) {
      const tfc_floats normal = (load_floats(x + c) - means) * inverses;
      store_floats(y + c, multiply_add_floats(normal, load_floats(gamma + c), load_floats(beta + c)));
    }
    for (; c < channels; ++c) y[c] = __builtin_fmaf((x[c] - mean) * inverse, gamma[c], beta[c]);
  }
}

/* ---- Attention ---- */

/* `mr` rows of a matmul by `vectors` registers of columns: c = a * b, added to c if `accumulate`. */
FLOAT_INLINE void matmul_tile(const tfc_f32_matmul_arguments* arguments, int64_t row, int64_t column, const int mr,
                              const int vectors, const bool accumulate) {
  const int64_t a_stride = arguments->a_stride, b_stride = arguments->b_stride, c_stride = arguments->c_stride;
  const float *a = arguments->a + row * a_stride, *b = arguments->b + column;
  float* c = arguments->c + row * c_stride + column;
  tfc_floats acc[MATMUL_MR][MATMUL_NR / FLOATS];
  UNROLLED for (int r = 0; r < mr; ++r) {
    UNROLLED for (int v = 0; v < vectors; ++v) {
      acc[r][v] = accumulate ? load_floats(c + r * c_stride + v * FLOATS) : broadcast_floats(0.0f);
    }
  }
  for (int64_t l = 0; l < arguments->k; ++l, b += b_stride) {
    tfc_floats values[MATMUL_NR / FLOATS];
    UNROLLED for (int v = 0; v < vectors; ++v) values[v] = load_floats(b + v * FLOATS);
    UNROLLED for (int r = 0; r < mr; ++r) {
      const tfc_floats factor = broadcast_floats(a[r * a_stride + l]);
      UNROLLED for (int v = 0; v < vectors; ++v) acc[r][v] = multiply_add_floats(factor, values[v], acc[r][v]);
    }
  }
  UNROLLED for (int r = 0; r < mr; ++r) {
    UNROLLED for (int v = 0; v < vectors; ++v) store_floats(c + r * c_stride + v * FLOATS, acc[r][v]);
  }
}

/* `mr` rows of a matmul. */
FLOAT_INLINE void matmul_rows(const tfc_f32_matmul_arguments* arguments, int64_t row, const int mr) {
  const bool accumulate = arguments->accumulate;
  int64_t column = 0;
  for (; column + MATMUL_NR <= arguments->n; column += MATMUL_NR) {
    matmul_tile(arguments, row, column, mr, MATMUL_NR / FLOATS, accumulate);
  }
  for (; column + FLOATS <= arguments->n; column += FLOATS) matmul_tile(arguments, row, column, mr, 1, accumulate);
  tfc_matmul_loop(arguments, row, mr, column);
}

TARGET void KERNEL(f32_matmul)(const tfc_f32_matmul_arguments* arguments) {
  tfc_check_matmul(arguments);
  int64_t row = 0;
  for (; row + MATMUL_MR <= arguments->m; row += MATMUL_MR) matmul_rows(arguments, row, MATMUL_MR);
  for (; row < arguments->m; ++row) matmul_rows(arguments, row, 1);
}

typedef uint32_t tfc_float_bits __attribute__((vector_size(sizeof(tfc_floats))));

/* As tfc_exp, of every element. */
FLOAT_INLINE tfc_floats exp_floats(tfc_floats x) {
  const tfc_floats rounder = broadcast_floats(TFC_ROUNDER);
  const tfc_floats shifted = multiply_add_floats(x, broadcast_floats(TFC_LOG2_E), rounder);
  const tfc_floats n = shifted - rounder;
  const tfc_floats high = multiply_add_floats(n, broadcast_floats(-TFC_LN_2_HIGH), x);
  const tfc_floats r = multiply_add_floats(n, broadcast_floats(-TFC_LN_2_LOW), high);
  tfc_floats series = broadcast_floats(tfc_taylor[0]);
  UNROLLED for (int i = 1; i < TFC_TAYLOR_TERMS; ++i) {
    series = multiply_add_floats(series, r, broadcast_floats(tfc_taylor[i]));
  }
  const tfc_float_bits exponent = (tfc_float_bits)shifted - (tfc_float_bits)rounder + TFC_EXPONENT_BIAS;
  const tfc_float_bits power = exponent << TFC_EXPONENT_SHIFT;
  const tfc_float_bits is_zero = (tfc_float_bits)(x < broadcast_floats(TFC_LEAST_EXPONENT));
  return (tfc_floats)((tfc_float_bits)(series * (tfc_floats)power) & ~is_zero);
}

TARGET float KERNEL(f32_exp_scores)(const float* position_scores, const float* mask, int64_t count, float* scores) {
  tfc_check_exp_scores(position_scores, mask, count, scores);
  const int64_t padded = tfc_padded_lanes(count);
  tfc_floats largest_of_lanes = broadcast_floats(-INFINITY);
  int64_t j = 0;
  for (; j + FLOATS <= count; j += FLOATS) {
    const tfc_floats score = (load_floats(scores + j) + load_floats(position_scores + j)) + load_floats(mask + j);
    store_floats(scores + j, score);
    const tfc_float_bits is_larger = (tfc_float_bits)(score > largest_of_lanes);
    largest_of_lanes =
        (tfc_floats)(((tfc_float_bits)score & is_larger) | ((tfc_float_bits)largest_of_lanes & ~is_larger));
  }
  float lanes[FLOATS], largest = -INFINITY;
  store_floats(lanes, largest_of_lanes);
  for (int i = 0; i < FLOATS; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
  for (; j < count; ++j) {
    scores[j] = (scores[j] + position_scores[j]) + mask[j];
    largest = scores[j] > largest ? scores[j] : largest;
  }
  for (; j < padded; ++j) scores[j] = -INFINITY; /* whose exponential is 0 */
  for (int64_t i = 0; i < padded; i += FLOATS) {
    store_floats(scores + i, exp_floats(load_floats(scores + i) - broadcast_floats(largest)));
  }
  return sum_row(scores, padded, padded, 0.0f, false);
}

const tfc_attention_kernels KERNEL(attention) = {KERNEL(f32_matmul), KERNEL(f32_exp_scores)};

#endif
