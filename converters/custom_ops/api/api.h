/* The layers as flat C functions, for tests and other hosts that bring plain arrays. */
#ifndef TFCONFORMER_API_API_H_
#define TFCONFORMER_API_API_H_

#include "../format/depthwise_convolution.h"
#include "../format/fully_connected.h"
#include "../format/layer_normalization.h"
#include "../ops/attention.h"

/* Name of a kernel that this processor can run, the fastest (and default) one at 0; NULL beyond the last. */
const char* tfconformer_kernel_name(int index);

/* Computes y[rows, N] from x[rows, K], which must have no windows, with the kernel of that name, or the fastest for
 * NULL; params and weights as in format/fully_connected.h. Returns 0, or 1 with one sentence in `message`. */
int tfconformer_fully_connected(const char* kernel, const int32_t params[FULLY_CONNECTED_PARAMS],
                                const FullyConnectedWeights* weights, int64_t rows, const float* x, float* y,
                                char message[MESSAGE_SIZE]);

/* Computes y[batch, frames, channels] from x[batch, frames + length - 1, channels] likewise; params as in
 * format/depthwise_convolution.h, weights [length, channels], bias [channels]. */
int tfconformer_depthwise_convolution(const char* kernel, const int32_t params[DEPTHWISE_CONVOLUTION_PARAMS],
                                      const float* weights, const float* bias, int64_t batch, int64_t frames,
                                      const float* x, float* y, char message[MESSAGE_SIZE]);

/* Computes y[rows, channels] from x[rows, channels] likewise; params as in format/layer_normalization.h, gain and bias
 * [channels]. */
int tfconformer_layer_normalization(const char* kernel, const int32_t params[LAYER_NORMALIZATION_PARAMS], float epsilon,
                                    const float* gain, const float* bias, int64_t rows, const float* x, float* y,
                                    char message[MESSAGE_SIZE]);

/* Compute y[batch, frames, dim] of utterances, and of a step, whose states get the new keys and values, likewise;
 * params as in format/attention.h. */
int tfconformer_attention(const char* kernel, const int32_t params[ATTENTION_PARAMS], const AttentionBiases* biases,
                          const AttentionUtterance* utterance, float* y, char message[MESSAGE_SIZE]);
int tfconformer_attention_step(const char* kernel, const int32_t params[ATTENTION_PARAMS],
                               const AttentionBiases* biases, const AttentionStep* step, float* y,
                               char message[MESSAGE_SIZE]);

#endif
