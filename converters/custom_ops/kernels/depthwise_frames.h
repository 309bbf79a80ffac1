/* `convolve_frames` for an instruction set that has defined TARGET, Floats (FLOATS of them), load_floats, store_floats and
 * multiply_add_floats. */

enum {
  FRAMES = 8, /* of y at a time, */
  TAPS = 4,   /* and of the kernel: every x is loaded once for all of both */
};

static inline __attribute__((always_inline)) TARGET void convolve_group(
    const DepthwiseConvolutionAttributes* attributes, const float* kernel, const float* bias, const float* x,
    float* y, const int frames) {
  const int64_t channels = attributes->channels;
  Floats sums[FRAMES];
  _Pragma("GCC unroll 16") for (int t = 0; t < frames; ++t) sums[t] = load_floats(bias);
  int64_t i = 0;
  for (; i + TAPS <= attributes->length; i += TAPS, kernel += TAPS * channels, x += TAPS * channels) {
    Floats taps[TAPS];
    _Pragma("GCC unroll 16") for (int j = 0; j < TAPS; ++j) taps[j] = load_floats(kernel + j * channels);
    _Pragma("GCC unroll 16") for (int row = 0; row < frames + TAPS - 1; ++row) {
      const Floats values = load_floats(x + row * channels);
      _Pragma("GCC unroll 16") for (int j = 0; j < TAPS; ++j) {
        const int t = row - j;
        if (t >= 0 && t < frames) sums[t] = multiply_add_floats(taps[j], values, sums[t]);
      }
    }
  }
  for (; i < attributes->length; ++i, kernel += channels, x += channels) {
    const Floats tap = load_floats(kernel);
    _Pragma("GCC unroll 16") for (int t = 0; t < frames; ++t) {
      sums[t] = multiply_add_floats(tap, load_floats(x + t * channels), sums[t]);
    }
  }
  _Pragma("GCC unroll 16") for (int t = 0; t < frames; ++t) store_floats(y + t * channels, sums[t]);
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
