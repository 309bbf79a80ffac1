/* The tables of GEMM kernels that an instruction set stamps out of two inline functions of its own,
 *
 *   qd8_gemm(attributes, panels, nt, lhs, bits, layout, mr, acc)
 *   f32_gemm(attributes, panels, nt, lhs, bits, layout, mr, acc)
 *
 * whose bits, layout and mr are constants, so that each kernel is a function of its own, with the name that a profile
 * shows (docs/reference/kernels.md). TARGET is the attribute that enables the instructions, QD8_MR
 * and F32_MR are the largest numbers of rows, and ISA is the suffix of the names. */
#ifndef TFC_KERNELS_GEMM_KERNELS_H_
#define TFC_KERNELS_GEMM_KERNELS_H_

#include "loops.h"

/* Applies F to every number of rows: the powers of two up to the instruction set's MR. */
#define TFC_EACH_MR_1(F, ...) F(1, __VA_ARGS__)
#define TFC_EACH_MR_4(F, ...) TFC_EACH_MR_1(F, __VA_ARGS__) F(2, __VA_ARGS__) F(4, __VA_ARGS__)
#define TFC_EACH_MR_8(F, ...) TFC_EACH_MR_4(F, __VA_ARGS__) F(8, __VA_ARGS__)

/* Applies F to every number of rows, width and layout of the weights. */
#define TFC_EACH_QD8_LAYOUT(F, EACH_MR, BITS, ISA)                         \
  EACH_MR(F, BITS, qb##BITS##w, TFC_QD8_DENSE, ISA)                        \
  EACH_MR(F, BITS, qb##BITS##w_sp24, TFC_QD8_SPARSE_2_4, ISA)              \
  EACH_MR(F, BITS, qb##BITS##wz_sp24, TFC_QD8_SPARSE_2_4_ZERO_POINTS, ISA) \
  EACH_MR(F, BITS, qb##BITS##w_sp14, TFC_QD8_SPARSE_1_4, ISA)              \
  EACH_MR(F, BITS, qb##BITS##wz_sp14, TFC_QD8_SPARSE_1_4_ZERO_POINTS, ISA)
#define TFC_EACH_QD8_KERNEL(F, EACH_MR, ISA) \
  EACH_MR(F, 1, qb1w, TFC_QD8_DENSE, ISA)    \
  TFC_EACH_QD8_LAYOUT(F, EACH_MR, 2, ISA)    \
  EACH_MR(F, 3, qb3w, TFC_QD8_DENSE, ISA)    \
  TFC_EACH_QD8_LAYOUT(F, EACH_MR, 4, ISA)    \
  TFC_EACH_QD8_LAYOUT(F, EACH_MR, 8, ISA)
#define TFC_EACH_F32_LAYOUT(F, EACH_MR, BITS, ISA)  \
  EACH_MR(F, BITS, qb##BITS##w, TFC_F32_DENSE, ISA) \
  EACH_MR(F, BITS, qb##BITS##w_sp, TFC_F32_SPARSE, ISA)
#define TFC_EACH_F32_KERNEL(F, EACH_MR, ISA) \
  EACH_MR(F, 1, qb1w, TFC_F32_DENSE, ISA)    \
  TFC_EACH_F32_LAYOUT(F, EACH_MR, 2, ISA)    \
  EACH_MR(F, 3, qb3w, TFC_F32_DENSE, ISA)    \
  TFC_EACH_F32_LAYOUT(F, EACH_MR, 4, ISA)    \
  TFC_EACH_F32_LAYOUT(F, EACH_MR, 8, ISA)

#define TFC_QD8_KERNEL(MR, BITS, WEIGHTS, LAYOUT, ISA)                                                                 \
  TARGET static void tfc_qd8_f32_##WEIGHTS##_gemm_##MR##x16c4__##ISA(const tfc_fully_connected_attributes* attributes, \
                                                                     const tfc_weight_panel* panels, int nt,           \
                                                                     const tfc_qd8_lhs* lhs, float(*acc)[TFC_NR]) {    \
    tfc_check_gemm(attributes, panels, nt, BITS, acc);                                                                 \
    assert(tfc_qd8_layout(attributes) == LAYOUT && lhs->mr == MR && lhs->values != NULL && lhs->row_sums != NULL);     \
    qd8_gemm(attributes, panels, nt, lhs, BITS, LAYOUT, MR, acc);                                                      \
  }
#define TFC_QD8_ENTRY(MR, BITS, WEIGHTS, LAYOUT, ISA) \
  [TFC_WIDTH(BITS)][LAYOUT][MR] = tfc_qd8_f32_##WEIGHTS##_gemm_##MR##x16c4__##ISA,

#define TFC_F32_KERNEL(MR, BITS, WEIGHTS, LAYOUT, ISA)                                                                 \
  TARGET static void tfc_f32_f32_##WEIGHTS##_gemm_##MR##x16c4__##ISA(const tfc_fully_connected_attributes* attributes, \
                                                                     const tfc_weight_panel* panels, int nt,           \
                                                                     const tfc_f32_lhs* lhs, float(*acc)[TFC_NR]) {    \
    tfc_check_gemm(attributes, panels, nt, BITS, acc);                                                                 \
    assert(tfc_f32_layout(attributes) == LAYOUT && lhs->mr == MR && lhs->values != NULL);                              \
    f32_gemm(attributes, panels, nt, lhs, BITS, LAYOUT, MR, acc);                                                      \
  }
#define TFC_F32_ENTRY(MR, BITS, WEIGHTS, LAYOUT, ISA) \
  [TFC_WIDTH(BITS)][LAYOUT][MR] = tfc_f32_f32_##WEIGHTS##_gemm_##MR##x16c4__##ISA,

/* Defines the kernels and their table, tfc_qd8_gemm__ISA, with MAX_MR 4 or 8. */
#define TFC_DEFINE_QD8_GEMM(ISA, MAX_MR, MAX_BLOCK_GROUPS, PACK_LHS, EPILOGUE) \
  _Static_assert(QD8_MR == MAX_MR, "a kernel for each number of rows");        \
  TFC_EACH_QD8_KERNEL(TFC_QD8_KERNEL, TFC_EACH_MR_##MAX_MR, ISA)               \
  const tfc_qd8_gemm_kernels tfc_qd8_gemm__##ISA = {                           \
      .mr = MAX_MR,                                                            \
      .min_rows = 1,                                                           \
      .max_block_groups = MAX_BLOCK_GROUPS,                                    \
      .pack_lhs = PACK_LHS,                                                    \
      .epilogue = EPILOGUE,                                                    \
      .gemm = {TFC_EACH_QD8_KERNEL(TFC_QD8_ENTRY, TFC_EACH_MR_##MAX_MR, ISA)}, \
  };

/* Applies F to every width and layout but asymmetric sparse ones, whose sums of x differ between channels, and 1:4
 * ones, most of whose unpacked weights are zero. */
#define TFC_EACH_MANY_ROWS_LAYOUT(F, BITS, MR, ISA)            \
  F(BITS, qb##BITS##w, TFC_QD8_DENSE, TFC_SPARSITY_M, MR, ISA) \
  F(BITS, qb##BITS##w_sp24, TFC_QD8_SPARSE_2_4, 2, MR, ISA)
#define TFC_EACH_MANY_ROWS_KERNEL(F, MR, ISA)        \
  F(1, qb1w, TFC_QD8_DENSE, TFC_SPARSITY_M, MR, ISA) \
  TFC_EACH_MANY_ROWS_LAYOUT(F, 2, MR, ISA)           \
  F(3, qb3w, TFC_QD8_DENSE, TFC_SPARSITY_M, MR, ISA) \
  TFC_EACH_MANY_ROWS_LAYOUT(F, 4, MR, ISA)           \
  TFC_EACH_MANY_ROWS_LAYOUT(F, 8, MR, ISA)

/* The same with 1:4 ones, for matrix tiles. */
#define TFC_EACH_TILE_KERNEL(F, MR, ISA)          \
  TFC_EACH_MANY_ROWS_KERNEL(F, MR, ISA)           \
  F(2, qb2w_sp14, TFC_QD8_SPARSE_1_4, 1, MR, ISA) \
  F(4, qb4w_sp14, TFC_QD8_SPARSE_1_4, 1, MR, ISA) \
  F(8, qb8w_sp14, TFC_QD8_SPARSE_1_4, 1, MR, ISA)

#define TFC_MANY_ROWS_KERNEL(BITS, WEIGHTS, LAYOUT, SPARSITY_N, MR, ISA)                                               \
  TARGET static void tfc_qd8_f32_##WEIGHTS##_gemm_##MR##x16c4__##ISA(const tfc_fully_connected_attributes* attributes, \
                                                                     const tfc_weight_panel* panels, int nt,           \
                                                                     const tfc_qd8_lhs* lhs, float(*acc)[TFC_NR]) {    \
    tfc_check_gemm(attributes, panels, nt, BITS, acc);                                                                 \
    assert(tfc_qd8_layout(attributes) == LAYOUT && lhs->values != NULL && lhs->row_sums != NULL);                      \
    assert(lhs->mr > 0 && lhs->mr <= MR && (uintptr_t)lhs->values % TFC_CACHE_LINE == 0);                              \
    qd8_many_rows_gemm(attributes, panels, nt, lhs, BITS, SPARSITY_N, acc);                                            \
  }
#define TFC_MANY_ROWS_ENTRY(BITS, WEIGHTS, LAYOUT, SPARSITY_N, MR, ISA) \
  [TFC_WIDTH(BITS)][LAYOUT][TFC_ANY_MR] = tfc_qd8_f32_##WEIGHTS##_gemm_##MR##x16c4__##ISA,

/* Defines kernels for any number of rows up to MAX_MR, those of EACH_KERNEL, and their table,
 * tfc_qd8_many_rows_gemm__ISA, out of
 *
 *   qd8_many_rows_gemm(attributes, panels, nt, lhs, bits, sparsity_n, acc) */
#define TFC_DEFINE_QD8_MANY_ROWS_GEMM(ISA, EACH_KERNEL, MAX_MR, MIN_ROWS, MAX_BLOCK_GROUPS, PACK_LHS, EPILOGUE) \
  _Static_assert(MAX_MR > TFC_MAX_OWN_MR && MAX_MR <= TFC_MAX_MR, "kernels for any number of rows");            \
  EACH_KERNEL(TFC_MANY_ROWS_KERNEL, MAX_MR, ISA)                                                                \
  static const tfc_qd8_gemm_kernels tfc_qd8_many_rows_gemm__##ISA = {                                           \
      .mr = MAX_MR,                                                                                             \
      .min_rows = MIN_ROWS,                                                                                     \
      .max_block_groups = MAX_BLOCK_GROUPS,                                                                     \
      .pack_lhs = PACK_LHS,                                                                                     \
      .epilogue = EPILOGUE,                                                                                     \
      .gemm = {EACH_KERNEL(TFC_MANY_ROWS_ENTRY, MAX_MR, ISA)},                                                  \
  };

/* Defines the kernels for float activations and their table, tfc_f32_gemm__ISA. */
#define TFC_DEFINE_F32_GEMM(ISA, MAX_MR, EPILOGUE)                             \
  _Static_assert(F32_MR == MAX_MR, "a kernel for each number of rows");        \
  TFC_EACH_F32_KERNEL(TFC_F32_KERNEL, TFC_EACH_MR_##MAX_MR, ISA)               \
  const tfc_f32_gemm_kernels tfc_f32_gemm__##ISA = {                           \
      .mr = MAX_MR,                                                            \
      .epilogue = EPILOGUE,                                                    \
      .gemm = {TFC_EACH_F32_KERNEL(TFC_F32_ENTRY, TFC_EACH_MR_##MAX_MR, ISA)}, \
  };

/* Defines the set tfc_kernels__ISA. Its float operations are those of FLOAT_ISA, where the instruction set adds nothing
 * to them. MANY_ROWS: the table of its kernels for many rows, or NULL. */
#define TFC_KERNEL_SET(ISA, FLOAT_ISA, NAME, MANY_ROWS) \
  const tfc_kernel_set tfc_kernels__##ISA = {           \
      .name = NAME,                                     \
      .is_available = is_available,                     \
      .qd8_gemm = &tfc_qd8_gemm__##ISA,                 \
      .qd8_many_rows_gemm = MANY_ROWS,                  \
      .f32_gemm = &tfc_f32_gemm__##FLOAT_ISA,           \
      .dwconv = tfc_f32_dwconv__##FLOAT_ISA,            \
      .layer_norm = tfc_f32_layer_norm__##FLOAT_ISA,    \
      .attention = &tfc_attention__##FLOAT_ISA,         \
  };

#endif
