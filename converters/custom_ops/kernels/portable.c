/* The kernel in plain C: the definition of the result, which every other kernel reproduces bit for bit. */
#include "loops.h"

DEFINE_ROW_FUNCTIONS()

static bool is_available(void) { return true; }

/* Entry `index` of a channel, from cells of `bits` wide entries. */
INLINE int entry(const uint8_t* cells, int64_t index, int channel, int bits) {
  const int64_t per_cell = cell_codes(bits);
  const int at = (int)(index % per_cell);
  return (cells[index / per_cell * CELL + GROUP * channel + at % GROUP] >> (at / GROUP * bits)) & ((1 << bits) - 1);
}

/* The stored weights of one channel in one block. */
typedef struct {
  const uint8_t *codes, *positions; /* cells; positions is NULL unless sparse */
  int channel, bits, kept;
  int64_t count;
} Weights;

INLINE Weights block_weights(const FullyConnectedAttributes* attributes, const WeightTile* tile, int64_t block,
                             int channel) {
  const int bits = attributes->weight_bits;
  Weights weights = {
      .codes = tile->codes + block * fully_connected_block_cells(attributes, bits) * CELL,
      .channel = channel,
      .bits = bits,
      .kept = attributes->kept,
      .count = stored_codes(attributes, block),
  };
  if (tile->positions != NULL) {
    weights.positions = tile->positions + block * fully_connected_block_cells(attributes, POSITION_BITS) * CELL;
  }
  return weights;
}

INLINE int code(const Weights* weights, int64_t index) {
  return entry(weights->codes, index, weights->channel, weights->bits) - (1 << (weights->bits - 1));
}

/* Which input of the block the weight belongs to. */
INLINE int64_t place(const Weights* weights, int64_t index) {
  if (weights->positions == NULL) return index;
  return index / weights->kept * GROUP + entry(weights->positions, index, weights->channel, POSITION_BITS);
}

INLINE float add_block(const WeightTile* tile, int64_t block, int channel, float sum, float x_sum, float total) {
  const int64_t at = block * TILE + channel;
  total = __builtin_fmaf(half_to_float(tile->scales[at]), sum, total);
  return tile->offsets == NULL ? total : __builtin_fmaf(-half_to_float(tile->offsets[at]), x_sum, total);
}

static void integer_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                            const QuantizedRows* x, float (*totals)[TILE]) {
  const int window = window_codes(attributes);
  const int64_t block_windows = block_quads(stored_codes(attributes, 0), attributes->weight_bits) * x->rows * window;
  for (int t = 0; t < count; ++t, totals += x->rows) {
    memset(totals, 0, (size_t)x->rows * sizeof totals[0]);
    for (int64_t b = 0; b < attributes->blocks; ++b) {
      const int8_t* windows = x->windows + b * block_windows;
      for (int c = 0; c < TILE; ++c) {
        const Weights weights = block_weights(attributes, &tiles[t], b, c);
        for (int m = 0; m < x->rows; ++m) {
          int32_t sum = 0, x_sum = 0;
          for (int64_t i = 0; i < weights.count; ++i) {
            const int64_t at = place(&weights, i);
            const int32_t value = windows[(at / window * x->rows + m) * window + at % window];
            sum += code(&weights, i) * value;
            x_sum += value;
          }
          totals[m][c] = add_block(&tiles[t], b, c, (float)sum, (float)x_sum, totals[m][c]);
        }
      }
    }
  }
}

static void float_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                          const FloatRows* x, float (*totals)[TILE]) {
  const int64_t k = attributes->k;
  for (int t = 0; t < count; ++t, totals += x->rows) {
    memset(totals, 0, (size_t)x->rows * sizeof totals[0]);
    for (int64_t b = 0; b < attributes->blocks; ++b) {
      const int64_t first = b * attributes->block_length;
      for (int c = 0; c < TILE; ++c) {
        const Weights weights = block_weights(attributes, &tiles[t], b, c);
        for (int m = 0; m < x->rows; ++m) {
          float sum = 0.0f, x_sum = 0.0f;
          for (int64_t i = 0; i < weights.count; ++i) {
            const int64_t at = first + place(&weights, i);
            const float value = at < k ? x->values[m * k + at] : 0.0f;
            sum = __builtin_fmaf((float)code(&weights, i), value, sum);
            x_sum += value;
          }
          if (x->sums != NULL) x_sum = x->sums[b * x->rows + m];
          totals[m][c] = add_block(&tiles[t], b, c, sum, x_sum, totals[m][c]);
        }
      }
    }
  }
}

static void convolve_frames(const DepthwiseConvolutionAttributes* attributes, const float* kernel, const float* bias,
                            int64_t frames, const float* x, float* y) {
  convolve_channels(attributes, kernel, bias, frames, x, 0, y);
}

static float sum_row(const float* x, int64_t channels, float mean, bool squared) {
  float lanes[LANES] = {0.0f};
  for (int64_t c = 0; c < channels; c += LANES) add_rest(x + c, smaller(LANES, channels - c), mean, squared, lanes);
  return add_lanes(lanes, LANES);
}

static void normalize_rows(const LayerNormalizationAttributes* attributes, const float* gain, const float* bias,
                           int64_t rows, const float* x, float* y) {
  const int64_t channels = attributes->channels;
  for (int64_t m = 0; m < rows; ++m, x += channels, y += channels) {
    const float mean = sum_row(x, channels, 0.0f, false) / (float)channels;
    const float variance = sum_row(x, channels, mean, true) / (float)channels;
    const float inverse = 1.0f / sqrtf(variance + attributes->epsilon);
    for (int64_t c = 0; c < channels; ++c) y[c] = __builtin_fmaf((x[c] - mean) * inverse, gain[c], bias[c]);
  }
}

static void multiply_matrix(int64_t rows, int64_t depth, int64_t columns, const float* x, int64_t x_stride,
                            const float* matrix, int64_t matrix_stride, bool add, float* y, int64_t y_stride) {
  multiply_columns(rows, depth, columns, x, x_stride, matrix, matrix_stride, add, 0, y, y_stride);
}

static float exponentiate_scores(const float* positions, const float* mask, int64_t count, float* scores) {
  float largest = -INFINITY;
  for (int64_t j = 0; j < count; ++j) {
    scores[j] = (scores[j] + positions[j]) + mask[j];
    largest = scores[j] > largest ? scores[j] : largest;
  }
  for (int64_t j = 0; j < count; ++j) scores[j] = exponential(scores[j] - largest);
  for (int64_t j = count; j < whole_lanes(count); ++j) scores[j] = 0.0f;
  return sum_row(scores, whole_lanes(count), 0.0f, false);
}

const Kernel portable_kernel = {
    .name = "portable",
    .is_available = is_available,
    .integer_rows = 1,
    .float_rows = 1,
    .integer_product = integer_product,
    .float_product = float_product,
    .quantize_rows = quantize_rows,
    .finish_rows = finish_rows,
    .convolve_frames = convolve_frames,
    .normalize_rows = normalize_rows,
    .multiply_matrix = multiply_matrix,
    .exponentiate_scores = exponentiate_scores,
};
