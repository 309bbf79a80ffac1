/* Quantization of rows of x by AVX-512, as quantize_row_loop has it. */
#ifndef TFCONFORMER_KERNELS_X86_AVX512_QUANTIZE_H_
#define TFCONFORMER_KERNELS_X86_AVX512_QUANTIZE_H_

enum {
  PIECE = 64,   /* codes in a register, */
  QUARTER = 16, /* and floats */
};
_Static_assert(INTEGER_ROWS == 8, "`interleave` is made for eight rows");

KERNEL_INLINE uint64_t first_lanes(int64_t count) {
  return count >= PIECE ? UINT64_MAX : count > 0 ? ((uint64_t)1 << count) - 1 : 0;
}

/* Codes of the first `count` numbers and zeros, those of a quad side by side. Quad 4 i + l of the piece is number i of
 * the 128-bit lane l: see `in_order`. */
KERNEL_INLINE __m512i quantize_piece(const float* x, int64_t count, float inverse) {
  const uint64_t there = first_lanes(count);
  __m512i codes[PIECE / QUARTER];
  for (int i = 0; i < PIECE / QUARTER; ++i) {
    const __m512 values = _mm512_maskz_loadu_ps((__mmask16)(there >> i * QUARTER), x + i * QUARTER);
    codes[i] = _mm512_cvt_roundps_epi32(_mm512_mul_ps(values, _mm512_set1_ps(inverse)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  return _mm512_packs_epi16(_mm512_packs_epi32(codes[0], codes[1]), _mm512_packs_epi32(codes[2], codes[3]));
}

KERNEL_INLINE __m512i in_order(__m512i piece) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), piece);
}

/* Adds fours of signed codes to 32-bit sums. */
KERNEL_INLINE __m512i add_codes(__m512i sum, __m512i codes) {
  return multiply_add(sum, _mm512_set1_epi8(1), codes);
}

/* In a sparse layer x is the unsigned factor: its codes are stored + 128. `length` numbers of a block are not zero. */
KERNEL_INLINE int32_t quantize_block(const float* x, int64_t length, float inverse, int64_t padded, const int window,
                                     int64_t stride, bool shifted, int8_t** target) {
  const __m512i shift = _mm512_set1_epi8(shifted ? (char)128 : 0);
  __m512i sum = _mm512_setzero_si512();
  for (int64_t first = 0; first < padded; first += PIECE) {
    const __m512i codes = in_order(quantize_piece(x + first, length - first, inverse));
    const __m512i shifted_codes = _mm512_xor_si512(codes, shift);
    const int64_t count = smaller(PIECE, padded - first);
    sum = add_codes(sum, codes);
    if (stride == window) { /* the windows of a single row make one piece */
      _mm512_mask_storeu_epi8(*target, first_lanes(count), shifted_codes);
      *target += count;
    } else {
      int8_t stored[PIECE];
      _mm512_storeu_si512(stored, shifted_codes);
      *target = write_windows(stored, count, window, stride, *target);
    }
  }
  return _mm512_reduce_add_epi32(sum);
}

/* Turns pieces of eight rows into registers with two quads of all rows each. */
KERNEL_INLINE void interleave(const __m512i* pieces, __m512i* pairs) {
  const __m512i lower = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i upper = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  __m512i fours[INTEGER_ROWS / 4][4]; /* of four rows: number i of every lane */
  for (int h = 0; h < INTEGER_ROWS / 4; ++h) {
    const __m512i* rows = pieces + h * 4;
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

/* Eight rows of a dense layer: a register of windows at a time. */
KERNEL_INLINE void quantize_eight_rows(const FullyConnectedAttributes* attributes, const float* x, const float* scales,
                                       const float* inverses, QuantizedRows* quantized) {
  int8_t* target = quantized->windows;
  for (int64_t b = 0; b < attributes->blocks; ++b, x += attributes->block_length) {
    const int64_t length = block_inputs(attributes, b);
    const int64_t quads = block_quads(length, attributes->weight_bits);
    __m512i sum = _mm512_setzero_si512();
    for (int64_t first = 0; first < quads * GROUP; first += PIECE) {
      __m512i pieces[INTEGER_ROWS], pairs[PIECE / GROUP / 2];
      for (int m = 0; m < INTEGER_ROWS; ++m) {
        const int64_t count = isnan(scales[m]) ? 0 : length - first;
        pieces[m] = quantize_piece(x + m * attributes->k + first, count, inverses[m]);
      }
      interleave(pieces, pairs);
      const int64_t left = smaller(quads - first / GROUP, PIECE / GROUP);
      for (int i = 0; 2 * i < left; ++i) {
        sum = add_codes(sum, pairs[i]);
        _mm512_mask_storeu_epi32(target + i * CELL, 2 * i + 1 < left ? 0xFFFF : 0x00FF, pairs[i]);
      }
      target += left * INTEGER_ROWS * GROUP;
    }
    _mm256_storeu_si256((__m256i*)(quantized->code_sums + b * INTEGER_ROWS),
                        _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1)));
  }
}

TARGET static void quantize_rows(const FullyConnectedAttributes* attributes, const float* x, QuantizedRows* quantized,
                                 float* scales) {
  const int rows = quantized->rows, window = window_codes(attributes);
  const bool is_sparse = attributes->kept != GROUP;
  float inverses[INTEGER_ROWS];
  for (int m = 0; m < rows; ++m) {
    scales[m] = row_scale(largest_magnitude_bits(x + m * attributes->k, attributes->k), &inverses[m]);
  }
  if (rows == INTEGER_ROWS && !is_sparse) {
    quantize_eight_rows(attributes, x, scales, inverses, quantized);
    return;
  }
  for (int m = 0; m < rows; ++m, x += attributes->k) {
    int8_t* target = quantized->windows + m * window;
    for (int64_t b = 0; b < attributes->blocks; ++b) {
      const float* values = x + b * attributes->block_length;
      const int64_t length = isnan(scales[m]) ? 0 : block_inputs(attributes, b);
      const int64_t padded = block_quads(stored_codes(attributes, b), attributes->weight_bits) * window;
      int32_t* sum = &quantized->code_sums[b * rows + m];
      switch (window) { /* known sizes are copied by one load and one store */
        case 4: *sum = quantize_block(values, length, inverses[m], padded, 4, rows * 4, is_sparse, &target); break;
        case 8: *sum = quantize_block(values, length, inverses[m], padded, 8, rows * 8, is_sparse, &target); break;
        default: *sum = quantize_block(values, length, inverses[m], padded, 16, rows * 16, is_sparse, &target);
      }
    }
  }
}

#endif
