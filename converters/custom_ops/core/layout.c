/* Where things are in the packed arrays. */
#include "fully_connected.h"

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
