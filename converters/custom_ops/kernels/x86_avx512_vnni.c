/* AVX-512 with VNNI: a panel word is one register, and `vpdpbusd` multiplies unsigned bytes with signed ones and adds
 * fours of products to 32-bit accumulators, exactly.
 *
 * The loop nest of a dense layer, outermost first (mr rows, nt panels, GROUPS k groups in a unit):
 *
 *   ops/fully_connected.c   rows of x    64 at a time: packed once, then used by all panels
 *                           panels       TFC_MAX_NT at a time: a task of the threads
 *                           mr           8, 4, 2 or 1 rows of a packed LHS panel: one call of a kernel
 *   qd8_gemm                nt           as many panels as fit QD8_ACCS accumulators
 *   qd8_dense               blocks       acc[nt][mr] += scale * block_acc - zero_point * row sum
 *                           units        of the block, `unroll` at a time
 *   qd8_add_units           unroll       prefetch one unit of each panel
 *                           GROUPS       unpack 4 weights of 16 channels of each panel (a k group)
 *                           mr           broadcast 4 values of x
 *                           nt           block_acc[k_accs][nt][mr] += 4 products a channel: one vpdpbusd
 *
 *   x panel            panel words (64 bytes)           accumulator
 *   [x x x x] row 0    [qqqq|qqqq| ... |qqqq]           [ c0 | c1 | ... | c15 ] row 0
 *   [x x x x] row 1     c0   c1         c15             [ c0 | c1 | ... | c15 ] row 1 */
#include "gemm_kernels.h"

#if defined(__x86_64__)

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#define TFC_ISA avx512vnni

#include "x86_avx512.h"

enum {
  QD8_MR = 8,
  F32_MR = 8,
  QD8_ACCS = 16,              /* accumulators of a dense layer, as many as leave registers for the rest */
  ACCS_IN_FLIGHT = 8,         /* of them, which hide the latency of vpdpbusd */
  SPARSE_ACCS = 4,            /* the same of a sparse layer; 8 rows bring enough of their own */
  MAX_BLOCK_GROUPS = 1 << 15, /* k groups whose products with fields in place fit accumulators of 32 bits */
};

#include "x86_avx512_pack_lhs.h"
_Static_assert((int)QD8_MR == (int)EIGHT, "`pack_eight_rows` is for the largest groups of rows");

typedef __m512 tfc_floats;
enum { MATMUL_MR = 8, MATMUL_NR = 32 };
KERNEL_INLINE tfc_floats load_floats(const float* from) { return _mm512_loadu_ps(from); }
KERNEL_INLINE void store_floats(float* to, tfc_floats values) { _mm512_storeu_ps(to, values); }
KERNEL_INLINE tfc_floats broadcast_floats(float value) { return _mm512_set1_ps(value); }
KERNEL_INLINE tfc_floats multiply_add_floats(tfc_floats a, tfc_floats b, tfc_floats acc) {
  return _mm512_fmadd_ps(a, b, acc);
}

#include "float_kernels.h"

