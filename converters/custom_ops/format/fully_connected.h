/* The fully connected layer with packed 2-, 4- and 8-bit weights: what a file says about it, free of TFLite types.
 *
 *   y[m, n] = activation( sum_k W[n, k] * x[m, k] + bias[n] )
 *   W[n, k] = scales[n, b] * q[n, k] - offsets[n, b],   b = k / block_length
 *
 * Row m of x is given, or it is a window of an image: a convolution without padding is this layer on the windows, whose
 * numbers follow each other as in the image, [window, window, channels].
 *
 * With N:4 sparsity only `kept` weights of every four along k are stored; the others are zero, offset or not.
 *
 * Layout (docs/reference/format.md). TILE output channels stand side by side. The unit of storage is a cell of CELL bytes, which
 * holds the next 32 / weight_bits codes of each channel of a tile: byte 4c + j has channel c's codes j, j + 4, j + 8, ...,
 * low bits first. A code is stored as q + 2^(weight_bits - 1), which is never negative. Every block begins a new cell; what is
 * left of its last cell, and the channels beyond n in the last tile, is zero. Sparse layers have the positions 0..3 of
 * the kept codes in cells of the same kind, 2 bits each. All is used in place.
 *
 * Whoever computes a layer has checked the attributes (`fully_connected_parse`), the constants
 * (`fully_connected_check_constants`) and that the buffers have the sizes given here. */
#ifndef TFCONFORMER_FORMAT_FULLY_CONNECTED_H_
#define TFCONFORMER_FORMAT_FULLY_CONNECTED_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

enum {
  FULLY_CONNECTED_PARAMS = 12,        /* length of the params array of a file */
  FULLY_CONNECTED_FORMAT_VERSION = 3, /* its first element */
  TILE = 16,                          /* output channels side by side */
  CELL = 64,                          /* bytes; four for each channel of a tile */
  GROUP = 4,                          /* weights of which a sparse layer keeps one or two */
  POSITION_BITS = 2,
  MAX_WINDOW = 16,                    /* longest side and stride of a window */
};

/* Numbered as TFLite's ActivationFunctionType. */
typedef enum {
  ACTIVATION_NONE = 0,
  ACTIVATION_RELU = 1,
  ACTIVATION_RELU_N1_TO_1 = 2,
  ACTIVATION_RELU6 = 3,
} Activation;

typedef struct {
  int32_t weight_bits;   /* 2, 4 or 8 */
  bool symmetric;        /* no offsets */
  int32_t block_length;  /* weights per scale, 1..k: the whole row, or a multiple of 8 */
  int32_t blocks;        /* scales per row; the last block may be shorter */
  int32_t k;             /* input features */
  int32_t n;             /* output features */
  bool int8_activations; /* quantize every input row at run time and sum integers */
  bool has_bias;
  Activation activation;
  int32_t kept;          /* weights stored of every GROUP: 1, 2, or GROUP if all are */
  int32_t window;        /* height and width of a window; 0: x has rows */
  int32_t stride;        /* from a window to the next; 0 without windows */
} FullyConnectedAttributes;

typedef struct {
  const uint8_t* codes;     /* [tiles, code cells of a tile, CELL] */
  const uint8_t* positions; /* [tiles, position cells of a tile, CELL]; NULL unless sparse */
  const uint16_t* scales;   /* [tiles, blocks, TILE], IEEE half precision */
  const uint16_t* offsets;  /* [tiles, blocks, TILE], IEEE half precision; NULL if symmetric */
  const float* bias;        /* [n]; NULL without bias */
} FullyConnectedWeights;

/* Reads and checks the params array of a file: {version, weight_bits, symmetric, block_size (0: whole row), k, n,
 * activation_bits (0: float, 8), has_bias, activation, kept (0: all), window (0: rows), stride}. On failure writes one
 * sentence to `message`. */
bool fully_connected_parse(const int32_t params[FULLY_CONNECTED_PARAMS], FullyConnectedAttributes* attributes,
                           char message[MESSAGE_SIZE]);

/* Checks that every scale is finite and positive and every offset finite. On failure writes one sentence. */
bool fully_connected_check_constants(const FullyConnectedAttributes* attributes, const FullyConnectedWeights* weights,
                                     char message[MESSAGE_SIZE]);

/* Number of tiles. */
int64_t fully_connected_tiles(const FullyConnectedAttributes* attributes);

/* Cells of `bits` wide entries, one for every stored weight, that a whole block takes, */
int64_t fully_connected_block_cells(const FullyConnectedAttributes* attributes, int bits);

/* and that all blocks of a tile take together. */
int64_t fully_connected_tile_cells(const FullyConnectedAttributes* attributes, int bits);

/* How many windows lie along so many lines or columns of an image; for attributes that have a window. */
int64_t fully_connected_windows(const FullyConnectedAttributes* attributes, int64_t length);

#endif
