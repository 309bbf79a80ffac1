/* The kernels in plain C: the definition of the result, which every other instruction set reproduces bit for bit. */
#include "gemm_kernels.h"

static bool is_available(void) { return true; }

/* Entry `index` of a channel, from panel words of `bits` wide entries. */
TFC_INLINE int entry(const uint8_t* words, int64_t index, int channel, int bits) {
  const int64_t entries = tfc_unit_entries(bits);
  const int at = (int)(index % entries);
  const uint8_t byte = words[index / entries * TFC_PANEL_WORD + TFC_KR * channel + at % TFC_KR];
  return (byte >> (at / TFC_KR * bits)) & ((1 << bits) - 1);
}

/* Weight `index` of a channel, as it is stored. */
TFC_INLINE int stored_weight(const uint8_t* words, int64_t index, int channel, int bits) {
  if (bits != 3) return entry(words, index, channel, bits);
  const int at = (int)(index % tfc_unit_entries(bits)), word = at / 8, field = at / TFC_KR % 2;
  const uint8_t* bytes = words + index / tfc_unit_entries(bits) * tfc_unit_words(bits) * TFC_PANEL_WORD;
  bytes += TFC_KR * channel + at % TFC_KR;
  const int low = bytes[word / 2 * TFC_PANEL_WORD] >> (4 * field + 2 * (word % 2)) & 3;
  const int high = bytes[2 * TFC_PANEL_WORD] >> (4 * field + word) & 1;
  return high << 2 | low;
}

/* The stored weights of one channel in one block. */
typedef struct {
  const uint8_t *codes, *indices; /* panel words; indices is NULL in a dense layer */
  int channel, bits, sparsity_n;
  int64_t count;
} tfc_channel_weights;

TFC_INLINE tfc_channel_weights channel_weights(const tfc_fully_connected_attributes* attributes,
                                               const tfc_weight_panel* panel, int64_t block, int channel) {
  const int bits = attributes->weight_bits;
  tfc_channel_weights weights = {
      .codes = panel->codes + block * tfc_fully_connected_block_words(attributes, bits) * TFC_PANEL_WORD,
      .channel = channel,
      .bits = bits,
      .sparsity_n = attributes->sparsity_n,
      .count = tfc_stored_weights(attributes, block),
  };
  if (panel->indices != NULL) {
    weights.indices =
        panel->indices + block * tfc_fully_connected_block_words(attributes, TFC_INDEX_BITS) * TFC_PANEL_WORD;
  }
  return weights;
}

/* The quantized weight q. */
TFC_INLINE int quantized(const tfc_channel_weights* weights, int64_t index) {
  return stored_weight(weights->codes, index, weights->channel, weights->bits) - (1 << (weights->bits - 1));
}

/* The input feature of the block that the weight is multiplied with. */
TFC_INLINE int64_t input(const tfc_channel_weights* weights, int64_t index) {
  if (weights->indices == NULL) return index;
  return index / weights->sparsity_n * TFC_SPARSITY_M +
         entry(weights->indices, index, weights->channel, TFC_INDEX_BITS);
}

TFC_INLINE float add_block(const tfc_weight_panel* panel, int64_t block, int channel, float block_acc, float row_sum,
                           float acc) {
  const int64_t at = block * TFC_NR + channel;
  acc = __builtin_fmaf(tfc_half_to_float(panel->scales[at]), block_acc, acc);
  if (panel->zero_points == NULL) return acc;
  return __builtin_fmaf(-panel->zero_point_factor * tfc_half_to_float(panel->zero_points[at]), row_sum, acc);
}

static void tfc_qd8_f32_qbw_gemm_1x16c4__portable(const tfc_fully_connected_attributes* attributes,
                                                  const tfc_weight_panel* panels, int nt, const tfc_qd8_lhs* lhs,
                                                  float (*acc)[TFC_NR]) {
  tfc_check_gemm(attributes, panels, nt, attributes->weight_bits, acc);
  assert(lhs->mr == 1 && lhs->values != NULL);
  const int lhs_kr = tfc_lhs_kr(attributes);
  const int64_t block_size = tfc_block_groups(tfc_stored_weights(attributes, 0), attributes->weight_bits) * lhs_kr;
  for (int t = 0; t < nt; ++t) {
    memset(acc[t], 0, sizeof acc[t]);
    for (int64_t b = 0; b < attributes->blocks; ++b) {
      const int8_t* values = lhs->values + b * block_size;
      for (int c = 0; c < TFC_NR; ++c) {
        const tfc_channel_weights weights = channel_weights(attributes, &panels[t], b, c);
        int32_t block_acc = 0, row_sum = 0;
        for (int64_t i = 0; i < weights.count; ++i) {
          const int32_t value = values[input(&weights, i)];
          block_acc += quantized(&weights, i) * value;
          row_sum += value;
        }
        acc[t][c] = add_block(&panels[t], b, c, (float)block_acc, (float)row_sum, acc[t][c]);
      }
    }
  }
}