static bool is_available(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

/* acc[m] += scale * block_acc[m] - zero_point * row_sums[m] of one block. */
KERNEL_INLINE void add_block(const tfc_weight_panel* panel, int64_t block, const __m512* block_acc,
                             const __m512* row_sums, const int mr, __m512* acc) {
  const bool is_symmetric = panel->zero_points == NULL;
  const __m512 scales = load_halves(panel->scales + block * TFC_NR);
  const __m512 zero_points = load_zero_points(panel, block);
  for (int m = 0; m < mr; ++m) {
    const __m512 scaled = _mm512_fmadd_ps(scales, block_acc[m], acc[m]);
    acc[m] = is_symmetric ? scaled : _mm512_fnmadd_ps(zero_points, row_sums[m], scaled);
  }
}

/* Bit field `index` of every byte. */
KERNEL_INLINE __m512i field(__m512i word, const int index, const int bits) {
  if (bits == 8) return word;
  const __m512i shifted = _mm512_srli_epi16(word, index * tfc_field_bits(bits));
  return _mm512_and_si512(shifted, _mm512_set1_epi8((char)((1 << bits) - 1)));
}

/* The same, at its place: 2^(index * tfc_field_bits(bits)) times its value. */
KERNEL_INLINE __m512i field_in_place(__m512i word, const int index, const int bits) {
  if (bits == 8) return word;
  return _mm512_and_si512(word, _mm512_set1_epi8((char)(((1 << bits) - 1) << index * tfc_field_bits(bits))));
}

/* Loads a panel word and prefetches the one at this distance. */
KERNEL_INLINE __m512i load_word(const uint8_t* word, int64_t distance) {
  _mm_prefetch((const char*)word + distance, _MM_HINT_T0);
  return _mm512_loadu_si512(word);
}

/* ---- Integer activations ---- */

KERNEL_INLINE __m512i broadcast_four(const int8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof four);
  return _mm512_set1_epi32(four);
}

/* Keeps a word in its register: gcc 12 would load it again for every row, which loads cannot sustain. */
KERNEL_INLINE __m512i in_register(__m512i word) {
  __asm__("" : "+v"(word));
  return word;
}

/* Panels that a matmul of so many rows takes at once: a broadcast of x serves all of them. */
KERNEL_INLINE int panels_at_once(const int bits, const int mr) {
  if (tfc_is_memory_bound(bits, mr)) return 1;
  return mr * TFC_MAX_NT <= QD8_ACCS ? TFC_MAX_NT : QD8_ACCS / mr;
}

/* The next reads of a dense layer: a unit of each panel, the values of x, and the units to prefetch. */
typedef struct {
  const uint8_t* units[TFC_MAX_NT];
  const uint8_t* prefetch;
  const int8_t* x;
} tfc_qd8_cursor;

/* Whether fields are multiplied at their places. */
KERNEL_INLINE bool are_in_place(const int bits, const int mr, const int k_accs) {
  return mr == 1 && k_accs % (8 / tfc_field_bits(bits)) == 0;
}

/* Multiplies the next `unroll` units of each panel with their values of x, and prefetches as many. Successive products
 * of a channel go to `k_accs` accumulators in turn. */
KERNEL_INLINE void qd8_add_units(tfc_qd8_cursor* cursor, const int unroll, const int bits, const int nt, const int mr,
                                 const int k_accs, __m512i* block_acc) {
  const int fields = 8 / tfc_field_bits(bits), groups = tfc_unit_groups(bits);
  const bool in_place = are_in_place(bits, mr, k_accs);
  const int unit_bytes = tfc_unit_words(bits) * TFC_PANEL_WORD;
  for (int i = 0; i < unroll; ++i) {
    for (int line = 0; line < nt * unit_bytes; line += TFC_CACHE_LINE) {
      _mm_prefetch((const char*)cursor->prefetch + i * nt * unit_bytes + line, _MM_HINT_T0);
    }
    UNROLLED for (int w = 0; w < tfc_field_words(bits); ++w) {
      __m512i word[TFC_MAX_NT];
      for (int t = 0; t < nt; ++t) {
        word[t] = load_fields(cursor->units[t] + i * unit_bytes, w, bits);
        if (bits == 8) word[t] = in_register(word[t]);
      }
      for (int f = 0; f < fields; ++f) {
        const int k = (i * groups + w * fields + f) % k_accs;
        __m512i u[TFC_MAX_NT];
        for (int t = 0; t < nt; ++t) u[t] = in_place ? field_in_place(word[t], f, bits) : field(word[t], f, bits);
        for (int m = 0; m < mr; ++m, cursor->x += TFC_KR) {
          const __m512i values = broadcast_four(cursor->x);
          for (int t = 0; t < nt; ++t) {
            __m512i* acc = &block_acc[(k * nt + t) * mr + m];
            *acc = multiply_add(*acc, u[t], values);
          }
        }
      }
    }
  }
  for (int t = 0; t < nt; ++t) cursor->units[t] += unroll * unit_bytes;
  cursor->prefetch += unroll * nt * unit_bytes;
}

