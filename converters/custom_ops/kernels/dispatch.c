/* The choice of kernels at run time. */
#include <assert.h>
#include <string.h>

#include "loops.h"

extern const tfc_kernel_set tfc_kernels__portable;
#if defined(__x86_64__)
extern const tfc_kernel_set tfc_kernels__avx512vnni, tfc_kernels__avx2;
#elif defined(__aarch64__)
extern const tfc_kernel_set tfc_kernels__neoni8mm, tfc_kernels__neondot, tfc_kernels__neon;
#endif

/* The fastest first. */
static const tfc_kernel_set* const sets[] = {
#if defined(__x86_64__)
    &tfc_kernels__avx512vnni,
    &tfc_kernels__avx2,
#elif defined(__aarch64__)
    &tfc_kernels__neoni8mm,
    &tfc_kernels__neondot,
    &tfc_kernels__neon,
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

const tfc_qd8_gemm_kernels* tfc_qd8_gemm_of(const tfc_kernel_set* set,
                                            const tfc_fully_connected_attributes* attributes) {
  assert(set != NULL && attributes != NULL);
  const int64_t groups = tfc_block_groups(tfc_stored_weights(attributes, 0), attributes->weight_bits);
  const bool is_portable = set->qd8_gemm == NULL || groups > set->qd8_gemm->max_block_groups;
  return is_portable ? tfc_kernels__portable.qd8_gemm : set->qd8_gemm;
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
