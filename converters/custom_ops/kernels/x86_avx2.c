/* AVX2: a panel word is two registers. `vpmaddubsw` multiplies unsigned bytes with signed ones and adds pairs of
 * products to 16-bit accumulators, which are widened before they can overflow. */
#include "gemm_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define KERNEL_INLINE static inline __attribute__((always_inline)) TARGET
#define TFC_ISA avx2

enum {
  QD8_MR = 4,
  F32_MR = 4,
  HALVES = 2,   /* registers of a panel word, of 8 channels each */
  F32_ACCS = 4, /* float accumulators, times HALVES, that hide the latency of a fused multiply-add */
};

typedef __m256 tfc_floats;
enum { FLOATS = 8, MATMUL_MR = 4, MATMUL_NR = 16 };
KERNEL_INLINE tfc_floats load_floats(const float* from) { return _mm256_loadu_ps(from); }
KERNEL_INLINE void store_floats(float* to, tfc_floats values) { _mm256_storeu_ps(to, values); }
KERNEL_INLINE tfc_floats broadcast_floats(float value) { return _mm256_set1_ps(value); }
KERNEL_INLINE tfc_floats multiply_add_floats(tfc_floats a, tfc_floats b, tfc_floats acc) {
  return _mm256_fmadd_ps(a, b, acc);
}

#include "float_kernels.h"

static bool is_available(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

/* acc[m][h] += scale * block_acc[m][h] - zero_point * row_sums[m][h] of one block. */
KERNEL_INLINE void add_block(const tfc_weight_panel* panel, int64_t block, __m256 (*block_acc)[HALVES],
                             __m256 (*row_sums)[HALVES], const int mr, __m256 (*acc)[HALVES]) {
  for (int h = 0; h < HALVES; ++h) {
    const int64_t at = block * TFC_NR + h * 8;
    const __m256 scales = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(panel->scales + at)));
    for (int m = 0; m < mr; ++m) acc[m][h] = _mm256_fmadd_ps(scales, block_acc[m][h], acc[m][h]);
    if (panel->zero_points == NULL) continue;
    const __m256 stored = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(panel->zero_points + at)));
    const __m256 zero_points = _mm256_mul_ps(stored, _mm256_set1_ps(panel->zero_point_factor));
    for (int m = 0; m < mr; ++m) acc[m][h] = _mm256_fnmadd_ps(zero_points, row_sums[m][h], acc[m][h]);
  }
}

KERNEL_INLINE void store_acc(__m256 (*source)[HALVES], const int count, float (*acc)[TFC_NR]) {
  for (int s = 0; s < count; ++s) {
    for (int h = 0; h < HALVES; ++h) _mm256_storeu_ps(acc[s] + h * 8, source[s][h]);
  }
}

KERNEL_INLINE void clear(__m256 (*values)[HALVES], const int count) {
  for (int s = 0; s < count; ++s) values[s][0] = values[s][1] = _mm256_setzero_ps();
}

/* Bit field `index` of every byte of half a word. */
KERNEL_INLINE __m256i field(__m256i half, int index, const int bits) {
  if (bits == 8) return half;
  const __m256i shifted = _mm256_srl_epi16(half, _mm_cvtsi32_si128(index * tfc_field_bits(bits)));
  return _mm256_and_si256(shifted, _mm256_set1_epi8((char)((1 << bits) - 1)));
}

KERNEL_INLINE void prefetch(const uint8_t* word, int64_t distance) {
  _mm_prefetch((const char*)word + distance, _MM_HINT_T0);
}

KERNEL_INLINE __m256i load_half(const uint8_t* word, int half) {
  return _mm256_loadu_si256((const __m256i*)(word + half * TFC_PANEL_WORD / HALVES));
}

/* Half of word `index` of the fields of a unit: of the panel word itself or, of 3 bits, of two of its words; the
 * highest bits of fields are anything then. */
KERNEL_INLINE __m256i load_fields(const uint8_t* unit, const int index, const int half, const int bits) {
  if (bits != 3) return load_half(unit, half);
  const __m256i is_low = _mm256_set1_epi8(0x33), highs = load_half(unit + 2 * TFC_PANEL_WORD, half);
  const __m256i low = _mm256_srli_epi16(load_half(unit + index / 2 * TFC_PANEL_WORD, half), index % 2 * 2);
  const __m256i high = index < 2 ? _mm256_slli_epi16(highs, 2 - index) : _mm256_srli_epi16(highs, index - 2);
  return _mm256_or_si256(_mm256_and_si256(is_low, low), _mm256_andnot_si256(is_low, high));
}

