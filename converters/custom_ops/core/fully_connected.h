/* The fully connected layer with packed 2-, 4- and 8-bit weights: reference loops, free of TFLite types.
 *
 *   y[m, n] = activation( sum_k W[n, k] * x[m, k] + bias[n] )
 *   W[n, k] = scales[n, b] * q[n, k] - offsets[n, b],   b = k / block_length
 *
 * The codes q stay packed: two's complement, `weight_bits` each, low bits of a byte first, every row padded to a whole
 * byte. They are unpacked a few hundred at a time into a stack buffer and never expanded as a whole.
 *
 * Whoever calls these functions has checked the attributes (`fully_connected_parse`), the constants
 * (`fully_connected_check_constants`) and that the buffers have the sizes given here. */
#ifndef TFCONFORMER_CORE_FULLY_CONNECTED_H_
#define TFCONFORMER_CORE_FULLY_CONNECTED_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  FULLY_CONNECTED_PARAMS = 9,           /* length of the params array of a file */
  FULLY_CONNECTED_FORMAT_VERSION = 1,   /* its first element */
  FULLY_CONNECTED_MESSAGE_SIZE = 160,   /* bytes of an error sentence, its end included */
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
} FullyConnectedAttributes;

typedef struct {
  const uint8_t* codes;    /* [n, fully_connected_row_bytes] */
  const uint16_t* scales;  /* [n, blocks], IEEE half precision */
  const uint16_t* offsets; /* [n, blocks], IEEE half precision; NULL if symmetric */
  const float* bias;       /* [n]; NULL without bias */
} FullyConnectedWeights;

/* Reads and checks the params array of a file: {version, weight_bits, symmetric, block_size (0: whole row), k, n,
 * activation_bits (0: float, 8), has_bias, activation}. On failure writes one sentence to `message`. */
bool fully_connected_parse(const int32_t params[FULLY_CONNECTED_PARAMS], FullyConnectedAttributes* attributes,
                           char message[FULLY_CONNECTED_MESSAGE_SIZE]);

/* Checks that every scale is finite and positive and every offset finite. On failure writes one sentence. */
bool fully_connected_check_constants(const FullyConnectedAttributes* attributes, const FullyConnectedWeights* weights,
                                     char message[FULLY_CONNECTED_MESSAGE_SIZE]);

/* Bytes of one row of packed codes. */
int64_t fully_connected_row_bytes(const FullyConnectedAttributes* attributes);

/* Bytes of scratch memory, aligned as `float`, that `fully_connected` needs for so many rows of x. */
int64_t fully_connected_scratch_bytes(const FullyConnectedAttributes* attributes, int64_t rows);

/* Computes y[rows, n] from x[rows, k]. Allocates nothing; the result does not depend on `rows` or on the machine.
 *
 * Float activations: y = sum_b (s_b * sum_{k in b} q_k x_k - o_b * sum_{k in b} x_k) + bias, every sum in float and in
 * ascending order. Integer activations, for each row: x is replaced by sx * qx with sx = max|x| * (1/127) and
 * qx = round_half_even(x * (127 / max|x|)), which lies in -127..127, then
 * y = sx * sum_b (s_b * (float)sum q qx - o_b * (float)sum qx) + bias with exact 32-bit sums over a block. A row whose
 * 127 / max|x| is infinite (zeros, or nothing above 3.8e-37) gets the codes 0; a row with a NaN or an infinity gives NaN. */
void fully_connected(const FullyConnectedAttributes* attributes, const FullyConnectedWeights* weights, int64_t rows,
                     const float* x, void* scratch, float* y);

#endif
