/* The fully connected layer with packed 1-, 2-, 3-, 4- and 8-bit weights, as a file describes it; free of TFLite types.
 *
 *   y[m, n] = activation( sum_k W[n, k] * x[m, k] + bias[n] )
 *   W[n, k] = scales[n, b] * q[n, k] - zero_points[n, b],   b = k / block_length
 *
 * A symmetric layer has no zero points; one of half-integers has -scales / 2, W = scales * (q + 1/2), and stores none.
 *
 * Row m of x is given, or it is a window of an image: a convolution without padding is this layer on the windows, whose
 * values are in the order of the image, [window, window, channels].
 *
 * In a sparse layer (N:M sparsity, M = TFC_SPARSITY_M = 4) only `sparsity_n` weights of every four along k are stored;
 * the others are zero, also where there are zero points.
 *
 * Layout (docs/reference/format.md). TFC_NR output channels are interleaved: a panel. A panel word of TFC_PANEL_WORD
 * bytes holds the next 32 / weight_bits weights of each channel of the panel: byte TFC_KR * c + j has channel c's
 * weights j, j + 4, j + 8, ..., low bits first. A weight q is stored as q + 2^(weight_bits - 1), which is never
 * negative.
 *
 * Weights of 3 bits stand in fields of 4 bits, whose highest bit is zero and left out: three panel words have the bits
 * of four, 32 weights of each channel. Of both fields of a byte of number i of the four, the low two bits are those
 * from bit 2 * (i % 2) on of the field of word i / 2, and the high bit is bit i of the field of word 2. These three
 * words, or the single one of other weights, are a unit.
 *
 * Every block begins at a new unit; the rest of its last unit, and the channels beyond n in the last panel, are zero.
 * Sparse layers have the indices 0..3 of the stored weights in words like those of 2-bit weights. The arrays are used
 * in place.
 *
 * Callers of the kernels have checked the attributes (`tfc_fully_connected_parse`), the constants
 * (`tfc_fully_connected_check_constants`) and that the buffers have the sizes given here. */
#ifndef TFC_FORMAT_FULLY_CONNECTED_H_
#define TFC_FORMAT_FULLY_CONNECTED_H_

#include <stddef.h>

#include "message.h"

enum {
  TFC_FULLY_CONNECTED_VERSION = 3,  /* the first op attribute */
  TFC_NR = 16,                      /* output channels of a panel */
  TFC_KR = 4,                       /* weights of a channel that are adjacent in a panel word */
  TFC_PANEL_WORD = TFC_NR * TFC_KR, /* bytes */
  TFC_SPARSITY_M = 4,               /* M of N:M sparsity */
  TFC_INDEX_BITS = 2,               /* of a sparsity index */
  TFC_MAX_UNIT_WORDS = 3,           /* panel words of a unit of 3-bit weights */
  TFC_MAX_WINDOW = 16,              /* longest side and stride of a window */
};

/* Numbered as TFLite's ActivationFunctionType. */
typedef enum {
  TFC_ACTIVATION_NONE = 0,
  TFC_ACTIVATION_RELU = 1,
  TFC_ACTIVATION_RELU_N1_TO_1 = 2,
  TFC_ACTIVATION_RELU6 = 3,
} tfc_activation;

typedef struct {
  int32_t weight_bits;   /* 1, 2, 3, 4 or 8 */
  bool symmetric;        /* no zero points */
  bool half_integers;    /* the zero points are -scales / 2 */
  int32_t block_length;  /* weights per scale, 1..k: all of a channel, or a multiple of 8 */
  int32_t blocks;        /* scales per channel; the last block may be shorter */
  int32_t k;             /* input features */
  int32_t n;             /* output features */
  bool int8_activations; /* quantize every row of x at run time and accumulate integers */
  bool has_bias;
  tfc_activation activation;
  int32_t sparsity_n; /* weights stored of every TFC_SPARSITY_M: 1, 2, or TFC_SPARSITY_M in a dense layer */
  int32_t window;     /* height and width of a window; 0: x has rows */
  int32_t stride;     /* from a window to the next; 0 without windows */
} tfc_fully_connected_attributes;

/* Reads and checks the op attributes of a file: {version, weight_bits, symmetric (2: half-integers), block_size (0: all
 * of a channel), k, n, activation_bits (0: float, 8), has_bias, activation, kept (n of n:4 sparsity; 0: dense), window
 * (0: rows), stride}. On failure writes one sentence to `message` and returns false. */
bool tfc_fully_connected_parse(const int32_t params[TFC_FULLY_CONNECTED_ATTRIBUTES],
                               tfc_fully_connected_attributes* attributes, char message[TFC_MESSAGE_SIZE]);

/* Checks that every scale is finite and positive and every zero point finite. On failure writes one sentence to
 * `message` and returns false. */
bool tfc_fully_connected_check_constants(const tfc_fully_connected_attributes* attributes,
                                         const tfc_fully_connected_weights* weights, char message[TFC_MESSAGE_SIZE]);

/* Whether a file has an array of zero points. */
static inline bool tfc_stores_zero_points(const tfc_fully_connected_attributes* attributes) {
  return !attributes->symmetric && !attributes->half_integers;
}

/* Panel words of a unit, of entries of `bits` bits. */
static inline int tfc_unit_words(int bits) { return bits == 3 ? TFC_MAX_UNIT_WORDS : 1; }

/* Entries of a channel in a unit. */
static inline int tfc_unit_entries(int bits) { return 8 * TFC_KR * tfc_unit_words(bits) / bits; }

/* Number of panels. */
int64_t tfc_fully_connected_panels(const tfc_fully_connected_attributes* attributes);

/* Panel words that a whole block takes, of entries of `bits` bits (weight_bits or TFC_INDEX_BITS), one for every stored
 * weight. */
int64_t tfc_fully_connected_block_words(const tfc_fully_connected_attributes* attributes, int bits);

/* Panel words that all blocks of a panel take together. */
int64_t tfc_fully_connected_panel_words(const tfc_fully_connected_attributes* attributes, int bits);

/* Number of windows along `length` lines or columns of an image; the attributes must have a window. */
int64_t tfc_fully_connected_windows(const tfc_fully_connected_attributes* attributes, int64_t length);

#endif
