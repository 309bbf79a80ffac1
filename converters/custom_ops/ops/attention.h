/* The loop nests of attention, for whole utterances and for steps of a stream. */
#ifndef TFC_OPS_ATTENTION_H_
#define TFC_OPS_ATTENTION_H_

#include "context.h"

/* Bytes of scratch memory, aligned as `float`, that an utterance or a step needs; INT64_MAX if that overflows. */
int64_t tfc_attention_utterance_scratch_bytes(const tfc_attention_attributes* attributes, int64_t batch,
                                              int64_t frames);
int64_t tfc_attention_step_scratch_bytes(const tfc_attention_attributes* attributes, int64_t batch, int64_t span,
                                         int64_t capacity);

/* Both write y [batch, frames, dim] and allocate nothing; the result depends neither on the kernels nor on the threads,
 * which share the heads. A step also writes the new keys and values to its states. */
void tfc_attention_utterance_run(const tfc_context* context, const tfc_attention_attributes* attributes,
                                 const tfc_attention_biases* biases, const tfc_attention_utterance* utterance,
                                 void* scratch, float* y);
void tfc_attention_step_run(const tfc_context* context, const tfc_attention_attributes* attributes,
                            const tfc_attention_biases* biases, const tfc_attention_step_inputs* step, void* scratch,
                            float* y);

#endif