/* sum q x = sum u x - 2^(bits - 1) sum x, where u = q + 2^(bits - 1) is stored in the panel word. A single row, for
 * which shifts cost as much as products, uses fields in place if `k_accs` is a multiple of the fields: each has
 * accumulators of its own then, which are shifted at the end. */
KERNEL_INLINE void qd8_dense(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                             const tfc_qd8_lhs* lhs, const int bits, const int nt, const int mr,
                             float (*result)[TFC_NR]) {
  const int fields = 8 / tfc_field_bits(bits), groups = tfc_unit_groups(bits), outputs = nt * mr;
  const int unroll = outputs * groups < ACCS_IN_FLIGHT ? ACCS_IN_FLIGHT / (outputs * groups) : 1;
  const int k_accs = outputs * groups * unroll <= QD8_ACCS ? groups * unroll : QD8_ACCS / outputs;
  tfc_qd8_cursor cursor = {.prefetch = panels[0].codes + panels[0].codes_prefetch, .x = lhs->values};
  __m512 acc[QD8_ACCS];
  for (int t = 0; t < nt; ++t) cursor.units[t] = panels[t].codes;
  for (int s = 0; s < outputs; ++s) acc[s] = _mm512_setzero_ps();
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int32_t* row_sums = lhs->row_sums + b * mr;
    __m512i block_acc[QD8_ACCS]; /* [k_accs][nt][mr] */
    for (int s = 0; s < k_accs * outputs; ++s) block_acc[s] = _mm512_setzero_si512();
    int64_t left = tfc_block_units(tfc_stored_weights(attributes, b), bits);
    for (; left >= unroll; left -= unroll) qd8_add_units(&cursor, unroll, bits, nt, mr, k_accs, block_acc);
    for (; unroll > 1 && left > 0; --left) qd8_add_units(&cursor, 1, bits, nt, mr, k_accs, block_acc);
    __m512 block_floats[QD8_ACCS], row_sum_floats[QD8_MR];
    for (int s = 0; s < outputs; ++s) {
      for (int k = 1; k < k_accs; ++k) {
        const int shift = are_in_place(bits, mr, k_accs) ? k % fields * tfc_field_bits(bits) : 0;
        block_acc[s] = _mm512_add_epi32(block_acc[s], _mm512_srai_epi32(block_acc[k * outputs + s], shift));
      }
      const __m512i surplus = _mm512_slli_epi32(_mm512_set1_epi32(row_sums[s % mr]), bits - 1);
      block_floats[s] = _mm512_cvtepi32_ps(_mm512_sub_epi32(block_acc[s], surplus));
    }
    for (int m = 0; m < mr; ++m) row_sum_floats[m] = _mm512_cvtepi32_ps(_mm512_set1_epi32(row_sums[m]));
    for (int t = 0; t < nt; ++t) add_block(&panels[t], b, block_floats + t * mr, row_sum_floats, mr, acc + t * mr);
  }
  for (int s = 0; s < outputs; ++s) _mm512_storeu_ps(result[s], acc[s]);
}

/* The lhs_kr values of a k group in every 128-bit lane. */
KERNEL_INLINE __m512i broadcast_group(const int8_t* x, const int lhs_kr) {
  if (lhs_kr == 8) {
    int64_t eight;
    memcpy(&eight, x, sizeof eight);
    return _mm512_set1_epi64(eight);
  }
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)x));
}

/* Which of the lhs_kr values each weight of a k group is multiplied with. */
KERNEL_INLINE __m512i choices(const uint8_t* indices, int64_t distance, int64_t group, const int lhs_kr) {
  const int fields = 8 / TFC_INDEX_BITS;
  const __m512i word = load_word(indices + group / fields * TFC_PANEL_WORD, distance);
  const __m128i shift = _mm_cvtsi32_si128((int)(group % fields) * TFC_INDEX_BITS);
  const __m512i index = _mm512_and_si512(_mm512_srl_epi16(word, shift), _mm512_set1_epi8(TFC_SPARSITY_M - 1));
  /* Where the four values that weights 0..3 choose from begin. */
  return _mm512_add_epi8(index, _mm512_set1_epi32(lhs_kr == 8 ? 0x04040000 : 0x0C080400));
}

