/* AVX2: a cell is two registers. `vpmaddubsw` multiplies unsigned bytes with signed ones and adds pairs of products to
 * 16-bit sums, which are widened before they can overflow. */
#if defined(__x86_64__)

#include <immintrin.h>

#include "loops.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define KERNEL_INLINE static inline __attribute__((always_inline)) TARGET

enum {
  INTEGER_ROWS = 4,
  FLOAT_ROWS = 4,
  HALVES = 2, /* registers of a cell, of 8 channels each */
  CHAINS = 4, /* float sums in flight, times HALVES, that hide the latency of one */
};

DEFINE_ROW_FUNCTIONS(TARGET)

typedef __m256 Floats;
enum { FLOATS = 8, PRODUCT_ROWS = 4, PRODUCT_VECTORS = 2 };
KERNEL_INLINE Floats load_floats(const float* from) { return _mm256_loadu_ps(from); }
KERNEL_INLINE void store_floats(float* to, Floats values) { _mm256_storeu_ps(to, values); }
KERNEL_INLINE Floats broadcast_float(float value) { return _mm256_set1_ps(value); }
KERNEL_INLINE Floats multiply_add_floats(Floats a, Floats b, Floats sum) { return _mm256_fmadd_ps(a, b, sum); }

#include "float_loops.h"

static bool is_available(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

/* Quads that may be added in 16 bits: the largest |product| is 2^(bits - 1) or, unsigned, 2^bits - 1, times 127 or 128;
 * a quad adds two of them. */
KERNEL_INLINE int narrow_quads(const int bits) { return bits == 2 ? 40 : bits == 4 ? 8 : 1; }

/* totals[m][h] += scale * sums[m][h] - offset * x_sums[m][h] of one block. */
KERNEL_INLINE void add_block(const WeightTile* tile, int64_t block, __m256 (*sums)[HALVES], __m256 (*x_sums)[HALVES],
                             const int rows, __m256 (*totals)[HALVES]) {
  for (int h = 0; h < HALVES; ++h) {
    const int64_t at = block * TILE + h * 8;
    const __m256 scales = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(tile->scales + at)));
    for (int m = 0; m < rows; ++m) totals[m][h] = _mm256_fmadd_ps(scales, sums[m][h], totals[m][h]);
    if (tile->offsets == NULL) continue;
    const __m256 offsets = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(tile->offsets + at)));
    for (int m = 0; m < rows; ++m) totals[m][h] = _mm256_fnmadd_ps(offsets, x_sums[m][h], totals[m][h]);
  }
}

KERNEL_INLINE void store_totals(__m256 (*total)[HALVES], const int count, float (*totals)[TILE]) {
  for (int s = 0; s < count; ++s) {
    for (int h = 0; h < HALVES; ++h) _mm256_storeu_ps(totals[s] + h * 8, total[s][h]);
  }
}

KERNEL_INLINE void clear(__m256 (*values)[HALVES], const int count) {
  for (int s = 0; s < count; ++s) values[s][0] = values[s][1] = _mm256_setzero_ps();
}

/* Field `index` of every byte of half a cell. */
KERNEL_INLINE __m256i field(__m256i half, int index, const int bits) {
  if (bits == 8) return half;
  const __m256i shifted = _mm256_srl_epi16(half, _mm_cvtsi32_si128(index * bits));
  return _mm256_and_si256(shifted, _mm256_set1_epi8((char)((1 << bits) - 1)));
}

/* Fetches what lies `ahead` of a cell. */
KERNEL_INLINE void fetch_ahead(const uint8_t* cell, int64_t ahead) {
  _mm_prefetch((const char*)cell + ahead, _MM_HINT_T0);
}

KERNEL_INLINE __m256i load_half(const uint8_t* cell, int half) {
  return _mm256_loadu_si256((const __m256i*)(cell + half * CELL / HALVES));
}

/* ---- Integer activations ---- */