KERNEL_INLINE void prefetch_unit(const uint8_t* unit, int64_t distance, const int bits) {
  for (int i = 0; i < tfc_unit_words(bits); ++i) prefetch(unit + i * TFC_PANEL_WORD, distance);
}

/* ---- Integer activations ---- */

/* k groups that may be added in 16 bits: the largest |product| is 2^(bits - 1) or, unsigned, 2^bits - 1, times 127 or
 * 128; a k group adds two of them. */
KERNEL_INLINE int narrow_groups(const int bits) {
  static const int groups[] = {[1] = 120, [2] = 40, [3] = 16, [4] = 8, [8] = 1};
  return groups[bits];
}

/* Pairs of products q * x, in 16 bits. */
KERNEL_INLINE __m256i signed_products(__m256i q, __m256i x) {
  return _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q));
}

KERNEL_INLINE __m256i widen(__m256i acc, __m256i narrow) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1)));
}

/* The statement does nothing; but without it gcc makes trees of sums of integers, whose parts do not fit into
 * registers. */
KERNEL_INLINE __m256i in_order(__m256i acc) {
  __asm__("" : "+x"(acc));
  return acc;
}

/* Of 1 to 4 bits, sum q x = sum u x - 2^(bits - 1) sum x, where u = q + 2^(bits - 1) is stored in the unit. */
KERNEL_INLINE void qd8_dense(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                             const tfc_qd8_lhs* lhs, const int bits, const int mr, float (*result)[TFC_NR]) {
  const int fields = 8 / tfc_field_bits(bits);
  const int64_t narrow_units = narrow_groups(bits) / tfc_unit_groups(bits);
  const __m256i flip = _mm256_set1_epi8((char)128);
  const uint8_t* unit = panel->codes;
  const int8_t* x = lhs->values;
  __m256 acc[QD8_MR][HALVES];
  clear(acc, mr);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int32_t* row_sums = lhs->row_sums + b * mr;
    __m256i block_acc[QD8_MR][HALVES];
    for (int m = 0; m < mr; ++m) {
      const __m256i surplus = _mm256_slli_epi32(_mm256_set1_epi32(-row_sums[m]), bits - 1);
      block_acc[m][0] = block_acc[m][1] = bits == 8 ? _mm256_setzero_si256() : surplus;
    }
    int64_t units = tfc_block_units(tfc_stored_weights(attributes, b), bits);
    while (units > 0) {
      __m256i narrow[QD8_MR][HALVES];
      for (int m = 0; m < mr; ++m) narrow[m][0] = narrow[m][1] = _mm256_setzero_si256();
      /* Of 8 bits a pair of products fills 16, and is widened at once. */
      const int64_t count = bits == 8 ? units : tfc_min(units, narrow_units);
      for (int64_t i = 0; i < count; ++i, unit += tfc_unit_words(bits) * TFC_PANEL_WORD) {
        prefetch_unit(unit, panel->codes_prefetch, bits);
        UNROLLED for (int w = 0; w < tfc_field_words(bits); ++w) {
          const __m256i halves[HALVES] = {load_fields(unit, w, 0, bits), load_fields(unit, w, 1, bits)};
          for (int f = 0; f < fields; ++f) {
            const __m256i codes[HALVES] = {field(halves[0], f, bits), field(halves[1], f, bits)};
            for (int m = 0; m < mr; ++m, x += TFC_KR) {
              int32_t four;
              memcpy(&four, x, sizeof four);
              const __m256i values = _mm256_set1_epi32(four);
              for (int h = 0; h < HALVES; ++h) {
                if (bits == 8) {
                  const __m256i products = signed_products(_mm256_xor_si256(codes[h], flip), values);
                  block_acc[m][h] = in_order(widen(block_acc[m][h], products));
                } else {
                  const __m256i products = _mm256_maddubs_epi16(codes[h], values);
                  narrow[m][h] = in_order(_mm256_add_epi16(narrow[m][h], products));
                }
              }
            }
          }
        }
      }
      for (int m = 0; m < mr && bits != 8; ++m) {
        for (int h = 0; h < HALVES; ++h) block_acc[m][h] = widen(block_acc[m][h], narrow[m][h]);
      }
      units -= count;
    }
    __m256 block_floats[QD8_MR][HALVES], row_sum_floats[QD8_MR][HALVES];
    for (int m = 0; m < mr; ++m) {
      for (int h = 0; h < HALVES; ++h) block_floats[m][h] = _mm256_cvtepi32_ps(block_acc[m][h]);
      row_sum_floats[m][0] = row_sum_floats[m][1] = _mm256_cvtepi32_ps(_mm256_set1_epi32(row_sums[m]));
    }
    add_block(panel, b, block_floats, row_sum_floats, mr, acc);
  }
  store_acc(acc, mr, result);
}