/* sum q x = sum q (x + 128) - 128 sum q, both of them of an unsigned and a signed factor. */
KERNEL_INLINE void qd8_sparse(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                              const tfc_qd8_lhs* lhs, const int bits, const int sparsity_n, const bool symmetric,
                              const int mr, float (*result)[TFC_NR]) {
  const int fields = 8 / bits, index_fields = 8 / TFC_INDEX_BITS, lhs_kr = TFC_KR * TFC_SPARSITY_M / sparsity_n;
  const int k_accs = mr * fields <= SPARSE_ACCS ? fields : 1;
  const __m512i zero = _mm512_set1_epi8((char)(1 << (bits - 1))), ones = _mm512_set1_epi8(1);
  const uint8_t *word = panel->codes, *indices = panel->indices;
  const int8_t* x = lhs->values;
  __m512 acc[QD8_MR];
  for (int m = 0; m < mr; ++m) acc[m] = _mm512_setzero_ps();
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t groups = tfc_block_groups(tfc_stored_weights(attributes, b), bits);
    __m512i block_acc[QD8_MR], row_sums[QD8_MR], weight_sum[SPARSE_ACCS]; /* [k_accs][mr], [k_accs] */
    for (int s = 0; s < k_accs * mr; ++s) block_acc[s] = row_sums[s] = _mm512_setzero_si512();
    for (int k = 0; k < k_accs; ++k) weight_sum[k] = _mm512_setzero_si512();
    for (int64_t group = 0; group < groups; word += TFC_PANEL_WORD) {
      const __m512i weights = load_word(word, panel->codes_prefetch);
      for (int f = 0; f < fields; ++f, ++group) {
        const __m512i q = _mm512_sub_epi8(field(weights, f, bits), zero);
        const __m512i choice = choices(indices, panel->indices_prefetch, group, lhs_kr);
        const int k = f % k_accs;
        weight_sum[k] = multiply_add(weight_sum[k], ones, q);
        for (int m = 0; m < mr; ++m, x += lhs_kr) {
          const int s = k * mr + m;
          const __m512i values = _mm512_shuffle_epi8(broadcast_group(x, lhs_kr), choice);
          block_acc[s] = multiply_add(block_acc[s], values, q);
          if (!symmetric) row_sums[s] = multiply_add(row_sums[s], values, ones);
        }
      }
    }
    indices += (groups + index_fields - 1) / index_fields * TFC_PANEL_WORD;
    for (int k = 1; k < k_accs; ++k) {
      weight_sum[0] = _mm512_add_epi32(weight_sum[0], weight_sum[k]);
      for (int m = 0; m < mr; ++m) {
        block_acc[m] = _mm512_add_epi32(block_acc[m], block_acc[k * mr + m]);
        row_sums[m] = _mm512_add_epi32(row_sums[m], row_sums[k * mr + m]);
      }
    }
    const __m512i surplus = _mm512_slli_epi32(weight_sum[0], 7);
    const __m512i row_surplus = _mm512_set1_epi32((int32_t)(groups * TFC_KR * 128));
    __m512 block_floats[QD8_MR], row_sum_floats[QD8_MR];
    for (int m = 0; m < mr; ++m) {
      block_floats[m] = _mm512_cvtepi32_ps(_mm512_sub_epi32(block_acc[m], surplus));
      row_sum_floats[m] = _mm512_cvtepi32_ps(_mm512_sub_epi32(row_sums[m], row_surplus));
    }
    add_block(panel, b, block_floats, row_sum_floats, mr, acc);
  }
  for (int m = 0; m < mr; ++m) _mm512_storeu_ps(result[m], acc[m]);
}

