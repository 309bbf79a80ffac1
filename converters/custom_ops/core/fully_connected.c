/* Reference loops. A chunk of rows of x is kept hot while every output channel is unpacked once and used for all of
 * them; the inner loops are plain C in a shape that compilers turn into vector code. */
#include "fully_connected.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Excess precision would break the promise of one result on every machine. */
_Static_assert(FLT_EVAL_METHOD == 0, "float expressions must be evaluated in float");

enum {
  ROWS = 64,        /* rows of x for which an unpacked weight is used */
  INT8_TILE = 1024, /* codes unpacked at a time, integer activations; a multiple of 8 like FLOAT_TILE */
  FLOAT_TILE = 128, /* the same, float activations, */
  CHANNELS = 16,    /* for so many output channels side by side: the four vectors of `accumulate` */
};

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static float half_to_float(uint16_t half) {
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
static float activate(Activation activation, float value) {
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

/* Unpacks `count` codes of one width; `bits` is a constant at every call so that the loop vectorizes. */
static inline void unpack_width(const uint8_t* bytes, int64_t count, const int bits, int16_t* codes) {
  const int per_byte = 8 / bits, sign = 1 << (bits - 1);
  const int mask = (1 << bits) - 1;
  const int64_t whole = count / per_byte;
  for (int64_t i = 0; i < whole; ++i) {
    for (int j = 0; j < per_byte; ++j) {
      codes[i * per_byte + j] = (int16_t)((((bytes[i] >> (j * bits)) & mask) ^ sign) - sign);
    }
  }
  for (int64_t i = whole * per_byte; i < count; ++i) {
    codes[i] = (int16_t)((((bytes[whole] >> (i % per_byte * bits)) & mask) ^ sign) - sign);
  }
}

/* Unpacks the codes [first, first + count) of output channel `channel`; `first` is a multiple of 8. */
static void unpack(const FullyConnectedAttributes* attributes, const uint8_t* packed, int64_t channel, int64_t first,
                   int64_t count, int16_t* codes) {
  const int bits = attributes->weight_bits;
  const uint8_t* bytes = packed + channel * fully_connected_row_bytes(attributes) + first * bits / 8;
  switch (bits) {
    case 2:
      unpack_width(bytes, count, 2, codes);
      break;
    case 4:
      unpack_width(bytes, count, 4, codes);
      break;
    default:
      unpack_width(bytes, count, 8, codes);
      break;
  }
}

/* ---- Float activations ---- */

/* Four floats for the vector unit of any gcc or clang target; each lane computes as a scalar would. */
typedef float Lanes __attribute__((vector_size(16)));

static inline Lanes load(const float* values) {
  Lanes lanes;
  memcpy(&lanes, values, sizeof lanes);
  return lanes;
}

static inline void store(float* values, Lanes lanes) { memcpy(values, &lanes, sizeof lanes); }

/* sums[j] += q[k][j] * x[k] and *x_sum += x[k], k ascending. */
static void accumulate(float (*q)[CHANNELS], const float* x, int64_t count, float sums[CHANNELS], float* x_sum) {
  Lanes sum0 = load(sums), sum1 = load(sums + 4), sum2 = load(sums + 8), sum3 = load(sums + 12);
  float total = *x_sum;
  for (int64_t k = 0; k < count; ++k) {
    sum0 += load(q[k]) * x[k];
    sum1 += load(q[k] + 4) * x[k];
    sum2 += load(q[k] + 8) * x[k];
    sum3 += load(q[k] + 12) * x[k];
    total += x[k];
  }
  store(sums, sum0), store(sums + 4, sum1), store(sums + 8, sum2), store(sums + 12, sum3);
  *x_sum = total;
}

/* The output channels [channel, channel + channels) of a chunk of rows. Channels stand side by side because the order
 * of each one's float sum is fixed: there is nothing to vectorize along k. */
static void float_channels(const FullyConnectedAttributes* attributes, const FullyConnectedWeights* weights,
                           int64_t channel, int channels, int64_t rows, const float* x, float* y) {
  const int64_t k = attributes->k, block_length = attributes->block_length;
  int16_t codes[FLOAT_TILE];
  float q[FLOAT_TILE][CHANNELS] = {{0.0f}}; /* the columns past `channels` stay zero */
  float totals[ROWS][CHANNELS], sums[ROWS][CHANNELS], x_sums[ROWS];
  memset(totals, 0, (size_t)rows * sizeof totals[0]);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    memset(sums, 0, (size_t)rows * sizeof sums[0]);
    memset(x_sums, 0, (size_t)rows * sizeof x_sums[0]);
    const int64_t block_end = smaller((b + 1) * block_length, k);
    for (int64_t first = b * block_length; first < block_end; first += FLOAT_TILE) {
      const int64_t count = smaller(FLOAT_TILE, block_end - first);
      for (int j = 0; j < channels; ++j) {
        unpack(attributes, weights->codes, channel + j, first, count, codes);
        for (int64_t i = 0; i < count; ++i) q[i][j] = (float)codes[i];
      }
      for (int64_t m = 0; m < rows; ++m) accumulate(q, x + m * k + first, count, sums[m], &x_sums[m]);
    }
    for (int j = 0; j < channels; ++j) {
      const int64_t at = (channel + j) * attributes->blocks + b;
      const float scale = half_to_float(weights->scales[at]);
      const float offset = attributes->symmetric ? 0.0f : half_to_float(weights->offsets[at]);
      for (int64_t m = 0; m < rows; ++m) {
        const float product = scale * sums[m][j];
        totals[m][j] += attributes->symmetric ? product : product - offset * x_sums[m];
      }
    }
  }
  for (int j = 0; j < channels; ++j) {
    const float bias = attributes->has_bias ? weights->bias[channel + j] : 0.0f;
    for (int64_t m = 0; m < rows; ++m) {
      y[m * attributes->n + channel + j] = activate(attributes->activation, totals[m][j] + bias);
    }
  }
}

/* ---- Integer activations ---- */

/* Up to ROWS rows of x, quantized; the arrays lie in the caller's scratch memory. */
typedef struct {
  float* scales;  /* [rows]; NaN if the row was not finite */
  int32_t* sums;  /* [rows, blocks], sums of codes over a block */
  int16_t* codes; /* [rows, k], -127..127 */
} QuantizedRows;

static QuantizedRows place_rows(const FullyConnectedAttributes* attributes, int64_t rows, void* scratch) {
  QuantizedRows placed;
  placed.scales = scratch;
  placed.sums = (int32_t*)(placed.scales + rows);
  placed.codes = (int16_t*)(placed.sums + rows * attributes->blocks);
  return placed;
}

/* The bit pattern of max|x|. Patterns of non-negative floats are ordered as their values, with NaN above infinity. */
static int32_t largest_magnitude_bits(const float* x, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    int32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    bits &= INT32_MAX;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

/* Writes the codes of one row and returns its scale. */
static float quantize_row(const float* x, int64_t count, int16_t* codes) {
  /* Adding it leaves no fraction bits: the sum is rounded to an integer, half to even, for |value| < 2^22. */
  const float rounder = 0x1.8p23f;
  const int32_t bits = largest_magnitude_bits(x, count);
  float largest;
  memcpy(&largest, &bits, sizeof largest);
  const float inverse = 127.0f / largest;
  if (!isfinite(largest) || !isfinite(inverse)) {
    memset(codes, 0, (size_t)count * sizeof codes[0]);
    return isfinite(largest) ? 0.0f : NAN;
  }
  /* No code exceeds 127: the product is at most 127 and a rounding error. */
  for (int64_t i = 0; i < count; ++i) codes[i] = (int16_t)(x[i] * inverse + rounder - rounder);
  return largest * (1.0f / 127.0f);
}

static void quantize_rows(const FullyConnectedAttributes* attributes, int64_t rows, const float* x,
                          QuantizedRows* quantized) {
  const int64_t k = attributes->k, blocks = attributes->blocks, block_length = attributes->block_length;
  for (int64_t m = 0; m < rows; ++m) {
    int16_t* codes = quantized->codes + m * k;
    quantized->scales[m] = quantize_row(x + m * k, k, codes);
    for (int64_t b = 0; b < blocks; ++b) {
      int32_t sum = 0;
      const int64_t block_end = smaller((b + 1) * block_length, k);
      for (int64_t i = b * block_length; i < block_end; ++i) sum += codes[i];
      quantized->sums[m * blocks + b] = sum;
    }
  }
}

static int32_t dot(const int16_t* a, const int16_t* b, int64_t count) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += (int32_t)a[i] * b[i];
  return sum;
}

/* One output channel of a chunk of rows. */
static void int8_channel(const FullyConnectedAttributes* attributes, const FullyConnectedWeights* weights,
                         int64_t channel, int64_t rows, const QuantizedRows* quantized, float* y) {
  const int64_t k = attributes->k, blocks = attributes->blocks, block_length = attributes->block_length;
  int16_t codes[INT8_TILE];
  float totals[ROWS];
  int32_t sums[ROWS];
  memset(totals, 0, (size_t)rows * sizeof totals[0]);
  for (int64_t b = 0; b < blocks; ++b) {
    memset(sums, 0, (size_t)rows * sizeof sums[0]);
    const int64_t block_end = smaller((b + 1) * block_length, k);
    for (int64_t first = b * block_length; first < block_end; first += INT8_TILE) {
      const int64_t count = smaller(INT8_TILE, block_end - first);
      unpack(attributes, weights->codes, channel, first, count, codes);
      for (int64_t m = 0; m < rows; ++m) sums[m] += dot(codes, quantized->codes + m * k + first, count);
    }
    const float scale = half_to_float(weights->scales[channel * blocks + b]);
    const float offset = attributes->symmetric ? 0.0f : half_to_float(weights->offsets[channel * blocks + b]);
    for (int64_t m = 0; m < rows; ++m) {
      totals[m] += scale * (float)sums[m] - offset * (float)quantized->sums[m * blocks + b];
    }
  }
  const float bias = attributes->has_bias ? weights->bias[channel] : 0.0f;
  for (int64_t m = 0; m < rows; ++m) {
    y[m * attributes->n + channel] = activate(attributes->activation, quantized->scales[m] * totals[m] + bias);
  }
}

/* ---- Interface ---- */

int64_t fully_connected_row_bytes(const FullyConnectedAttributes* attributes) {
  return ((int64_t)attributes->k * attributes->weight_bits + 7) / 8;
}

int64_t fully_connected_scratch_bytes(const FullyConnectedAttributes* attributes, int64_t rows) {
  if (!attributes->int8_activations) return 0;
  const int64_t per_row = (int64_t)sizeof(float) + (int64_t)sizeof(int32_t) * attributes->blocks +
                          (int64_t)sizeof(int16_t) * attributes->k;
  return smaller(rows, ROWS) * per_row;
}

void fully_connected(const FullyConnectedAttributes* attributes, const FullyConnectedWeights* weights, int64_t rows,
                     const float* x, void* scratch, float* y) {
  for (int64_t m = 0; m < rows; m += ROWS) {
    const int64_t chunk = smaller(ROWS, rows - m);
    const float* x_chunk = x + m * attributes->k;
    float* y_chunk = y + m * attributes->n;
    if (attributes->int8_activations) {
      QuantizedRows quantized = place_rows(attributes, chunk, scratch);
      quantize_rows(attributes, chunk, x_chunk, &quantized);
      for (int64_t c = 0; c < attributes->n; ++c) int8_channel(attributes, weights, c, chunk, &quantized, y_chunk);
    } else {
      for (int64_t c = 0; c < attributes->n; c += CHANNELS) {
        const int channels = (int)smaller(CHANNELS, attributes->n - c);
        float_channels(attributes, weights, c, channels, chunk, x_chunk, y_chunk);
      }
    }
  }
}
