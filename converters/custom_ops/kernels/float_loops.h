/* The operations on floats alone, for an instruction set that has defined TARGET, Floats (FLOATS of them), load_floats,
 * store_floats, broadcast_float, multiply_add_floats, and PRODUCT_ROWS by PRODUCT_VECTORS, the sums of a matrix product
 * that fit its registers. */

#define UNROLLED _Pragma("GCC unroll 16")

enum {
  FRAMES = 8, /* of y at a time, */
  TAPS = 4,   /* and of the kernel: every x is loaded once for all of both */
};

static inline __attribute__((always_inline)) TARGET void convolve_group(
    const DepthwiseConvolutionAttributes* attributes, const float* kernel, const float* bias, const float* x,
    float* y, const int frames) {
  const int64_t channels = attributes->channels;
  Floats sums[FRAMES];
  UNROLLED for (int t = 0; t < frames; ++t) sums[t] = load_floats(bias);
  int64_t i = 0;
  for (; i + TAPS <= attributes->length; i += TAPS, kernel += TAPS * channels, x += TAPS * channels) {
    Floats taps[TAPS];
    UNROLLED for (int j = 0; j < TAPS; ++j) taps[j] = load_floats(kernel + j * channels);
    UNROLLED for (int row = 0; row < frames + TAPS - 1; ++row) {
      const Floats values = load_floats(x + row * channels);
      UNROLLED for (int j = 0; j < TAPS; ++j) {
        const int t = row - j;
        if (t >= 0 && t < frames) sums[t] = multiply_add_floats(taps[j], values, sums[t]);
      }
    }
  }
  for (; i < attributes->length; ++i, kernel += channels, x += channels) {
    const Floats tap = load_floats(kernel);
    UNROLLED for (int t = 0; t < frames; ++t) {
      sums[t] = multiply_add_floats(tap, load_floats(x + t * channels), sums[t]);
    }
  }
  UNROLLED for (int t = 0; t < frames; ++t) store_floats(y + t * channels, sums[t]);
}

TARGET static void convolve_frames(const DepthwiseConvolutionAttributes* attributes, const float* kernel,
                                   const float* bias, int64_t frames, const float* x, float* y) {
  const int64_t channels = attributes->channels, whole = channels / FLOATS * FLOATS;
  int64_t t = 0;
  for (; t + FRAMES <= frames; t += FRAMES) {
    for (int64_t c = 0; c < whole; c += FLOATS) {
      convolve_group(attributes, kernel + c, bias + c, x + t * channels + c, y + t * channels + c, FRAMES);
    }
  }
  for (; t < frames; ++t) {
    for (int64_t c = 0; c < whole; c += FLOATS) {
      convolve_group(attributes, kernel + c, bias + c, x + t * channels + c, y + t * channels + c, 1);
    }
  }
  convolve_channels(attributes, kernel, bias, frames, x, whole, y);
}

enum { REGISTERS = LANES / FLOATS };

/* As `add_lanes`, of LANES partial sums in registers. */
static inline __attribute__((always_inline)) TARGET float add_registers(Floats* registers) {
  float lanes[FLOATS];
  UNROLLED for (int half = REGISTERS / 2; half > 0; half /= 2) {
    UNROLLED for (int v = 0; v < half; ++v) registers[v] = registers[v] + registers[v + half];
  }
  store_floats(lanes, registers[0]);
  return add_lanes(lanes, FLOATS);
}

/* The sum over a row of x, or of (x - mean)^2; `whole` of its numbers fill all partial sums alike. */
static inline __attribute__((always_inline)) TARGET float sum_row(const float* x, int64_t whole, int64_t channels,
                                                                  float mean, const bool squared) {
  const Floats means = broadcast_float(mean);
  Floats registers[REGISTERS];
  UNROLLED for (int v = 0; v < REGISTERS; ++v) registers[v] = broadcast_float(0.0f);
  for (int64_t i = 0; i < whole; i += LANES) {
    UNROLLED for (int v = 0; v < REGISTERS; ++v) {
      const Floats values = load_floats(x + i + v * FLOATS);
      const Floats centered = values - means;
      if (squared) registers[v] = multiply_add_floats(centered, centered, registers[v]);
      if (!squared) registers[v] = registers[v] + values;
    }
  }
  if (whole < channels) {
    float lanes[LANES];
    UNROLLED for (int v = 0; v < REGISTERS; ++v) store_floats(lanes + v * FLOATS, registers[v]);
    add_rest(x + whole, channels - whole, mean, squared, lanes);
    UNROLLED for (int v = 0; v < REGISTERS; ++v) registers[v] = load_floats(lanes + v * FLOATS);
  }
  return add_registers(registers);
}

TARGET static void normalize_rows(const LayerNormalizationAttributes* attributes, const float* gain, const float* bias,
                                  int64_t rows, const float* x, float* y) {
  const int64_t channels = attributes->channels, whole = channels / LANES * LANES;
  for (int64_t m = 0; m < rows; ++m, x += channels, y += channels) {
    const float mean = sum_row(x, whole, channels, 0.0f, false) / (float)channels;
    const float variance = sum_row(x, whole, channels, mean, true) / (float)channels;
    const float inverse = 1.0f / sqrtf(variance + attributes->epsilon);
    const Floats means = broadcast_float(mean), inverses = broadcast_float(inverse);
    int64_t c = 0;
    for (; c + FLOATS <= channels; c += FLOATS) {
      const Floats normal = (load_floats(x + c) - means) * inverses;
      store_floats(y + c, multiply_add_floats(normal, load_floats(gain + c), load_floats(bias + c)));
    }
    for (; c < channels; ++c) y[c] = __builtin_fmaf((x[c] - mean) * inverse, gain[c], bias[c]);
  }
}