KERNEL_INLINE void qd8_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels, int nt,
                            const tfc_qd8_lhs* lhs, const int bits, const int layout, const int mr,
                            float (*acc)[TFC_NR]) {
  int t = 0;
  if (layout != TFC_QD8_DENSE) {
    const int sparsity_n = layout == TFC_QD8_SPARSE_2_4 || layout == TFC_QD8_SPARSE_2_4_ZERO_POINTS ? 2 : 1;
    const bool symmetric = layout == TFC_QD8_SPARSE_2_4 || layout == TFC_QD8_SPARSE_1_4;
    for (; t < nt; ++t) qd8_sparse(attributes, panels + t, lhs, bits, sparsity_n, symmetric, mr, acc + t * mr);
    return;
  }
  const int at_once = panels_at_once(bits, mr);
  for (; t + at_once <= nt; t += at_once) qd8_dense(attributes, panels + t, lhs, bits, at_once, mr, acc + t * mr);
  for (; t < nt; ++t) qd8_dense(attributes, panels + t, lhs, bits, 1, mr, acc + t * mr);
}

/* ---- Float activations ---- */

/* The values q of all fields of a width, as often as they fit. */
KERNEL_INLINE __m512 value_table(const int bits) {
  const __m512i entries = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i u = _mm512_and_si512(entries, _mm512_set1_epi32((1 << bits) - 1));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(u, _mm512_set1_epi32(1 << (bits - 1))));
}

/* Moves the entry `index` of a word of fields, of each channel, to the low bits of the channel's four bytes. */
KERNEL_INLINE __m512i shift_entry(__m512i word, int index, const int bits) {
  return _mm512_srlv_epi32(word, _mm512_set1_epi32(index % TFC_KR * 8 + index / TFC_KR * tfc_field_bits(bits)));
}

KERNEL_INLINE __m512 quantized_floats(__m512i word, int index, __m512 table, const int bits) {
  const __m512i shifted = shift_entry(word, index, bits);
  if (bits < 8) return _mm512_permutexvar_ps(shifted, table); /* reads the low four bits */
  const __m512i u = _mm512_and_si512(shifted, _mm512_set1_epi32(255));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(u, _mm512_set1_epi32(128)));
}

/* The next unit of each panel, and the inputs that it is multiplied with. */
typedef struct {
  const uint8_t* units[TFC_MAX_NT];
  int64_t prefetch[TFC_MAX_NT];
  const float* x;
  int64_t k;
} tfc_f32_cursor;

/* Multiplies the first `count` weights of the next units, and moves on. */
KERNEL_INLINE void f32_add_units(tfc_f32_cursor* cursor, __m512 table, int count, const int bits, const int nt,
                                 const int mr, __m512* acc) {
  const int entries = tfc_unit_entries(bits) / tfc_field_words(bits),
            unit_bytes = tfc_unit_words(bits) * TFC_PANEL_WORD;
  for (int t = 0; t < nt; ++t) {
    for (int line = 0; line < unit_bytes; line += TFC_CACHE_LINE) {
      _mm_prefetch((const char*)cursor->units[t] + cursor->prefetch[t] + line, _MM_HINT_T0);
    }
  }
  UNROLLED for (int w = 0; w < tfc_field_words(bits); ++w) {
    __m512i word[TFC_MAX_NT];
    for (int t = 0; t < nt; ++t) word[t] = load_fields(cursor->units[t], w, bits);
    for (int i = 0; i < entries && w * entries + i < count; ++i) {
      for (int t = 0; t < nt; ++t) {
        const __m512 q = quantized_floats(word[t], i, table, bits);
        for (int m = 0; m < mr; ++m) {
          const __m512 value = _mm512_set1_ps(cursor->x[m * cursor->k + w * entries + i]);
          acc[t * mr + m] = _mm512_fmadd_ps(q, value, acc[t * mr + m]);
        }
      }
    }
  }
  for (int t = 0; t < nt; ++t) cursor->units[t] += unit_bytes;
  cursor->x += count;
}