/* Pairs of products q * x, in 16 bits. */
KERNEL_INLINE __m256i signed_products(__m256i q, __m256i x) {
  return _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q));
}

KERNEL_INLINE __m256i widen(__m256i sum, __m256i narrow) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1)));
}

/* Of 2 and 4 bits, sum q x = sum u x - 2^(bits - 1) sum x, where u = q + 2^(bits - 1) is what a cell holds. */
KERNEL_INLINE void dense_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                 const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int fields = 8 / bits;
  const int64_t narrow_cells = narrow_quads(bits) / fields;
  const uint8_t* cell = tile->codes;
  const int8_t* windows = x->windows;
  __m256 total[INTEGER_ROWS][HALVES];
  clear(total, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int32_t* code_sums = x->code_sums + b * rows;
    __m256i sum[INTEGER_ROWS][HALVES];
    for (int m = 0; m < rows; ++m) {
      const __m256i surplus = _mm256_slli_epi32(_mm256_set1_epi32(-code_sums[m]), bits - 1);
      sum[m][0] = sum[m][1] = bits == 8 ? _mm256_setzero_si256() : surplus;
    }
    int64_t cells = block_quads(stored_codes(attributes, b), bits) / fields;
    while (cells > 0) {
      __m256i narrow[INTEGER_ROWS][HALVES];
      for (int m = 0; m < rows; ++m) narrow[m][0] = narrow[m][1] = _mm256_setzero_si256();
      const int64_t count = smaller(cells, narrow_cells);
      for (int64_t i = 0; i < count; ++i, cell += CELL) {
        const __m256i codes[HALVES] = {load_half(cell, 0), load_half(cell, 1)};
        fetch_ahead(cell, tile->codes_ahead);
        for (int f = 0; f < fields; ++f) {
          const __m256i first = field(codes[0], f, bits), second = field(codes[1], f, bits);
          for (int m = 0; m < rows; ++m, windows += GROUP) {
            int32_t window;
            memcpy(&window, windows, sizeof window);
            const __m256i values = _mm256_set1_epi32(window);
            if (bits == 8) {
              const __m256i flip = _mm256_set1_epi8((char)128);
              narrow[m][0] = signed_products(_mm256_xor_si256(first, flip), values);
              narrow[m][1] = signed_products(_mm256_xor_si256(second, flip), values);
            } else {
              narrow[m][0] = _mm256_add_epi16(narrow[m][0], _mm256_maddubs_epi16(first, values));
              narrow[m][1] = _mm256_add_epi16(narrow[m][1], _mm256_maddubs_epi16(second, values));
            }
          }
        }
      }
      for (int m = 0; m < rows; ++m) {
        for (int h = 0; h < HALVES; ++h) sum[m][h] = widen(sum[m][h], narrow[m][h]);
      }
      cells -= count;
    }
    __m256 sums[INTEGER_ROWS][HALVES], x_sums[INTEGER_ROWS][HALVES];
    for (int m = 0; m < rows; ++m) {
      for (int h = 0; h < HALVES; ++h) sums[m][h] = _mm256_cvtepi32_ps(sum[m][h]);
      x_sums[m][0] = x_sums[m][1] = _mm256_cvtepi32_ps(_mm256_set1_epi32(code_sums[m]));
    }
    add_block(tile, b, sums, x_sums, rows, total);
  }
  store_totals(total, rows, totals);
}

/* The window of a quad in every 128-bit lane. */
KERNEL_INLINE __m256i broadcast_window(const int8_t* window, const int kept) {
  if (kept == 2) {
    int64_t codes;
    memcpy(&codes, window, sizeof codes);
    return _mm256_set1_epi64x(codes);
  }
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)window));
}

