/* Checks of a file's op attributes and constants, on which the kernels rely, and the sizes of the packed arrays. */
#include "fully_connected.h"

#include <assert.h>

enum {
  BLOCK_MULTIPLE = 8, /* so that a block begins on a byte at every bit width */
  LARGEST_QUANTIZED_X = 127,
  HALF_INTEGERS = 2, /* value of the attribute `symmetric` */
};

bool tfc_fully_connected_parse(const int32_t params[TFC_FULLY_CONNECTED_ATTRIBUTES],
                               tfc_fully_connected_attributes* attributes, char message[TFC_MESSAGE_SIZE]) {
  const int32_t version = params[0], weight_bits = params[1], symmetric = params[2], block_size = params[3];
  const int32_t k = params[4], n = params[5], activation_bits = params[6], has_bias = params[7];
  const int32_t activation = params[8], kept = params[9], window = params[10], stride = params[11];
  if (version != TFC_FULLY_CONNECTED_VERSION) return tfc_refuse_attribute(message, "version", version, "3");
  if (weight_bits != 8 && (weight_bits < 1 || weight_bits > 4)) {
    return tfc_refuse_attribute(message, "bits", weight_bits, "1, 2, 3, 4 or 8");
  }
  if (symmetric < 0 || symmetric > HALF_INTEGERS) {
    return tfc_refuse_attribute(message, "symmetric", symmetric, "0, 1 or 2 (half-integers)");
  }
  if (block_size < 0 || block_size % BLOCK_MULTIPLE != 0) {
    return tfc_refuse_attribute(message, "block_size", block_size, "0 or a positive multiple of 8");
  }
  if (k < 1) return tfc_refuse_attribute(message, "K", k, "at least 1");
  if (n < 1) return tfc_refuse_attribute(message, "N", n, "at least 1");
  if (activation_bits != 0 && activation_bits != 8) {
    return tfc_refuse_attribute(message, "activation_bits", activation_bits, "0 or 8");
  }
  if (has_bias != 0 && has_bias != 1) return tfc_refuse_attribute(message, "has_bias", has_bias, "0 or 1");
  if (activation < TFC_ACTIVATION_NONE || activation > TFC_ACTIVATION_RELU6) {
    return tfc_refuse_attribute(message, "activation", activation, "0 (none), 1 (relu), 2 (relu_n1_to_1) or 3 (relu6)");
  }
  if (kept != 0 && kept != 1 && kept != 2) return tfc_refuse_attribute(message, "kept", kept, "0 (all), 1 or 2");
  if (kept != 0 && (weight_bits == 1 || weight_bits == 3)) {
    return tfc_refuse_attribute(message, "kept", kept, "0 (all) with 1 or 3 bits");
  }
  if (window < 0 || window > TFC_MAX_WINDOW) {
    return tfc_refuse_attribute(message, "window", window, "0 (rows) or 1 to 16");
  }
  if (stride < (window > 0) || stride > (window > 0 ? TFC_MAX_WINDOW : 0)) {
    return tfc_refuse_attribute(message, "stride", stride, window > 0 ? "1 to 16" : "0, as there is no window");
  }
  if (window > 0 && k % (window * window) != 0) {
    return tfc_refuse_attribute(message, "K", k, "a multiple of the window's size");
  }
  const int32_t block_length = block_size == 0 || block_size > k ? k : block_size;
  const int64_t largest_accumulator = ((int64_t)block_length << (weight_bits - 1)) * LARGEST_QUANTIZED_X;
  if (activation_bits == 8 && largest_accumulator > INT32_MAX) {
    return tfc_refuse_attribute(message, "block length", block_length,
                                "a length whose products always fit a 32-bit sum");
  }
  *attributes = (tfc_fully_connected_attributes){
      .weight_bits = weight_bits,
      .symmetric = symmetric == 1,
      .half_integers = symmetric == HALF_INTEGERS,
      .block_length = block_length,
      .blocks = (int32_t)(((int64_t)k + block_length - 1) / block_length),
      .k = k,
      .n = n,
      .int8_activations = activation_bits == 8,
      .has_bias = has_bias == 1,
      .activation = (tfc_activation)activation,
      .sparsity_n = kept == 0 ? TFC_SPARSITY_M : kept,
      .window = window,
      .stride = stride,
  };
  return true;
}

static bool half_is_finite(uint16_t half) { return (half & 0x7C00) != 0x7C00; }

static bool half_is_positive(uint16_t half) { return half != 0 && half < 0x8000; }

bool tfc_fully_connected_check_constants(const tfc_fully_connected_attributes* attributes,
                                         const tfc_fully_connected_weights* weights, char message[TFC_MESSAGE_SIZE]) {
  const int64_t blocks = attributes->blocks;
  const bool has_zero_points = tfc_stores_zero_points(attributes);
  for (int64_t n = 0; n < attributes->n; ++n) {
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t at = (n / TFC_NR * blocks + b) * TFC_NR + n % TFC_NR;
      const bool scale_is_good = half_is_finite(weights->scales[at]) && half_is_positive(weights->scales[at]);
      if (!scale_is_good || (has_zero_points && !half_is_finite(weights->zero_points[at]))) {
        snprintf(message, TFC_MESSAGE_SIZE, "%s %lld of channel %lld is not a finite number%s",
                 scale_is_good ? "offset" : "scale", (long long)b, (long long)n, scale_is_good ? "" : " above zero");
        return false;
      }
    }
  }
  return true;
}

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Panel words of a block of `length` input features. */
static int64_t block_words(const tfc_fully_connected_attributes* attributes, int64_t length, int bits) {
  const bool is_dense = attributes->sparsity_n == TFC_SPARSITY_M;
  const int64_t stored = is_dense ? length : divide_up(length, TFC_SPARSITY_M) * attributes->sparsity_n;
  return divide_up(stored, tfc_unit_entries(bits)) * tfc_unit_words(bits);
}

int64_t tfc_fully_connected_panels(const tfc_fully_connected_attributes* attributes) {
  return divide_up(attributes->n, TFC_NR);
}

int64_t tfc_fully_connected_block_words(const tfc_fully_connected_attributes* attributes, int bits) {
  return block_words(attributes, attributes->block_length, bits);
}

int64_t tfc_fully_connected_panel_words(const tfc_fully_connected_attributes* attributes, int bits) {
  const int64_t whole_blocks = attributes->blocks - 1;
  const int64_t rest = attributes->k - whole_blocks * attributes->block_length;
  return whole_blocks * block_words(attributes, attributes->block_length, bits) + block_words(attributes, rest, bits);
}

int64_t tfc_fully_connected_windows(const tfc_fully_connected_attributes* attributes, int64_t length) {
  assert(attributes->window > 0 && attributes->stride > 0);
  return length < attributes->window ? 0 : (length - attributes->window) / attributes->stride + 1;
}