static void tfc_f32_f32_qbw_gemm_1x16c4__portable(const tfc_fully_connected_attributes* attributes,
                                                  const tfc_weight_panel* panels, int nt, const tfc_f32_lhs* lhs,
                                                  float (*acc)[TFC_NR]) {
  tfc_check_gemm(attributes, panels, nt, attributes->weight_bits, acc);
  assert(lhs->mr == 1 && lhs->values != NULL);
  const int64_t k = attributes->k;
  for (int t = 0; t < nt; ++t) {
    memset(acc[t], 0, sizeof acc[t]);
    for (int64_t b = 0; b < attributes->blocks; ++b) {
      const int64_t first = b * attributes->block_length;
      for (int c = 0; c < TFC_NR; ++c) {
        const tfc_channel_weights weights = channel_weights(attributes, &panels[t], b, c);
        float block_acc = 0.0f, row_sum = 0.0f;
        for (int64_t i = 0; i < weights.count; ++i) {
          const int64_t at = first + input(&weights, i);
          const float value = at < k ? lhs->values[at] : 0.0f;
          block_acc = __builtin_fmaf((float)quantized(&weights, i), value, block_acc);
          row_sum += value;
        }
        if (lhs->row_sums != NULL) row_sum = lhs->row_sums[b];
        acc[t][c] = add_block(&panels[t], b, c, block_acc, row_sum, acc[t][c]);
      }
    }
  }
}

static void tfc_qd8_pack_lhs__portable(const tfc_fully_connected_attributes* attributes, const float* x,
                                       tfc_qd8_lhs* lhs, float* scales) {
  tfc_check_pack_lhs(attributes, x, lhs, scales, 1);
  scales[0] = tfc_pack_lhs_row(attributes, x, 0, lhs);
}

static void tfc_epilogue__portable(const tfc_epilogue_arguments* arguments) {
  tfc_check_epilogue(arguments);
  tfc_epilogue_loop(arguments, 0);
}

static void tfc_f32_dwconv__portable(const tfc_depthwise_convolution_attributes* attributes,
                                     const tfc_depthwise_convolution_weights* weights, int64_t frames, const float* x,
                                     float* y) {
  tfc_check_dwconv(attributes, weights, frames, x, y);
  tfc_dwconv_loop(attributes, weights, frames, x, 0, y);
}

static float sum_row(const float* x, int64_t channels, float mean, bool squared) {
  float lanes[TFC_LANES] = {0.0f};
  for (int64_t c = 0; c < channels; c += TFC_LANES) {
    tfc_add_to_lanes(x + c, tfc_min(TFC_LANES, channels - c), mean, squared, lanes);
  }
  return tfc_reduce_lanes(lanes, TFC_LANES);
}

static void tfc_f32_layer_norm__portable(const tfc_layer_normalization_attributes* attributes,
                                         const tfc_layer_normalization_weights* weights, int64_t m, const float* x,
                                         float* y) {
  tfc_check_layer_norm(attributes, weights, m, x, y);
  const int64_t channels = attributes->channels;
  for (int64_t i = 0; i < m; ++i, x += channels, y += channels) {
    const float mean = sum_row(x, channels, 0.0f, false) / (float)channels;
    const float variance = sum_row(x, channels, mean, true) / (float)channels;
    const float inverse = 1.0f / sqrtf(variance + attributes->epsilon);
    for (int64_t c = 0; c < channels; ++c) {
      y[c] = __builtin_fmaf((x[c] - mean) * inverse, weights->gamma[c], weights->beta[c]);
    }
  }
}

static void tfc_f32_matmul__portable(const tfc_f32_matmul_arguments* arguments) {
  tfc_check_matmul(arguments);
  tfc_matmul_loop(arguments, 0, arguments->m, 0);
}

static float tfc_f32_exp_scores__portable(const float* position_scores, const float* mask, int64_t count,
                                          float* scores) {
  tfc_check_exp_scores(position_scores, mask, count, scores);
  float largest = -INFINITY;
  for (int64_t j = 0; j < count; ++j) {
    scores[j] = (scores[j] + position_scores[j]) + mask[j];
    largest = scores[j] > largest ? scores[j] : largest;
  }
  for (int64_t j = 0; j < count; ++j) scores[j] = tfc_exp(scores[j] - largest);
  for (int64_t j = count; j < tfc_padded_lanes(count); ++j) scores[j] = 0.0f;
  return sum_row(scores, tfc_padded_lanes(count), 0.0f, false);
}

/* One function serves all widths and layouts. */
#define QD8_ENTRY(MR, BITS, WEIGHTS, LAYOUT, ISA) [TFC_WIDTH(BITS)][LAYOUT][MR] = tfc_qd8_f32_qbw_gemm_1x16c4__portable,
#define F32_ENTRY(MR, BITS, WEIGHTS, LAYOUT, ISA) [TFC_WIDTH(BITS)][LAYOUT][MR] = tfc_f32_f32_qbw_gemm_1x16c4__portable,

static const tfc_qd8_gemm_kernels tfc_qd8_gemm__portable = {
    .mr = 1,
    .min_rows = 1,
    .max_block_groups = INT64_MAX,
    .pack_lhs = tfc_qd8_pack_lhs__portable,
    .epilogue = tfc_epilogue__portable,
    .gemm = {TFC_EACH_QD8_KERNEL(QD8_ENTRY, TFC_EACH_MR_1, portable)},
};

static const tfc_f32_gemm_kernels tfc_f32_gemm__portable = {
    .mr = 1,
    .epilogue = tfc_epilogue__portable,
    .gemm = {TFC_EACH_F32_KERNEL(F32_ENTRY, TFC_EACH_MR_1, portable)},
};

static const tfc_attention_kernels tfc_attention__portable = {tfc_f32_matmul__portable, tfc_f32_exp_scores__portable};

TFC_KERNEL_SET(portable, portable, "portable", NULL)