KERNEL_INLINE void f32_dense(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                             const tfc_f32_lhs* lhs, const int bits, const int nt, const int mr,
                             float (*result)[TFC_NR]) {
  const int entries = tfc_unit_entries(bits);
  const __m512 table = value_table(bits);
  tfc_f32_cursor cursor = {.k = attributes->k};
  __m512 acc[F32_MR];
  for (int t = 0; t < nt; ++t) cursor.units[t] = panels[t].codes, cursor.prefetch[t] = panels[t].codes_prefetch;
  for (int s = 0; s < nt * mr; ++s) acc[s] = _mm512_setzero_ps();
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    __m512 block_acc[F32_MR], row_sums[F32_MR];
    for (int s = 0; s < nt * mr; ++s) block_acc[s] = _mm512_setzero_ps();
    cursor.x = lhs->values + b * attributes->block_length;
    int64_t left = tfc_stored_weights(attributes, b);
    for (; left >= entries; left -= entries) f32_add_units(&cursor, table, entries, bits, nt, mr, block_acc);
    if (left > 0) f32_add_units(&cursor, table, (int)left, bits, nt, mr, block_acc);
    for (int m = 0; m < mr; ++m) row_sums[m] = _mm512_set1_ps(lhs->row_sums == NULL ? 0.0f : lhs->row_sums[b * mr + m]);
    for (int t = 0; t < nt; ++t) add_block(&panels[t], b, block_acc + t * mr, row_sums, mr, acc + t * mr);
  }
  for (int s = 0; s < nt * mr; ++s) _mm512_storeu_ps(result[s], acc[s]);
}

KERNEL_INLINE void f32_sparse(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panel,
                              const tfc_f32_lhs* lhs, const int bits, const int mr, float (*result)[TFC_NR]) {
  const int64_t k = attributes->k, entries = tfc_unit_entries(bits), index_entries = tfc_unit_entries(TFC_INDEX_BITS);
  const __m512 table = value_table(bits);
  const uint8_t *word = panel->codes, *indices = panel->indices;
  __m512 acc[F32_MR];
  for (int m = 0; m < mr; ++m) acc[m] = _mm512_setzero_ps();
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t first = b * attributes->block_length, stored = tfc_stored_weights(attributes, b);
    __m512 block_acc[F32_MR], row_sums[F32_MR];
    for (int m = 0; m < mr; ++m) block_acc[m] = row_sums[m] = _mm512_setzero_ps();
    for (int64_t i = 0; i < stored; ++i) {
      const __m512i weight_word = _mm512_loadu_si512(word + i / entries * TFC_PANEL_WORD);
      const __m512i index_word = _mm512_loadu_si512(indices + i / index_entries * TFC_PANEL_WORD);
      const __m512 q = quantized_floats(weight_word, (int)(i % entries), table, bits);
      const __m512i index = _mm512_and_si512(shift_entry(index_word, (int)(i % index_entries), TFC_INDEX_BITS),
                                             _mm512_set1_epi32(TFC_SPARSITY_M - 1));
      const int64_t at = first + i / attributes->sparsity_n * TFC_SPARSITY_M;
      const __mmask16 inside = (__mmask16)((1 << tfc_min(TFC_SPARSITY_M, k - at)) - 1); /* zeros beyond the end of x */
      for (int m = 0; m < mr; ++m) {
        const __m512 four = _mm512_maskz_loadu_ps(inside, lhs->values + m * k + at);
        const __m512 value = _mm512_permutexvar_ps(index, four);
        block_acc[m] = _mm512_fmadd_ps(q, value, block_acc[m]);
        row_sums[m] = _mm512_add_ps(row_sums[m], value);
      }
    }
    word += tfc_fully_connected_block_words(attributes, bits) * TFC_PANEL_WORD;
    indices += tfc_fully_connected_block_words(attributes, TFC_INDEX_BITS) * TFC_PANEL_WORD;
    add_block(panel, b, block_acc, row_sums, mr, acc);
  }
  for (int m = 0; m < mr; ++m) _mm512_storeu_ps(result[m], acc[m]);
}

