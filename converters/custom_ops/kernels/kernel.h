/* The kernels of one instruction set: tables of functions for each operation. docs/reference/kernels.md explains the
 * names and how to add an instruction set.
 *
 * A matmul multiplies M rows of x with the packed weights. A GEMM kernel computes up to MR rows by up to TFC_MAX_NT
 * panels of TFC_NR output channels; TFC_KR consecutive stored weights of a channel are adjacent, a k group. */
#ifndef TFC_KERNELS_KERNEL_H_
#define TFC_KERNELS_KERNEL_H_

#include "../format/attention.h"
#include "../format/depthwise_convolution.h"
#include "../format/fully_connected.h"
#include "../format/layer_normalization.h"

/* Whether the compiler takes the source of the SME2 kernels: clang 19 does, gcc 12 of Debian 12 has no intrinsics. */
#if defined(__aarch64__) && defined(__clang__) && __clang_major__ >= 19
#define TFC_HAS_SME2 1
#else
#define TFC_HAS_SME2 0
#endif

enum {
  TFC_MAX_MR = 256,     /* largest MR of any kernel */
  TFC_MAX_OWN_MR = 8,   /* largest MR of kernels that are for one number of rows */
  TFC_ANY_MR = 0,       /* index of kernels for any number of rows up to MR */
  TFC_MR_MULTIPLE = 16, /* panels of any number of rows have room for a multiple */
  TFC_MAX_NT = 4,       /* most panels that a GEMM kernel takes at once */
  TFC_CACHE_LINE = 64,  /* bytes */
};

/* The constants of TFC_NR output channels, from their first block on. */
typedef struct {
  const uint8_t* codes;        /* [words, TFC_PANEL_WORD] */
  const uint8_t* indices;      /* [words, TFC_PANEL_WORD], sparsity indices; NULL in a dense layer */
  const uint16_t* scales;      /* [blocks, TFC_NR] */
  const uint16_t* zero_points; /* [blocks, TFC_NR], in units of the factor; NULL if symmetric */
  float zero_point_factor;     /* a power of two: products with it are exact. Of half-integers, whose zero points are
                                  -scales / 2, -1/2, and `zero_points` are the scales; else 1 */
  /* Distance in bytes from the weights in use to those that are prefetched at the same time. Panels follow each other
   * in memory: a GEMM over several of them may prefetch as much in sequence, beginning at the first one's distance. */
  int64_t codes_prefetch, indices_prefetch;
} tfc_weight_panel;

/* A packed LHS panel: mr rows of x, quantized to int8.
 *
 * A row has `lhs_kr` values for every k group, those that its weights may be multiplied with: TFC_KR in a dense layer,
 * 8 or 16 if two or one of four weights are stored. Values beyond the end of a block, up to its last unit, are zero.
 * Their order is that of the GEMM kernels of an instruction set, and written by its `pack_lhs`: the rows are
 * interleaved, or for kernels of any number of rows follow each other. A constant may be added to all values.
 *
 * `values` begins at a cache line. Kernels of any number of rows may read rows up to a multiple of TFC_MR_MULTIPLE, and
 * TFC_CACHE_LINE bytes after them. */
typedef struct {
  int mr;
  int8_t* values;    /* [k groups of all blocks, mr, lhs_kr], or [mr, row_bytes] */
  int64_t row_bytes; /* room for a row, an odd number of cache lines: equal places of rows share no set of a cache */
  int32_t* row_sums; /* [blocks, mr], ksum: sums of the quantized values of a block */
} tfc_qd8_lhs;

/* Rows of x as they are. */
typedef struct {
  int mr;
  const float* values;   /* row m begins at m * k */
  const float* row_sums; /* [blocks, mr], sums over a block; NULL if symmetric or sparse */
} tfc_f32_lhs;