KERNEL_INLINE void sparse_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                  const QuantizedRows* x, const int bits, const int kept, const int rows,
                                  float (*totals)[TILE]) {
  const int fields = 8 / bits, window = GROUP * GROUP / kept;
  const __m256i zero = _mm256_set1_epi8((char)(1 << (bits - 1))), ones = _mm256_set1_epi8(1);
  /* The groups that codes 0..3 of a quad belong to begin at these places of its window. */
  const __m256i groups = _mm256_set1_epi32(kept == 2 ? 0x04040000 : 0x0C080400);
  const uint8_t *cell = tile->codes, *positions = tile->positions;
  const int8_t* windows = x->windows;
  __m256 total[INTEGER_ROWS][HALVES];
  clear(total, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t quads = block_quads(stored_codes(attributes, b), bits);
    __m256i sum[INTEGER_ROWS][HALVES], x_sum[INTEGER_ROWS][HALVES];
    for (int m = 0; m < rows; ++m) {
      for (int h = 0; h < HALVES; ++h) sum[m][h] = x_sum[m][h] = _mm256_setzero_si256();
    }
    for (int64_t quad = 0; quad < quads; ++quad, windows += rows * window) {
      const uint8_t* places = positions + quad / GROUP * CELL;
      if (quad % fields == 0) fetch_ahead(cell + quad / fields * CELL, tile->codes_ahead);
      if (quad % GROUP == 0) fetch_ahead(places, tile->positions_ahead);
      for (int h = 0; h < HALVES; ++h) {
        const __m256i u = field(load_half(cell + quad / fields * CELL, h), (int)(quad % fields), bits);
        const __m256i q = _mm256_sub_epi8(u, zero);
        const __m256i place = _mm256_add_epi8(field(load_half(places, h), (int)(quad % GROUP), POSITION_BITS), groups);
        for (int m = 0; m < rows; ++m) {
          const __m256i values = _mm256_shuffle_epi8(broadcast_window(windows + m * window, kept), place);
          sum[m][h] = widen(sum[m][h], signed_products(q, values));
          if (tile->offsets != NULL) x_sum[m][h] = widen(x_sum[m][h], _mm256_maddubs_epi16(ones, values));
        }
      }
    }
    cell += quads / fields * CELL;
    positions += fully_connected_block_cells(attributes, POSITION_BITS) * CELL;
    __m256 sums[INTEGER_ROWS][HALVES], x_sums[INTEGER_ROWS][HALVES];
    for (int m = 0; m < rows; ++m) {
      for (int h = 0; h < HALVES; ++h) {
        sums[m][h] = _mm256_cvtepi32_ps(sum[m][h]);
        x_sums[m][h] = _mm256_cvtepi32_ps(x_sum[m][h]);
      }
    }
    add_block(tile, b, sums, x_sums, rows, total);
  }
  store_totals(total, rows, totals);
}

KERNEL_INLINE void integer_rows(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  if (attributes->kept == GROUP) {
    dense_product(attributes, tile, x, bits, rows, totals);
  } else if (attributes->kept == 2) {
    sparse_product(attributes, tile, x, bits, 2, rows, totals);
  } else {
    sparse_product(attributes, tile, x, bits, 1, rows, totals);
  }
}

/* ---- Float activations ---- */

/* Entry `index` of a cell, of each channel. */
KERNEL_INLINE __m256i entry(__m256i half, int index, const int bits) {
  const __m256i shifted = _mm256_srlv_epi32(half, _mm256_set1_epi32(index % GROUP * 8 + index / GROUP * bits));
  return _mm256_and_si256(shifted, _mm256_set1_epi32((1 << bits) - 1));
}

KERNEL_INLINE __m256 code_value(__m256i half, int index, const int bits) {
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(entry(half, index, bits), _mm256_set1_epi32(1 << (bits - 1))));
}

