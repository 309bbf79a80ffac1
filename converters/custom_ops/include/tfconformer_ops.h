/* The operations of libtfconformer_ops as C functions on plain arrays.
 *
 * This header needs no other of the library. It is installed with the Python package
 * (`converters.custom_ops.include_path()`); the library lies beside it (`converters.custom_ops.library_path()`). A
 * TFLite runtime needs none of this: it loads the library as an external delegate.
 *
 * Every function computes with the kernels of the given name (`tfc_kernel_name`), or the fastest of this processor for
 * NULL; the result is the same bits with all of them. It checks the op attributes and constants, and returns 0, or 1
 * with one English sentence in `message`. The arrays must have the given shapes; they are dense, row-major, and aligned
 * to their element type. The memory formats are in docs/reference/format.md. */
#ifndef TFCONFORMER_OPS_H_
#define TFCONFORMER_OPS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  TFC_MESSAGE_SIZE = 160,              /* bytes of an error sentence, its terminating zero included */
  TFC_FULLY_CONNECTED_ATTRIBUTES = 12, /* op attributes of each operation, int32 */
  TFC_DEPTHWISE_CONVOLUTION_ATTRIBUTES = 3,
  TFC_LAYER_NORMALIZATION_ATTRIBUTES = 2,
  TFC_ATTENTION_ATTRIBUTES = 4,
  TFC_COLUMN_MULTIPLE = 16, /* floats; rows of a transposed matrix are padded to a multiple of it */
};

/* Name of the kernels for one instruction set that this processor has, the fastest (the default) at index 0; NULL
 * beyond the last. */
const char* tfc_kernel_name(int index);

/* The constants of a fully connected layer with packed weights; NR = 16 output channels make one panel. */
typedef struct {
  const uint8_t* codes;        /* [panels, words, 64], quantized weights of 1, 2, 3, 4 or 8 bits */
  const uint8_t* indices;      /* [panels, words, 64], sparsity indices; NULL if the layer is dense */
  const uint16_t* scales;      /* [panels, blocks, 16], IEEE half precision, finite and above zero */
  const uint16_t* zero_points; /* [panels, blocks, 16], IEEE half precision, finite; NULL unless symmetric is 0 */
  const float* bias;           /* [N]; NULL: zero */
} tfc_fully_connected_weights;

/* Computes y [m, N] = activation(x [m, K] * W^T + bias).
 *
 * attributes: version 3, bits (1, 2, 3, 4, 8), symmetric (0, 1, 2: half-integers), block size (a multiple of 8; 0: one
 * block), K, N, bits of the activations (0: float32; 8: int8, quantized per row), has bias (0, 1), activation (0 none,
 * 1 relu, 2 relu_n1_to_1, 3 relu6), n of n:4 sparsity (1, 2; 0: dense), 0, 0. */
int tfc_fully_connected(const char* kernel, const int32_t attributes[TFC_FULLY_CONNECTED_ATTRIBUTES],
                        const tfc_fully_connected_weights* weights, int64_t m, const float* x, float* y,
                        char message[TFC_MESSAGE_SIZE]);

/* The constants of a depthwise convolution along time. */
typedef struct {
  const float* filter; /* [length, channels] */
  const float* bias;   /* [channels] */
} tfc_depthwise_convolution_weights;

/* Computes y [batch, frames, channels] from x [batch, frames + length - 1, channels], without padding. attributes:
 * version 1, length, channels. */
int tfc_depthwise_convolution(const char* kernel, const int32_t attributes[TFC_DEPTHWISE_CONVOLUTION_ATTRIBUTES],
                              const tfc_depthwise_convolution_weights* weights, int64_t batch, int64_t frames,
                              const float* x, float* y, char message[TFC_MESSAGE_SIZE]);

/* The constants of a layer normalization. */
typedef struct {
  const float* gamma; /* [channels] */
  const float* beta;  /* [channels] */
} tfc_layer_normalization_weights;

/* Computes y [m, channels] = (x - mean) / sqrt(variance + epsilon) * gamma + beta, mean and variance over the channels
 * of each row of x [m, channels]; epsilon is above zero. attributes: version 1, channels. */
int tfc_layer_normalization(const char* kernel, const int32_t attributes[TFC_LAYER_NORMALIZATION_ATTRIBUTES],
                            float epsilon, const tfc_layer_normalization_weights* weights, int64_t m, const float* x,
                            float* y, char message[TFC_MESSAGE_SIZE]);

/* The biases u and v of self-attention with relative positions (arXiv 1901.02860, section 3.3), [heads, width] both. */
typedef struct {
  const float* content_bias;
  const float* position_bias;
} tfc_attention_biases;

/* A batch of whole utterances; dim = heads * width. */
typedef struct {
  int64_t batch, frames;
  const float* query;    /* [batch, frames, dim] */
  const float* key;      /* [batch, frames, dim] */
  const float* value;    /* [batch, frames, dim] */
  const float* position; /* [2 frames - 1, dim], projected positions of the distances frames - 1 down to 1 - frames */
  const float* mask;     /* [batch, mask_rows, frames], added to the scores */
  int64_t mask_rows;     /* frames, or 1: the same mask for every query */
} tfc_attention_utterance;

/* One step of a batch of streams. keys and values are ring buffers of the last `capacity` frames: frame f is in slot
 * f % capacity. The queries attend to `span` consecutive frames, from the oldest one in the buffer on. */
typedef struct {
  int64_t batch, frames, span, capacity; /* frames and span are 1..capacity */
  const float* query;                    /* [batch, frames, dim] */
  const float* key;                      /* [batch, frames, dim] */
  const float* value;                    /* [batch, frames, dim] */
  const float* mask;                     /* [batch, frames, span], added to the scores */
  int32_t first;                         /* index f of the first frame of key and value */
  float* keys;                           /* state [batch, dim, padded capacity]; the new keys are stored in it */
  float* values;                         /* state [batch, capacity, dim]; the new values are stored in it */
  const float* position; /* [dim, padded distances]; column 0: the first query's distance to the first key */
} tfc_attention_step_inputs;

/* Computes y [batch, frames, dim]. attributes: version 1, heads, width, 0. */
int tfc_attention(const char* kernel, const int32_t attributes[TFC_ATTENTION_ATTRIBUTES],
                  const tfc_attention_biases* biases, const tfc_attention_utterance* utterance, float* y,
                  char message[TFC_MESSAGE_SIZE]);

/* Computes y [batch, frames, dim] and updates the states. attributes: version 1, heads, width, distances. "Padded"
 * means the next multiple of TFC_COLUMN_MULTIPLE. */
int tfc_attention_step(const char* kernel, const int32_t attributes[TFC_ATTENTION_ATTRIBUTES],
                       const tfc_attention_biases* biases, const tfc_attention_step_inputs* step, float* y,
                       char message[TFC_MESSAGE_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
