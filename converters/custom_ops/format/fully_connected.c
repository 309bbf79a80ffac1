/* Checks of a file's attributes, which the kernels rely on, and sizes of the packed arrays. */
#include "fully_connected.h"

#include <stdio.h>

enum { BLOCK_MULTIPLE = 8 }; /* so that a block begins on a byte at every bit width */

bool fully_connected_parse(const int32_t params[FULLY_CONNECTED_PARAMS], FullyConnectedAttributes* attributes,
                           char message[MESSAGE_SIZE]) {
  const int32_t version = params[0], weight_bits = params[1], symmetric = params[2], block_size = params[3];
  const int32_t k = params[4], n = params[5], activation_bits = params[6], has_bias = params[7];
  const int32_t activation = params[8], kept = params[9], window = params[10], stride = params[11];
  if (version != FULLY_CONNECTED_FORMAT_VERSION) return refuse_param(message, "version", version, "3");
  if (weight_bits != 2 && weight_bits != 4 && weight_bits != 8) {
    return refuse_param(message, "bits", weight_bits, "2, 4 or 8");
  }
  if (symmetric != 0 && symmetric != 1) return refuse_param(message, "symmetric", symmetric, "0 or 1");
  if (block_size < 0 || block_size % BLOCK_MULTIPLE != 0) {
    return refuse_param(message, "block_size", block_size, "0 or a positive multiple of 8");
  }
  if (k < 1) return refuse_param(message, "K", k, "at least 1");
  if (n < 1) return refuse_param(message, "N", n, "at least 1");
  if (activation_bits != 0 && activation_bits != 8) {
    return refuse_param(message, "activation_bits", activation_bits, "0 or 8");
  }
  if (has_bias != 0 && has_bias != 1) return refuse_param(message, "has_bias", has_bias, "0 or 1");
  if (activation < ACTIVATION_NONE || activation > ACTIVATION_RELU6) {
    return refuse_param(message, "activation", activation, "0 (none), 1 (relu), 2 (relu_n1_to_1) or 3 (relu6)");
  }
  if (kept != 0 && kept != 1 && kept != 2) return refuse_param(message, "kept", kept, "0 (all), 1 or 2");
  if (window < 0 || window > MAX_WINDOW) return refuse_param(message, "window", window, "0 (rows) or 1 to 16");
  if (stride < (window > 0) || stride > (window > 0 ? MAX_WINDOW : 0)) {
    return refuse_param(message, "stride", stride, window > 0 ? "1 to 16" : "0, as there is no window");
  }
  if (window > 0 && k % (window * window) != 0) return refuse_param(message, "K", k, "a multiple of the window's size");
  const int32_t block_length = block_size == 0 || block_size > k ? k : block_size;
  const int64_t largest_sum = ((int64_t)block_length << (weight_bits - 1)) * 127;
  if (activation_bits == 8 && largest_sum > INT32_MAX) {
    return refuse_param(message, "block length", block_length, "a length whose products always fit a 32-bit sum");
  }
  *attributes = (FullyConnectedAttributes){
      .weight_bits = weight_bits,
      .symmetric = symmetric == 1,
      .block_length = block_length,
      .blocks = (int32_t)(((int64_t)k + block_length - 1) / block_length),
      .k = k,
      .n = n,
      .int8_activations = activation_bits == 8,
      .has_bias = has_bias == 1,
      .activation = (Activation)activation,
      .kept = kept == 0 ? GROUP : kept,
      .window = window,
      .stride = stride,
  };
  return true;
}

static bool half_is_finite(uint16_t half) { return (half & 0x7C00) != 0x7C00; }

static bool half_is_positive(uint16_t half) { return half != 0 && half < 0x8000; }

bool fully_connected_check_constants(const FullyConnectedAttributes* attributes, const FullyConnectedWeights* weights,
                                     char message[MESSAGE_SIZE]) {
  const int64_t blocks = attributes->blocks;
  for (int64_t n = 0; n < attributes->n; ++n) {
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t at = (n / TILE * blocks + b) * TILE + n % TILE;
      const bool scale_is_good = half_is_finite(weights->scales[at]) && half_is_positive(weights->scales[at]);
      if (!scale_is_good || (!attributes->symmetric && !half_is_finite(weights->offsets[at]))) {
        snprintf(message, MESSAGE_SIZE, "%s %lld of channel %lld is not a finite number%s",
                 scale_is_good ? "offset" : "scale", (long long)b, (long long)n, scale_is_good ? "" : " above zero");
        return false;
      }
    }
  }
  return true;
}

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t cells(const FullyConnectedAttributes* attributes, int64_t length, int bits) {
  const int64_t stored = divide_up(length, GROUP) * attributes->kept;
  return divide_up(attributes->kept == GROUP ? length : stored, 8 * CELL / (TILE * bits));
}

int64_t fully_connected_tiles(const FullyConnectedAttributes* attributes) { return divide_up(attributes->n, TILE); }

int64_t fully_connected_block_cells(const FullyConnectedAttributes* attributes, int bits) {
  return cells(attributes, attributes->block_length, bits);
}

int64_t fully_connected_tile_cells(const FullyConnectedAttributes* attributes, int bits) {
  const int64_t whole_blocks = attributes->blocks - 1;
  const int64_t rest = attributes->k - whole_blocks * attributes->block_length;
  return whole_blocks * fully_connected_block_cells(attributes, bits) + cells(attributes, rest, bits);
}

int64_t fully_connected_windows(const FullyConnectedAttributes* attributes, int64_t length) {
  return length < attributes->window ? 0 : (length - attributes->window) / attributes->stride + 1;
}
