/* Packing of rows of x by AVX-512, with the quantized values of tfc_pack_lhs_row. */
#ifndef TFC_KERNELS_X86_AVX512_PACK_LHS_H_
#define TFC_KERNELS_X86_AVX512_PACK_LHS_H_

#include "x86_avx512.h"

enum {
  CHUNK = 64,  /* quantized values in a register, */
  FLOATS = 16, /* and floats */
  EIGHT = 8,   /* rows that are interleaved in registers */
};

KERNEL_INLINE uint64_t first_lanes(int64_t count) {
  return count >= CHUNK ? UINT64_MAX : count > 0 ? ((uint64_t)1 << count) - 1 : 0;
}

/* Quantizes the first `count` numbers of a chunk; the others become zero. The four values of a k group are side by
 * side; k group 4 i + l of the chunk is number i of the 128-bit lane l: see `in_order`. */
KERNEL_INLINE __m512i quantize_chunk(const float* x, int64_t count, float inverse) {
  const uint64_t lanes = first_lanes(count);
  __m512i q[CHUNK / FLOATS];
  for (int i = 0; i < CHUNK / FLOATS; ++i) {
    const __m512 values = _mm512_maskz_loadu_ps((__mmask16)(lanes >> i * FLOATS), x + i * FLOATS);
    q[i] = _mm512_cvt_roundps_epi32(_mm512_mul_ps(values, _mm512_set1_ps(inverse)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  return _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
}

KERNEL_INLINE __m512i in_order(__m512i chunk) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), chunk);
}

/* Adds fours of signed values to 32-bit sums. */
KERNEL_INLINE __m512i add_fours(__m512i sum, __m512i q) { return multiply_add(sum, _mm512_set1_epi8(1), q); }

/* Where the values of a row go in the panel: lhs_kr at a time, `stride` bytes apart, or one after the other. */
enum { CONTIGUOUS = 0 };
typedef struct {
  int8_t* target;
  int64_t stride;
  int8_t shift; /* added to the stored values: 0, or 128 modulo 256 */
} tfc_row_target;

/* Packs a block of one row, `length` numbers of which are not zero; returns their sum. */
KERNEL_INLINE int32_t pack_block(const float* x, int64_t length, float inverse, int64_t padded, const int lhs_kr,
                                 tfc_row_target* row) {
  const __m512i shift = _mm512_set1_epi8(row->shift);
  __m512i sum = _mm512_setzero_si512();
  for (int64_t first = 0; first < padded; first += CHUNK) {
    const __m512i q = in_order(quantize_chunk(x + first, length - first, inverse));
    const __m512i shifted = _mm512_xor_si512(q, shift);
    const int64_t count = tfc_min(CHUNK, padded - first);
    sum = add_fours(sum, q);
    if (lhs_kr == CONTIGUOUS) {
      _mm512_mask_storeu_epi8(row->target, first_lanes(count), shifted);
      row->target += count;
    } else {
      int8_t stored[CHUNK];
      _mm512_storeu_si512(stored, shifted);
      row->target = tfc_interleave(stored, count, lhs_kr, row->stride, row->target);
    }
  }
  return _mm512_reduce_add_epi32(sum);
}

/* Packs row m of the panel; a row whose scale is NaN gets zeros. */
KERNEL_INLINE void pack_row(const tfc_fully_connected_attributes* attributes, const float* x, int m, float scale,
                            float inverse, tfc_row_target row, tfc_qd8_lhs* lhs) {
  const int lhs_kr = tfc_lhs_kr(attributes);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const float* values = x + b * attributes->block_length;
    const int64_t length = isnan(scale) ? 0 : tfc_block_inputs(attributes, b);
    const int64_t padded = tfc_block_groups(tfc_stored_weights(attributes, b), attributes->weight_bits) * lhs_kr;
    int32_t* sum = &lhs->row_sums[b * lhs->mr + m];
    switch (row.stride == CONTIGUOUS ? CONTIGUOUS : lhs_kr) { /* known sizes are copied by one load and one store */
      case CONTIGUOUS:
        *sum = pack_block(values, length, inverse, padded, CONTIGUOUS, &row);
        break;
      case 4:
        *sum = pack_block(values, length, inverse, padded, 4, &row);
        break;
      case 8:
        *sum = pack_block(values, length, inverse, padded, 8, &row);
        break;
      default:
        *sum = pack_block(values, length, inverse, padded, 16, &row);
    }
  }
}

/* Transposes chunks of eight rows to registers with two k groups of all rows each. */
KERNEL_INLINE void interleave_rows(const __m512i* chunks, __m512i* pairs) {
  const __m512i lower = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i upper = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  __m512i fours[EIGHT / 4][4]; /* of four rows: number i of every lane */
  for (int h = 0; h < EIGHT / 4; ++h) {
    const __m512i* rows = chunks + h * 4;
    const __m512i low_01 = _mm512_unpacklo_epi32(rows[0], rows[1]), low_23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
    const __m512i high_01 = _mm512_unpackhi_epi32(rows[0], rows[1]), high_23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
    fours[h][0] = _mm512_unpacklo_epi64(low_01, low_23);
    fours[h][1] = _mm512_unpackhi_epi64(low_01, low_23);
    fours[h][2] = _mm512_unpacklo_epi64(high_01, high_23);
    fours[h][3] = _mm512_unpackhi_epi64(high_01, high_23);
  }
  for (int i = 0; i < 4; ++i) {
    pairs[2 * i] = _mm512_permutex2var_epi64(fours[0][i], lower, fours[1][i]);
    pairs[2 * i + 1] = _mm512_permutex2var_epi64(fours[0][i], upper, fours[1][i]);
  }
}

/* Packs eight rows of a dense layer, two k groups of all of them in each store. */
KERNEL_INLINE void pack_eight_rows(const tfc_fully_connected_attributes* attributes, const float* x,
                                   const float* scales, const float* inverses, tfc_qd8_lhs* lhs) {
  int8_t* target = lhs->values;
  for (int64_t b = 0; b < attributes->blocks; ++b, x += attributes->block_length) {
    const int64_t length = tfc_block_inputs(attributes, b);
    const int64_t groups = tfc_block_groups(length, attributes->weight_bits);
    __m512i sum = _mm512_setzero_si512();
    for (int64_t first = 0; first < groups * TFC_KR; first += CHUNK) {
      __m512i chunks[EIGHT], pairs[CHUNK / TFC_KR / 2];
      for (int m = 0; m < EIGHT; ++m) {
        const int64_t count = isnan(scales[m]) ? 0 : length - first;
        chunks[m] = quantize_chunk(x + m * attributes->k + first, count, inverses[m]);
      }
      interleave_rows(chunks, pairs);
      const int64_t left = tfc_min(groups - first / TFC_KR, CHUNK / TFC_KR);
      for (int i = 0; 2 * i < left; ++i) {
        sum = add_fours(sum, pairs[i]);
        _mm512_mask_storeu_epi32(target + i * (int)sizeof pairs[i], 2 * i + 1 < left ? 0xFFFF : 0x00FF, pairs[i]);
      }
      target += left * EIGHT * TFC_KR;
    }
    _mm256_storeu_si256((__m256i*)(lhs->row_sums + b * EIGHT),
                        _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1)));
  }
}

#endif
