/* What an instruction set brings: one of these per file, listed in dispatch.c. docs/reference/kernels.md says how to add one. */
#ifndef TFCONFORMER_KERNELS_KERNEL_H_
#define TFCONFORMER_KERNELS_KERNEL_H_

#include "../format/attention.h"
#include "../format/depthwise_convolution.h"
#include "../format/fully_connected.h"
#include "../format/layer_normalization.h"

enum {
  MAX_ROWS = 16, /* rows of x that a kernel takes at once, */
  MAX_TILES = 4, /* and tiles of weights */
};

/* The constants of TILE output channels, at their first block. */
typedef struct {
  const uint8_t* codes;     /* [cells, CELL] */
  const uint8_t* positions; /* likewise; NULL unless sparse */
  const uint16_t* scales;   /* [blocks, TILE] */
  const uint16_t* offsets;  /* likewise; NULL if symmetric */
  /* How many bytes further on lies what should be fetched while codes and positions are read. Tiles follow each other in
   * memory: a product of several at once may fetch as much in sequence, from the first one's place on. */
  int64_t codes_ahead, positions_ahead;
} WeightTile;

/* Quantized rows of x, side by side.
 *
 * A quad is four consecutive stored weights of a channel; a row's window of a quad is the codes of x that it may be
 * multiplied with: 4 of them if the layer is dense, 8 or 16 if it keeps two or one of four. Windows beyond the end of
 * a block, up to its last cell, are of zeros. A kernel may add a constant to all codes in windows for its own product. */
typedef struct {
  int rows;
  int8_t* windows;    /* [quads of all blocks, rows, window] */
  int32_t* code_sums; /* [blocks, rows]: sums of the codes of a block */
} QuantizedRows;

/* Rows of x as they are. */
typedef struct {
  int rows;
  const float* values; /* row m begins at m * k */
  const float* sums;   /* [blocks, rows]: sums over a block; NULL if symmetric or sparse */
} FloatRows;

/* A kernel's two products write, for `count` tiles that follow each other,
 *
 *   totals[t * rows + m][c] = sum over blocks b of scale * (sum q x) - offset * (sum x),   the sums over a block
 *
 * Blocks ascend; each of the two products is added by one fused multiply-add. In a sparse layer both sums are over the
 * kept weights only. Sums of integers are exact and then rounded to float. Among floats, `sum q x` has one term after
 * the other, by fused multiply-adds; `sum x` is that of `FloatRows` in a dense layer, and one term after the other in a
 * sparse one. */
typedef void IntegerProduct(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                            const QuantizedRows* x, float (*totals)[TILE]);
typedef void FloatProduct(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                          const FloatRows* x, float (*totals)[TILE]);

/* Quantizes the rows of x that `quantized` is for, row m of which begins at m * k, and writes their scales: see loops.h. */
typedef void QuantizeRows(const FullyConnectedAttributes* attributes, const float* x, QuantizedRows* quantized,
                          float* scales);

/* y[m * stride + c] = activation(scales[m] * totals[c / TILE * rows + m][c % TILE] + bias[c]) for so many channels, by
 * one fused multiply-add; without `scales` they are 1. */
typedef void FinishRows(float (*totals)[TILE], int rows, const float* scales, const float* bias,
                        Activation activation, int channels, float* y, int64_t stride);

/* Frames of a depthwise convolution without padding,
 *
 *   y[t, c] = bias[c] + sum over i of kernel[i, c] * x[t + i, c],
 *
 * one term after the other, by fused multiply-adds. x is [frames + length - 1, channels]. */
typedef void ConvolveFrames(const DepthwiseConvolutionAttributes* attributes, const float* kernel, const float* bias,
                            int64_t frames, const float* x, float* y);

/* Rows of a layer normalization, with the sums that loops.h defines:
 *
 *   y[m, c] = ((x[m, c] - mean) * (1 / sqrt(variance + epsilon))) * gain[c] + bias[c],
 *
 * gain and bias by one fused multiply-add. */
typedef void NormalizeRows(const LayerNormalizationAttributes* attributes, const float* gain, const float* bias,
                           int64_t rows, const float* x, float* y);

/* y[r, c] = (add ? y[r, c] : 0) + sum over d of x[r, d] * matrix[d, c], one term after the other, by fused
 * multiply-adds. Rows lie so many floats apart as the strides say. */
typedef void MultiplyMatrix(int64_t rows, int64_t depth, int64_t columns, const float* x, int64_t x_stride,
                            const float* matrix, int64_t matrix_stride, bool add, float* y, int64_t y_stride);

/* With s[j] = (scores[j] + positions[j]) + mask[j], replaces every score by exp(s[j] - max s), as loops.h defines exp
 * and sums, and returns the sum of all. `scores` has room for a multiple of LANES; those beyond `count` become 0. */
typedef float ExponentiateScores(const float* positions, const float* mask, int64_t count, float* scores);

typedef struct {
  const char* name;
  bool (*is_available)(void); /* whether this processor has the instructions */
  int integer_rows;           /* most rows that `integer_product` takes, a power of 2; it takes the smaller ones too */
  int float_rows;             /* the same of `float_product` */
  IntegerProduct* integer_product;
  FloatProduct* float_product;
  QuantizeRows* quantize_rows;
  FinishRows* finish_rows;
  ConvolveFrames* convolve_frames;
  NormalizeRows* normalize_rows;
  MultiplyMatrix* multiply_matrix;
  ExponentiateScores* exponentiate_scores;
} Kernel;

/* The kernel of that name, or the fastest for NULL. NULL if this processor has none of that name. */
const Kernel* find_kernel(const char* name);

/* The names of the kernels that this processor has, the fastest first; NULL beyond the last. */
const char* kernel_name(int index);

#endif