/* The lhs_kr values of a k group in every 128-bit lane. */
KERNEL_INLINE __m256i broadcast_group(const int8_t* x, const int lhs_kr) {
  if (lhs_kr == 8) {
    int64_t eight;
    memcpy(&eight, x, sizeof eight);
    return _mm256_set1_epi64x(eight);
  }
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)x));
}

KERNEL_INLINE void qd8_sparse(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                              const tfc_qd8_lhs* lhs, const int bits, const int sparsity_n, const bool symmetric,
                              const int mr, float (*result)[TFC_NR]) {
  const int fields = 8 / bits, index_fields = 8 / TFC_INDEX_BITS, lhs_kr = TFC_KR * TFC_SPARSITY_M / sparsity_n;
  const __m256i zero = _mm256_set1_epi8((char)(1 << (bits - 1))), ones = _mm256_set1_epi8(1);
  /* Where the four values that weights 0..3 of a k group choose from begin among the lhs_kr values. */
  const __m256i choices = _mm256_set1_epi32(sparsity_n == 2 ? 0x04040000 : 0x0C080400);
  const uint8_t *word = panel->codes, *indices = panel->indices;
  const int8_t* x = lhs->values;
  __m256 acc[QD8_MR][HALVES];
  clear(acc, mr);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t groups = tfc_block_groups(tfc_stored_weights(attributes, b), bits);
    __m256i block_acc[QD8_MR][HALVES], row_sums[QD8_MR][HALVES];
    for (int m = 0; m < mr; ++m) {
      for (int h = 0; h < HALVES; ++h) block_acc[m][h] = row_sums[m][h] = _mm256_setzero_si256();
    }
    for (int64_t g = 0; g < groups; ++g, x += mr * lhs_kr) {
      const uint8_t* index_word = indices + g / index_fields * TFC_PANEL_WORD;
      if (g % fields == 0) prefetch(word + g / fields * TFC_PANEL_WORD, panel->codes_prefetch);
      if (g % index_fields == 0) prefetch(index_word, panel->indices_prefetch);
      for (int h = 0; h < HALVES; ++h) {
        const __m256i u = field(load_half(word + g / fields * TFC_PANEL_WORD, h), (int)(g % fields), bits);
        const __m256i q = _mm256_sub_epi8(u, zero);
        const __m256i index = field(load_half(index_word, h), (int)(g % index_fields), TFC_INDEX_BITS);
        const __m256i choice = _mm256_add_epi8(index, choices);
        for (int m = 0; m < mr; ++m) {
          const __m256i values = _mm256_shuffle_epi8(broadcast_group(x + m * lhs_kr, lhs_kr), choice);
          block_acc[m][h] = widen(block_acc[m][h], signed_products(q, values));
          if (!symmetric) row_sums[m][h] = widen(row_sums[m][h], _mm256_maddubs_epi16(ones, values));
        }
      }
    }
    word += groups / fields * TFC_PANEL_WORD;
    indices += tfc_fully_connected_block_words(attributes, TFC_INDEX_BITS) * TFC_PANEL_WORD;
    __m256 block_floats[QD8_MR][HALVES], row_sum_floats[QD8_MR][HALVES];
    for (int m = 0; m < mr; ++m) {
      for (int h = 0; h < HALVES; ++h) {
        block_floats[m][h] = _mm256_cvtepi32_ps(block_acc[m][h]);
        row_sum_floats[m][h] = _mm256_cvtepi32_ps(row_sums[m][h]);
      }
    }
    add_block(panel, b, block_floats, row_sum_floats, mr, acc);
  }
  store_acc(acc, mr, result);
}

