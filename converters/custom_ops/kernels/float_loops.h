/* The operations on floats alone, for an instruction set that has defined TARGET, Floats (FLOATS of them), load_floats,
 * store_floats, broadcast_float and multiply_add_floats. */

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
