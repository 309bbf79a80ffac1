/* The choice of kernels at run time. */
#include <assert.h>
#include <string.h>

#include "loops.h"

extern const tfc_kernel_set tfc_kernels__portable;
#if defined(__x86_64__)
extern const tfc_kernel_set tfc_kernels__amx, tfc_kernels__avx512vnni, tfc_kernels__avx2;
#elif defined(__aarch64__)
extern const tfc_kernel_set tfc_kernels__neoni8mm, tfc_kernels__neondot, tfc_kernels__neon;
#if TFC_HAS_SME2
extern const tfc_kernel_set tfc_kernels__sme2;
#endif
#endif

/* The fastest first. SME2 is after the matrix products of NEON, which every processor with it has, and so is computed
 * with only where it is chosen by its name: its speed was never measured. */
static const tfc_kernel_set* const sets[] = {
#if defined(__x86_64__)
    &tfc_kernels__amx,
    &tfc_kernels__avx512vnni,
    &tfc_kernels__avx2,
#elif defined(__aarch64__)
    &tfc_kernels__neoni8mm,
#if TFC_HAS_SME2
    &tfc_kernels__sme2,
#endif
    &tfc_kernels__neondot,  &tfc_kernels__neon,
#endif
    &tfc_kernels__portable,
};

enum { SETS = sizeof sets / sizeof sets[0] };

const tfc_kernel_set* tfc_find_kernel_set(const char* name) {
  for (int i = 0; i < SETS; ++i) {
    if ((name == NULL || strcmp(name, sets[i]->name) == 0) && sets[i]->is_available()) return sets[i];
  }
  return NULL;
}

const tfc_kernel_set* tfc_kernel_set_at(int index) {
  for (int i = 0; i < SETS; ++i) {
    if (sets[i]->is_available() && index-- == 0) return sets[i];
  }
  return NULL;
}

static bool can_multiply(const tfc_qd8_gemm_kernels* kernels, const tfc_fully_connected_attributes* attributes,
                         int64_t rows) {
  if (kernels == NULL || rows < kernels->min_rows) return false;
  if (tfc_block_groups(tfc_stored_weights(attributes, 0), attributes->weight_bits) > kernels->max_block_groups)
    return false;
  tfc_qd8_gemm_function* const* gemm = kernels->gemm[TFC_WIDTH(attributes->weight_bits)][tfc_qd8_layout(attributes)];
  return gemm[TFC_ANY_MR] != NULL || gemm[1] != NULL;
}

const tfc_qd8_gemm_kernels* tfc_qd8_gemm_of(const tfc_kernel_set* set, const tfc_fully_connected_attributes* attributes,
                                            int64_t rows) {
  assert(set != NULL && attributes != NULL);
  if (can_multiply(set->qd8_many_rows_gemm, attributes, rows)) return set->qd8_many_rows_gemm;
  return can_multiply(set->qd8_gemm, attributes, rows) ? set->qd8_gemm : tfc_kernels__portable.qd8_gemm;
}

const tfc_f32_gemm_kernels* tfc_f32_gemm_of(const tfc_kernel_set* set) {
  return set->f32_gemm != NULL ? set->f32_gemm : tfc_kernels__portable.f32_gemm;
}

tfc_f32_dwconv_function* tfc_dwconv_of(const tfc_kernel_set* set) {
  return set->dwconv != NULL ? set->dwconv : tfc_kernels__portable.dwconv;
}

tfc_f32_layer_norm_function* tfc_layer_norm_of(const tfc_kernel_set* set) {
  return set->layer_norm != NULL ? set->layer_norm : tfc_kernels__portable.layer_norm;
}

const tfc_attention_kernels* tfc_attention_of(const tfc_kernel_set* set) {
  return set->attention != NULL ? set->attention : tfc_kernels__portable.attention;
}