KERNEL_INLINE void qd8_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels, int nt,
                            const tfc_qd8_lhs* lhs, const int bits, const int layout, const int mr,
                            float (*acc)[TFC_NR]) {
  const int sparsity_n = layout == TFC_QD8_SPARSE_2_4 || layout == TFC_QD8_SPARSE_2_4_ZERO_POINTS ? 2 : 1;
  const bool symmetric = layout == TFC_QD8_SPARSE_2_4 || layout == TFC_QD8_SPARSE_1_4;
  for (int t = 0; t < nt; ++t) {
    if (layout == TFC_QD8_DENSE) qd8_dense(attributes, &panels[t], lhs, bits, mr, acc + t * mr);
    if (layout != TFC_QD8_DENSE) qd8_sparse(attributes, &panels[t], lhs, bits, sparsity_n, symmetric, mr, acc + t * mr);
  }
}

/* ---- Float activations ---- */

/* Entry `index` of a word of fields, of each channel. */
KERNEL_INLINE __m256i entry(__m256i half, int index, const int bits) {
  const __m256i shift = _mm256_set1_epi32(index % TFC_KR * 8 + index / TFC_KR * tfc_field_bits(bits));
  return _mm256_and_si256(_mm256_srlv_epi32(half, shift), _mm256_set1_epi32((1 << bits) - 1));
}

KERNEL_INLINE __m256 quantized_floats(__m256i half, int index, const int bits) {
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(entry(half, index, bits), _mm256_set1_epi32(1 << (bits - 1))));
}

/* The next unit of each panel, and the inputs that it is multiplied with. */
typedef struct {
  const uint8_t* units[TFC_MAX_NT];
  int64_t prefetch[TFC_MAX_NT];
  const float* x;
  int64_t k;
} tfc_f32_cursor;

/* Multiplies the first `count` weights of the next units, and moves on. */
KERNEL_INLINE void f32_add_units(tfc_f32_cursor* cursor, int count, const int bits, const int nt, const int mr,
                                 __m256 (*acc)[HALVES]) {
  const int entries = tfc_unit_entries(bits) / tfc_field_words(bits);
  for (int t = 0; t < nt; ++t) prefetch_unit(cursor->units[t], cursor->prefetch[t], bits);
  UNROLLED for (int w = 0; w < tfc_field_words(bits); ++w) {
    __m256i half[TFC_MAX_NT][HALVES];
    for (int t = 0; t < nt; ++t) {
      for (int h = 0; h < HALVES; ++h) half[t][h] = load_fields(cursor->units[t], w, h, bits);
    }
    for (int i = 0; i < entries && w * entries + i < count; ++i) {
      for (int t = 0; t < nt; ++t) {
        const __m256 first = quantized_floats(half[t][0], i, bits), second = quantized_floats(half[t][1], i, bits);
        for (int m = 0; m < mr; ++m) {
          const __m256 value = _mm256_set1_ps(cursor->x[m * cursor->k + w * entries + i]);
          acc[t * mr + m][0] = _mm256_fmadd_ps(first, value, acc[t * mr + m][0]);
          acc[t * mr + m][1] = _mm256_fmadd_ps(second, value, acc[t * mr + m][1]);
        }
      }
    }
  }
  for (int t = 0; t < nt; ++t) cursor->units[t] += tfc_unit_words(bits) * TFC_PANEL_WORD;
  cursor->x += count;
}

KERNEL_INLINE void f32_dense(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                             const tfc_f32_lhs* lhs, const int bits, const int nt, const int mr,
                             float (*result)[TFC_NR]) {
  const int entries = tfc_unit_entries(bits);
  tfc_f32_cursor cursor = {.k = attributes->k};
  __m256 acc[F32_ACCS][HALVES];
  for (int t = 0; t < nt; ++t) cursor.units[t] = panels[t].codes, cursor.prefetch[t] = panels[t].codes_prefetch;
  clear(acc, nt * mr);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    __m256 block_acc[F32_ACCS][HALVES], row_sums[F32_MR][HALVES];
    clear(block_acc, nt * mr);
    cursor.x = lhs->values + b * attributes->block_length;
    int64_t left = tfc_stored_weights(attributes, b);
    for (; left >= entries; left -= entries) f32_add_units(&cursor, entries, bits, nt, mr, block_acc);
    if (left > 0) f32_add_units(&cursor, (int)left, bits, nt, mr, block_acc);
    for (int m = 0; m < mr; ++m) {
      row_sums[m][0] = row_sums[m][1] = _mm256_set1_ps(lhs->row_sums == NULL ? 0.0f : lhs->row_sums[b * mr + m]);
    }
    for (int t = 0; t < nt; ++t) add_block(&panels[t], b, block_acc + t * mr, row_sums, mr, acc + t * mr);
  }
  store_acc(acc, nt * mr, result);
}