/* `rows` rows of a product by `vectors` registers of columns. */
static inline __attribute__((always_inline)) TARGET void multiply_group(
    const int rows, const int vectors, int64_t depth, const float* x, int64_t x_stride, const float* matrix,
    int64_t matrix_stride, const bool add, float* y, int64_t y_stride) {
  Floats sums[PRODUCT_ROWS][PRODUCT_VECTORS];
  UNROLLED for (int r = 0; r < rows; ++r) {
    UNROLLED for (int v = 0; v < vectors; ++v) {
      sums[r][v] = add ? load_floats(y + r * y_stride + v * FLOATS) : broadcast_float(0.0f);
    }
  }
  for (int64_t d = 0; d < depth; ++d, matrix += matrix_stride) {
    Floats values[PRODUCT_VECTORS];
    UNROLLED for (int v = 0; v < vectors; ++v) values[v] = load_floats(matrix + v * FLOATS);
    UNROLLED for (int r = 0; r < rows; ++r) {
      const Floats factor = broadcast_float(x[r * x_stride + d]);
      UNROLLED for (int v = 0; v < vectors; ++v) sums[r][v] = multiply_add_floats(factor, values[v], sums[r][v]);
    }
  }
  UNROLLED for (int r = 0; r < rows; ++r) {
    UNROLLED for (int v = 0; v < vectors; ++v) store_floats(y + r * y_stride + v * FLOATS, sums[r][v]);
  }
}

/* `rows` rows of a product by as many whole registers of columns as there are; returns how many columns that were. */
static inline __attribute__((always_inline)) TARGET int64_t multiply_rows(
    const int rows, int64_t depth, int64_t columns, const float* x, int64_t x_stride, const float* matrix,
    int64_t matrix_stride, const bool add, float* y, int64_t y_stride) {
  int64_t c = 0;
  for (; c + PRODUCT_VECTORS * FLOATS <= columns; c += PRODUCT_VECTORS * FLOATS) {
    multiply_group(rows, PRODUCT_VECTORS, depth, x, x_stride, matrix + c, matrix_stride, add, y + c, y_stride);
  }
  for (; c + FLOATS <= columns; c += FLOATS) {
    multiply_group(rows, 1, depth, x, x_stride, matrix + c, matrix_stride, add, y + c, y_stride);
  }
  return c;
}

TARGET static void multiply_matrix(int64_t rows, int64_t depth, int64_t columns, const float* x, int64_t x_stride,
                                   const float* matrix, int64_t matrix_stride, bool add, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows;) {
    const int64_t count = r + PRODUCT_ROWS <= rows ? PRODUCT_ROWS : 1;
    const float* factors = x + r * x_stride;
    float* sums = y + r * y_stride;
    const int64_t done =
        count == 1 ? multiply_rows(1, depth, columns, factors, x_stride, matrix, matrix_stride, add, sums, y_stride)
                   : multiply_rows(PRODUCT_ROWS, depth, columns, factors, x_stride, matrix, matrix_stride, add, sums,
                                   y_stride);
    multiply_columns(count, depth, columns, factors, x_stride, matrix, matrix_stride, add, done, sums, y_stride);
    r += count;
  }
}

typedef uint32_t Bits __attribute__((vector_size(sizeof(Floats))));

/* As `exponential`, number by number. */
static inline __attribute__((always_inline)) TARGET Floats exponentials(Floats x) {
  const Floats rounder = broadcast_float(ROUNDER);
  const Floats shifted = multiply_add_floats(x, broadcast_float(LOG2_E), rounder);
  const Floats n = shifted - rounder;
  const Floats high = multiply_add_floats(n, broadcast_float(-LN_2_HIGH), x);
  const Floats r = multiply_add_floats(n, broadcast_float(-LN_2_LOW), high);
  Floats series = broadcast_float(TAYLOR[0]);
  UNROLLED for (int i = 1; i < TAYLOR_TERMS; ++i) series = multiply_add_floats(series, r, broadcast_float(TAYLOR[i]));
  const Bits power = ((Bits)shifted - (Bits)rounder + EXPONENT_BIAS) << EXPONENT_SHIFT;
  const Bits is_nothing = (Bits)(x < broadcast_float(LEAST_EXPONENT));
  return (Floats)((Bits)(series * (Floats)power) & ~is_nothing);
}

TARGET static float exponentiate_scores(const float* positions, const float* mask, int64_t count, float* scores) {
  const int64_t padded = whole_lanes(count);
  Floats largest_of = broadcast_float(-INFINITY);
  int64_t j = 0;
  for (; j + FLOATS <= count; j += FLOATS) {
    const Floats sum = (load_floats(scores + j) + load_floats(positions + j)) + load_floats(mask + j);
    store_floats(scores + j, sum);
    const Bits is_larger = (Bits)(sum > largest_of);
    largest_of = (Floats)(((Bits)sum & is_larger) | ((Bits)largest_of & ~is_larger));
  }
  float lanes[FLOATS], largest = -INFINITY;
  store_floats(lanes, largest_of);
  for (int i = 0; i < FLOATS; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
  for (; j < count; ++j) {
    scores[j] = (scores[j] + positions[j]) + mask[j];
    largest = scores[j] > largest ? scores[j] : largest;
  }
  for (; j < padded; ++j) scores[j] = -INFINITY; /* whose exponential is 0 */
  for (int64_t i = 0; i < padded; i += FLOATS) {
    store_floats(scores + i, exponentials(load_floats(scores + i) - broadcast_float(largest)));
  }
  return sum_row(scores, padded, padded, 0.0f, false);
}