/* Indices into the tables of GEMM kernels: bit widths, and layouts of the weights that have kernels of their own. */
#define TFC_WIDTH(bits) ((bits) < 8 ? (bits) - 1 : 4)
enum { TFC_WIDTHS = TFC_WIDTH(8) + 1 };
enum {
  TFC_QD8_DENSE,
  TFC_QD8_SPARSE_2_4,             /* symmetric */
  TFC_QD8_SPARSE_2_4_ZERO_POINTS, /* asymmetric */
  TFC_QD8_SPARSE_1_4,
  TFC_QD8_SPARSE_1_4_ZERO_POINTS,
  TFC_QD8_LAYOUTS,
};
enum {
  TFC_F32_DENSE,
  TFC_F32_SPARSE, /* 2:4 and 1:4 */
  TFC_F32_LAYOUTS,
};

/* GEMM kernels write, for nt panels that follow each other,
 *
 *   acc[t * mr + m][c] = sum over blocks b of scale * (sum q x) - zero_point * (sum x),   the inner sums over a block
 *
 * Blocks ascend; each of the two terms is added by one fused multiply-add. In a sparse layer both inner sums are over
 * the stored weights only. Sums of integers are exact and then rounded to float. Among floats, `sum q x` adds one term
 * after the other, by fused multiply-adds; `sum x` is `row_sums` in a dense layer, and adds one term after the other in
 * a sparse one. */
typedef void tfc_qd8_gemm_function(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                                   int nt, const tfc_qd8_lhs* lhs, float (*acc)[TFC_NR]);
typedef void tfc_f32_gemm_function(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                                   int nt, const tfc_f32_lhs* lhs, float (*acc)[TFC_NR]);

/* Quantizes lhs->mr rows of x, row m of which begins at m * k, into the packed panel and writes their scales: see
 * tfc_pack_lhs_row in loops.h. */
typedef void tfc_qd8_pack_lhs_function(const tfc_fully_connected_attributes* attributes, const float* x,
                                       tfc_qd8_lhs* lhs, float* scales);

/* The arguments of an epilogue: y[m * stride + c] = activation(scales[m] * acc[c / TFC_NR * mr + m][c % TFC_NR] +
 * bias[c]) for `channels` channels, by one fused multiply-add. */
typedef struct {
  float (*acc)[TFC_NR];
  int mr;
  const float* scales; /* [mr]; NULL: 1 */
  const float* bias;   /* [channels] */
  tfc_activation activation;
  int channels;
  float* y;
  int64_t stride;
} tfc_epilogue_arguments;
typedef void tfc_epilogue_function(const tfc_epilogue_arguments* arguments);

/* GEMM kernels by width, layout and number of rows: powers of two up to mr, or TFC_ANY_MR alone. */
typedef struct {
  int mr;
  int min_rows;             /* of x; fewer are faster by other kernels */
  int64_t max_block_groups; /* longest block, in k groups */
  tfc_qd8_pack_lhs_function* pack_lhs;
  tfc_epilogue_function* epilogue;
  tfc_qd8_gemm_function* gemm[TFC_WIDTHS][TFC_QD8_LAYOUTS][TFC_MAX_OWN_MR + 1];
} tfc_qd8_gemm_kernels;

typedef struct {
  int mr;
  tfc_epilogue_function* epilogue;
  tfc_f32_gemm_function* gemm[TFC_WIDTHS][TFC_F32_LAYOUTS][TFC_MAX_OWN_MR + 1];
} tfc_f32_gemm_kernels;

/* Frames of a depthwise convolution without padding,
 *
 *   y[t, c] = bias[c] + sum over i of filter[i, c] * x[t + i, c],
 *
 * one term after the other, by fused multiply-adds. x is [frames + length - 1, channels]. */
typedef void tfc_f32_dwconv_function(const tfc_depthwise_convolution_attributes* attributes,
                                     const tfc_depthwise_convolution_weights* weights, int64_t frames, const float* x,
                                     float* y);

/* Rows of a layer normalization, with the sums that loops.h defines:
 *
 *   y[m, c] = ((x[m, c] - mean) * (1 / sqrt(variance + epsilon))) * gamma[c] + beta[c],
 *
 * gamma and beta by one fused multiply-add. */