/* The one of four values that each of 8 channels chooses. */
KERNEL_INLINE __m256 choose(const float four[TFC_SPARSITY_M], __m256i index) {
  return _mm256_permutevar_ps(_mm256_broadcast_ps((const __m128*)(const void*)four), index);
}

KERNEL_INLINE void f32_sparse(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                              const tfc_f32_lhs* lhs, const int bits, const int mr, float (*result)[TFC_NR]) {
  const int64_t k = attributes->k, entries = tfc_unit_entries(bits), index_entries = tfc_unit_entries(TFC_INDEX_BITS);
  const uint8_t *word = panel->codes, *indices = panel->indices;
  __m256 acc[F32_MR][HALVES];
  clear(acc, mr);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t first = b * attributes->block_length, stored = tfc_stored_weights(attributes, b);
    __m256 block_acc[F32_MR][HALVES], row_sums[F32_MR][HALVES];
    clear(block_acc, mr);
    clear(row_sums, mr);
    for (int64_t i = 0; i < stored; ++i) {
      const int64_t at = first + i / attributes->sparsity_n * TFC_SPARSITY_M;
      const size_t count = (size_t)tfc_min(TFC_SPARSITY_M, k - at);
      for (int h = 0; h < HALVES; ++h) {
        const __m256i weight_half = load_half(word + i / entries * TFC_PANEL_WORD, h);
        const __m256i index_half = load_half(indices + i / index_entries * TFC_PANEL_WORD, h);
        const __m256 q = quantized_floats(weight_half, (int)(i % entries), bits);
        const __m256i index = entry(index_half, (int)(i % index_entries), TFC_INDEX_BITS);
        for (int m = 0; m < mr; ++m) {
          float four[TFC_SPARSITY_M] = {0.0f}; /* zeros beyond the end of x */
          memcpy(four, lhs->values + m * k + at, count * sizeof four[0]);
          const __m256 value = choose(four, index);
          block_acc[m][h] = _mm256_fmadd_ps(q, value, block_acc[m][h]);
          row_sums[m][h] = _mm256_add_ps(row_sums[m][h], value);
        }
      }
    }
    word += tfc_fully_connected_block_words(attributes, bits) * TFC_PANEL_WORD;
    indices += tfc_fully_connected_block_words(attributes, TFC_INDEX_BITS) * TFC_PANEL_WORD;
    add_block(panel, b, block_acc, row_sums, mr, acc);
  }
  store_acc(acc, mr, result);
}

/* Few rows take several panels at once, so that F32_ACCS accumulators are busy. */
KERNEL_INLINE void f32_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels, int nt,
                            const tfc_f32_lhs* lhs, const int bits, const int layout, const int mr,
                            float (*acc)[TFC_NR]) {
  const int at_once = F32_ACCS / mr;
  int t = 0;
  if (layout == TFC_F32_SPARSE) {
    for (; t < nt; ++t) f32_sparse(attributes, panels + t, lhs, bits, mr, acc + t * mr);
    return;
  }
  for (; t + at_once <= nt; t += at_once) f32_dense(attributes, panels + t, lhs, bits, at_once, mr, acc + t * mr);
  for (; t < nt; ++t) f32_dense(attributes, panels + t, lhs, bits, 1, mr, acc + t * mr);
}

/* ---- Packing and epilogue: the plain loops, vectorized by the compiler ---- */

TARGET static void tfc_qd8_pack_lhs__avx2(const tfc_fully_connected_attributes* attributes, const float* x,
                                          tfc_qd8_lhs* lhs, float* scales) {
  tfc_check_pack_lhs(attributes, x, lhs, scales, QD8_MR);
  for (int m = 0; m < lhs->mr; ++m) scales[m] = tfc_pack_lhs_row(attributes, x + m * attributes->k, m, lhs);
}

TARGET static void tfc_epilogue__avx2(const tfc_epilogue_arguments* arguments) {
  tfc_check_epilogue(arguments);
  tfc_epilogue_loop(arguments, 0);
}

/* ---- Tables ---- */

TFC_DEFINE_QD8_GEMM(avx2, 4, INT64_MAX, tfc_qd8_pack_lhs__avx2, tfc_epilogue__avx2)
TFC_DEFINE_F32_GEMM(avx2, 4, tfc_epilogue__avx2)
TFC_KERNEL_SET(avx2, avx2, "avx2", NULL)

#endif