/* Adds the first `codes` codes of a cell in each tile. */
KERNEL_INLINE void add_cell(const WeightTile* tiles, const uint8_t* const* cells, const float* x, int64_t k,
                            const int bits, int codes, const int count, const int rows, __m256 (*sums)[HALVES]) {
  __m256i half[MAX_TILES][HALVES];
  for (int t = 0; t < count; ++t) {
    fetch_ahead(cells[t], tiles[t].codes_ahead);
    for (int h = 0; h < HALVES; ++h) half[t][h] = load_half(cells[t], h);
  }
  for (int i = 0; i < codes; ++i) {
    for (int t = 0; t < count; ++t) {
      const __m256 first = code_value(half[t][0], i, bits), second = code_value(half[t][1], i, bits);
      for (int m = 0; m < rows; ++m) {
        const __m256 value = _mm256_set1_ps(x[m * k + i]);
        sums[t * rows + m][0] = _mm256_fmadd_ps(first, value, sums[t * rows + m][0]);
        sums[t * rows + m][1] = _mm256_fmadd_ps(second, value, sums[t * rows + m][1]);
      }
    }
  }
}

KERNEL_INLINE void dense_float_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles,
                                       const FloatRows* x, const int bits, const int count, const int rows,
                                       float (*totals)[TILE]) {
  const int64_t k = attributes->k, cell_length = cell_codes(bits);
  const uint8_t* cells[MAX_TILES];
  __m256 total[CHAINS][HALVES];
  for (int t = 0; t < count; ++t) cells[t] = tiles[t].codes;
  clear(total, count * rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const float* values = x->values + b * attributes->block_length;
    __m256 sums[CHAINS][HALVES], x_sums[FLOAT_ROWS][HALVES];
    clear(sums, count * rows);
    int64_t left = stored_codes(attributes, b);
    for (; left >= cell_length; left -= cell_length, values += cell_length) {
      add_cell(tiles, cells, values, k, bits, (int)cell_length, count, rows, sums);
      for (int t = 0; t < count; ++t) cells[t] += CELL;
    }
    if (left > 0) {
      add_cell(tiles, cells, values, k, bits, (int)left, count, rows, sums);
      for (int t = 0; t < count; ++t) cells[t] += CELL;
    }
    for (int m = 0; m < rows; ++m) {
      x_sums[m][0] = x_sums[m][1] = _mm256_set1_ps(x->sums == NULL ? 0.0f : x->sums[b * rows + m]);
    }
    for (int t = 0; t < count; ++t) add_block(&tiles[t], b, sums + t * rows, x_sums, rows, total + t * rows);
  }
  store_totals(total, count * rows, totals);
}

/* The value at place 0..3 of a group of four, for each of 8 channels. */
KERNEL_INLINE __m256 pick(const float group[GROUP], __m256i place) {
  return _mm256_permutevar_ps(_mm256_broadcast_ps((const __m128*)(const void*)group), place);
}

KERNEL_INLINE void sparse_float_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                        const FloatRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int64_t k = attributes->k, cell_length = cell_codes(bits), position_cell_length = cell_codes(POSITION_BITS);
  const uint8_t *cell = tile->codes, *positions = tile->positions;
  __m256 total[FLOAT_ROWS][HALVES];
  clear(total, rows);
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t first = b * attributes->block_length, stored = stored_codes(attributes, b);
    __m256 sums[FLOAT_ROWS][HALVES], x_sums[FLOAT_ROWS][HALVES];
    clear(sums, rows);
    clear(x_sums, rows);
    for (int64_t i = 0; i < stored; ++i) {
      const int64_t at = first + i / attributes->kept * GROUP;
      const size_t there = (size_t)smaller(GROUP, k - at);
      for (int h = 0; h < HALVES; ++h) {
        const __m256i codes = load_half(cell + i / cell_length * CELL, h);
        const __m256i places = load_half(positions + i / position_cell_length * CELL, h);
        const __m256 q = code_value(codes, (int)(i % cell_length), bits);
        const __m256i place = entry(places, (int)(i % position_cell_length), POSITION_BITS);
        for (int m = 0; m < rows; ++m) {
          float group[GROUP] = {0.0f}; /* zeros stand for what is beyond x */
          memcpy(group, x->values + m * k + at, there * sizeof group[0]);
          const __m256 value = pick(group, place);
          sums[m][h] = _mm256_fmadd_ps(q, value, sums[m][h]);
          x_sums[m][h] = _mm256_add_ps(x_sums[m][h], value);
        }
      }
    }
    cell += fully_connected_block_cells(attributes, bits) * CELL;
    positions += fully_connected_block_cells(attributes, POSITION_BITS) * CELL;
    add_block(tile, b, sums, x_sums, rows, total);
  }
  store_totals(total, rows, totals);
}