typedef void tfc_f32_layer_norm_function(const tfc_layer_normalization_attributes* attributes,
                                         const tfc_layer_normalization_weights* weights, int64_t m, const float* x,
                                         float* y);

/* The arguments of a float matmul: c[i, j] = (accumulate ? c[i, j] : 0) + sum over l of a[i, l] * b[l, j], one term
 * after the other, by fused multiply-adds. Rows are `stride` floats apart. */
typedef struct {
  int64_t m, k, n;
  const float* a; /* [m, k] */
  int64_t a_stride;
  const float* b; /* [k, n] */
  int64_t b_stride;
  float* c; /* [m, n] */
  int64_t c_stride;
  bool accumulate;
} tfc_f32_matmul_arguments;
typedef void tfc_f32_matmul_function(const tfc_f32_matmul_arguments* arguments);

/* With s[j] = (scores[j] + position_scores[j]) + mask[j], replaces every score by exp(s[j] - max s), as loops.h defines
 * exp and sums, and returns the sum of all. `scores` has room for a multiple of TFC_LANES (loops.h); those beyond
 * `count` become 0. */
typedef float tfc_f32_exp_scores_function(const float* position_scores, const float* mask, int64_t count,
                                          float* scores);

typedef struct {
  tfc_f32_matmul_function* matmul;
  tfc_f32_exp_scores_function* exp_scores;
} tfc_attention_kernels;

/* One instruction set. An operation that is NULL is computed by the portable kernels. */
typedef struct {
  const char* name;           /* as users choose it */
  bool (*is_available)(void); /* whether this processor has the instructions */
  const tfc_qd8_gemm_kernels* qd8_gemm;
  const tfc_qd8_gemm_kernels* qd8_many_rows_gemm; /* preferred for the layers and rows that it is for */
  const tfc_f32_gemm_kernels* f32_gemm;
  tfc_f32_dwconv_function* dwconv;
  tfc_f32_layer_norm_function* layer_norm;
  const tfc_attention_kernels* attention;
} tfc_kernel_set;

/* The set of that name, or the fastest for NULL. NULL if this processor has none of that name. */
const tfc_kernel_set* tfc_find_kernel_set(const char* name);

/* The sets that this processor has, the fastest at index 0; NULL beyond the last. */
const tfc_kernel_set* tfc_kernel_set_at(int index);

/* Whether the kernels are for any number of rows up to MR. */
static inline bool tfc_qd8_takes_any_mr(const tfc_qd8_gemm_kernels* kernels) { return kernels->mr > TFC_MAX_OWN_MR; }

/* Layouts of a layer's weights. */
static inline int tfc_qd8_layout(const tfc_fully_connected_attributes* attributes) {
  if (attributes->sparsity_n == TFC_SPARSITY_M) return TFC_QD8_DENSE;
  if (attributes->sparsity_n == 2) return attributes->symmetric ? TFC_QD8_SPARSE_2_4 : TFC_QD8_SPARSE_2_4_ZERO_POINTS;
  return attributes->symmetric ? TFC_QD8_SPARSE_1_4 : TFC_QD8_SPARSE_1_4_ZERO_POINTS;
}

static inline int tfc_f32_layout(const tfc_fully_connected_attributes* attributes) {
  return attributes->sparsity_n == TFC_SPARSITY_M ? TFC_F32_DENSE : TFC_F32_SPARSE;
}

/* The kernels of an operation, portable where the set has none. A layer with blocks too long for the set's GEMM kernels
 * is computed by the portable ones too. */
const tfc_qd8_gemm_kernels* tfc_qd8_gemm_of(const tfc_kernel_set* set, const tfc_fully_connected_attributes* attributes,
                                            int64_t rows);
const tfc_f32_gemm_kernels* tfc_f32_gemm_of(const tfc_kernel_set* set);
tfc_f32_dwconv_function* tfc_dwconv_of(const tfc_kernel_set* set);
tfc_f32_layer_norm_function* tfc_layer_norm_of(const tfc_kernel_set* set);
const tfc_attention_kernels* tfc_attention_of(const tfc_kernel_set* set);

#endif
