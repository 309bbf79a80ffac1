/* The common parts of the kernels of AVX-512. The including file has defined TARGET, the attribute that enables the
 * instructions. */
#ifndef TFC_KERNELS_X86_AVX512_H_
#define TFC_KERNELS_X86_AVX512_H_

#include <immintrin.h>

#include "gemm_kernels.h"

#define KERNEL_INLINE static inline __attribute__((always_inline)) TARGET

/* Compiled once, in x86_avx512_vnni.c: AMX adds nothing to them. */
extern const tfc_kernel_set tfc_kernels__avx512vnni;
extern const tfc_qd8_gemm_kernels tfc_qd8_gemm__avx512vnni;
extern tfc_epilogue_function tfc_epilogue__avx512vnni;
extern const tfc_f32_gemm_kernels tfc_f32_gemm__avx512vnni;
extern tfc_f32_dwconv_function tfc_f32_dwconv__avx512vnni;
extern tfc_f32_layer_norm_function tfc_f32_layer_norm__avx512vnni;
extern const tfc_attention_kernels tfc_attention__avx512vnni;

/* acc[i] += a[4 i] * b[4 i] + ... + a[4 i + 3] * b[4 i + 3], a unsigned and b signed. In assembly, because gcc 12
 * copies the accumulators to and fro around the intrinsic. */
KERNEL_INLINE __m512i multiply_add(__m512i acc, __m512i a, __m512i b) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}

/* Word `index` of the fields of a unit: the panel word itself or, of 3 bits, of two of its words; the highest bits of
 * fields are anything then. */
KERNEL_INLINE __m512i load_fields(const uint8_t* unit, const int index, const int bits) {
  enum { SELECT = (0xF0 & 0xCC) | (0x0F & 0xAA) }; /* (a & b) | (~a & c), as the truth table of vpternlog */
  if (bits != 3) return _mm512_loadu_si512(unit);
  const __m512i low = _mm512_srli_epi16(_mm512_loadu_si512(unit + index / 2 * TFC_PANEL_WORD), index % 2 * 2);
  const __m512i highs = _mm512_loadu_si512(unit + 2 * TFC_PANEL_WORD);
  const __m512i high = index < 2 ? _mm512_slli_epi16(highs, 2 - index) : _mm512_srli_epi16(highs, index - 2);
  return _mm512_ternarylogic_epi64(_mm512_set1_epi8(0x33), low, high, SELECT);
}

KERNEL_INLINE __m512 load_halves(const uint16_t* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)halves));
}

/* The zero points of a block, zero in a symmetric layer. */
KERNEL_INLINE __m512 load_zero_points(const tfc_weight_panel* panel, int64_t block) {
  if (panel->zero_points == NULL) return _mm512_setzero_ps();
  return _mm512_mul_ps(load_halves(panel->zero_points + block * TFC_NR), _mm512_set1_ps(panel->zero_point_factor));
}

#endif