/* Few rows go with several tiles, so that there are enough sums in flight. */
KERNEL_INLINE void float_rows(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                              const FloatRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int together = CHAINS / rows;
  int t = 0;
  if (attributes->kept != GROUP) {
    for (; t < count; ++t) sparse_float_product(attributes, tiles + t, x, bits, rows, totals + t * rows);
    return;
  }
  for (; t + together <= count; t += together) {
    dense_float_product(attributes, tiles + t, x, bits, together, rows, totals + t * rows);
  }
  for (; t < count; ++t) dense_float_product(attributes, tiles + t, x, bits, 1, rows, totals + t * rows);
}

/* ---- One function for every number of rows ---- */

#define DEFINE_PRODUCTS(ROWS)                                                                                      \
  TARGET static void integer_product_##ROWS(const FullyConnectedAttributes* attributes, const WeightTile* tile,   \
                                            const QuantizedRows* x, float (*totals)[TILE]) {                      \
    if (attributes->weight_bits == 2) integer_rows(attributes, tile, x, 2, ROWS, totals);                         \
    if (attributes->weight_bits == 4) integer_rows(attributes, tile, x, 4, ROWS, totals);                         \
    if (attributes->weight_bits == 8) integer_rows(attributes, tile, x, 8, ROWS, totals);                         \
  }                                                                                                               \
  TARGET static void float_product_##ROWS(const FullyConnectedAttributes* attributes, const WeightTile* tiles,    \
                                          int count, const FloatRows* x, float (*totals)[TILE]) {                 \
    if (attributes->weight_bits == 2) float_rows(attributes, tiles, count, x, 2, ROWS, totals);                   \
    if (attributes->weight_bits == 4) float_rows(attributes, tiles, count, x, 4, ROWS, totals);                   \
    if (attributes->weight_bits == 8) float_rows(attributes, tiles, count, x, 8, ROWS, totals);                   \
  }

DEFINE_PRODUCTS(1)
DEFINE_PRODUCTS(2)
DEFINE_PRODUCTS(4)

static void integer_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                            const QuantizedRows* x, float (*totals)[TILE]) {
  for (int t = 0; t < count; ++t, totals += x->rows) {
    if (x->rows == 1) integer_product_1(attributes, &tiles[t], x, totals);
    if (x->rows == 2) integer_product_2(attributes, &tiles[t], x, totals);
    if (x->rows == 4) integer_product_4(attributes, &tiles[t], x, totals);
  }
}

static void float_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                          const FloatRows* x, float (*totals)[TILE]) {
  if (x->rows == 1) float_product_1(attributes, tiles, count, x, totals);
  if (x->rows == 2) float_product_2(attributes, tiles, count, x, totals);
  if (x->rows == 4) float_product_4(attributes, tiles, count, x, totals);
}

const Kernel x86_avx2_kernel = {
    .name = "avx2",
    .is_available = is_available,
    .integer_rows = INTEGER_ROWS,
    .float_rows = FLOAT_ROWS,
    .integer_product = integer_product,
    .float_product = float_product,
    .quantize_rows = quantize_rows,
    .finish_rows = finish_rows,
    .convolve_frames = convolve_frames,
    .normalize_rows = normalize_rows,
    .multiply_matrix = multiply_matrix,
    .exponentiate_scores = exponentiate_scores,
};

#else
typedef int NothingForThisProcessor; /* an empty translation unit is not C */
#endif