/* Few rows take several panels at once, so that enough accumulators are busy. */
KERNEL_INLINE void f32_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels, int nt,
                            const tfc_f32_lhs* lhs, const int bits, const int layout, const int mr,
                            float (*acc)[TFC_NR]) {
  const int at_once = mr * TFC_MAX_NT <= F32_MR ? TFC_MAX_NT : F32_MR / mr;
  int t = 0;
  if (layout == TFC_F32_SPARSE) {
    for (; t < nt; ++t) f32_sparse(attributes, panels + t, lhs, bits, mr, acc + t * mr);
    return;
  }
  for (; t + at_once <= nt; t += at_once) f32_dense(attributes, panels + t, lhs, bits, at_once, mr, acc + t * mr);
  for (; t < nt; ++t) f32_dense(attributes, panels + t, lhs, bits, 1, mr, acc + t * mr);
}

/* ---- Packing of x, and the epilogue ---- */

/* In a sparse layer x is the unsigned factor of `vpdpbusd`: its quantized values are stored + 128. */
TARGET static void tfc_qd8_pack_lhs__avx512vnni(const tfc_fully_connected_attributes* attributes, const float* x,
                                                tfc_qd8_lhs* lhs, float* scales) {
  tfc_check_pack_lhs(attributes, x, lhs, scales, QD8_MR);
  const int mr = lhs->mr, lhs_kr = tfc_lhs_kr(attributes);
  const bool is_sparse = attributes->sparsity_n != TFC_SPARSITY_M;
  float inverses[QD8_MR];
  for (int m = 0; m < mr; ++m) {
    scales[m] = tfc_row_scale(tfc_largest_magnitude_bits(x + m * attributes->k, attributes->k), &inverses[m]);
  }
  if (mr == QD8_MR && !is_sparse) {
    pack_eight_rows(attributes, x, scales, inverses, lhs);
    return;
  }
  for (int m = 0; m < mr; ++m) {
    const tfc_row_target row = {
        .target = lhs->values + m * lhs_kr,
        .stride = mr == 1 ? CONTIGUOUS : mr * lhs_kr,
        .shift = is_sparse ? (int8_t)128 : 0,
    };
    pack_row(attributes, x + m * attributes->k, m, scales[m], inverses[m], row, lhs);
  }
}

TARGET void tfc_epilogue__avx512vnni(const tfc_epilogue_arguments* arguments) {
  tfc_check_epilogue(arguments);
  const int mr = arguments->mr;
  const int whole = arguments->activation == TFC_ACTIVATION_NONE ? arguments->channels / TFC_NR * TFC_NR : 0;
  for (int first = 0; first < whole; first += TFC_NR) {
    float(*acc)[TFC_NR] = arguments->acc + first / TFC_NR * mr;
    const __m512 bias = _mm512_loadu_ps(arguments->bias + first);
    for (int m = 0; m < mr; ++m) {
      const __m512 scale = _mm512_set1_ps(arguments->scales == NULL ? 1.0f : arguments->scales[m]);
      float* y = arguments->y + m * arguments->stride + first;
      _mm512_storeu_ps(y, _mm512_fmadd_ps(scale, _mm512_loadu_ps(acc[m]), bias));
    }
  }
  tfc_epilogue_loop(arguments, whole);
}

/* ---- Tables ---- */

TFC_DEFINE_QD8_GEMM(avx512vnni, 8, MAX_BLOCK_GROUPS, tfc_qd8_pack_lhs__avx512vnni, tfc_epilogue__avx512vnni)
TFC_DEFINE_F32_GEMM(avx512vnni, 8, tfc_epilogue__avx512vnni)
TFC_KERNEL_SET(avx512vnni, avx512vnni, "avx512_vnni", NULL)

#endif
