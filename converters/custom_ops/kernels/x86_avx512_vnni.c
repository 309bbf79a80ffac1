/* AVX-512 with VNNI: a cell is one register, and `vpdpbusd` multiplies unsigned bytes with signed ones and adds fours of
 * products to 32-bit sums, exactly. */
#if defined(__x86_64__)

#include <immintrin.h>

#include "loops.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#define KERNEL_INLINE static inline __attribute__((always_inline)) TARGET

enum {
  INTEGER_ROWS = 8,
  INTEGER_SUMS = 16,  /* registers for the sums of a dense layer, as many as leave room for the rest */
  SUMS_IN_FLIGHT = 8, /* of them, which hide the latency of one */
  FLOAT_ROWS = 8,
  LONGEST_BLOCK = 1 << 15, /* quads whose products with fields in place fit sums of 32 bits */
  CHAINS = 4, /* sums of a sparse layer in flight that hide the latency of one; 8 rows bring enough of their own */
};

extern const Kernel portable_kernel;

TARGET static void finish_rows(float (*totals)[TILE], int rows, const float* scales, const float* bias,
                               Activation activation, int channels, float* y, int64_t stride) {
  const int whole = activation == ACTIVATION_NONE ? channels / TILE * TILE : 0;
  for (int first = 0; first < whole; first += TILE, totals += rows) {
    const __m512 biases = _mm512_loadu_ps(bias + first);
    for (int m = 0; m < rows; ++m) {
      const __m512 scale = _mm512_set1_ps(scales == NULL ? 1.0f : scales[m]);
      _mm512_storeu_ps(y + m * stride + first, _mm512_fmadd_ps(scale, _mm512_loadu_ps(totals[m]), biases));
    }
  }
  finish_rows_loop(totals, rows, scales, bias + whole, activation, channels - whole, y + whole, stride);
}

/* sum[i] += a[4 i] * b[4 i] + ... + a[4 i + 3] * b[4 i + 3], a unsigned and b signed. In assembly, because gcc 12 copies
 * the sums to and fro around the intrinsic. */
KERNEL_INLINE __m512i multiply_add(__m512i sum, __m512i a, __m512i b) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

#include "x86_avx512_quantize.h"

typedef __m512 Floats;
enum { FLOATS = 16, PRODUCT_ROWS = 8, PRODUCT_VECTORS = 2 };
KERNEL_INLINE Floats load_floats(const float* from) { return _mm512_loadu_ps(from); }
KERNEL_INLINE void store_floats(float* to, Floats values) { _mm512_storeu_ps(to, values); }
KERNEL_INLINE Floats broadcast_float(float value) { return _mm512_set1_ps(value); }
KERNEL_INLINE Floats multiply_add_floats(Floats a, Floats b, Floats sum) { return _mm512_fmadd_ps(a, b, sum); }

#include "float_loops.h"

static bool is_available(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

KERNEL_INLINE __m512 load_halves(const uint16_t* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)halves));
}

/* totals[m] += scale * sums[m] - offset * x_sums[m] of one block. */
KERNEL_INLINE void add_block(const WeightTile* tile, int64_t block, const __m512* sums, const __m512* x_sums,
                             const int rows, __m512* totals) {
  const bool is_symmetric = tile->offsets == NULL;
  const __m512 scales = load_halves(tile->scales + block * TILE);
  const __m512 offsets = is_symmetric ? _mm512_setzero_ps() : load_halves(tile->offsets + block * TILE);
  for (int m = 0; m < rows; ++m) {
    const __m512 total = _mm512_fmadd_ps(scales, sums[m], totals[m]);
    totals[m] = is_symmetric ? total : _mm512_fnmadd_ps(offsets, x_sums[m], total);
  }
}

/* Field `index` of every byte. */
KERNEL_INLINE __m512i field(__m512i cell, const int index, const int bits) {
  if (bits == 8) return cell;
  return _mm512_and_si512(_mm512_srli_epi16(cell, index * bits), _mm512_set1_epi8((char)((1 << bits) - 1)));
}

/* The same, 2^(index * bits) times its value. */
KERNEL_INLINE __m512i field_in_place(__m512i cell, const int index, const int bits) {
  return bits == 8 ? cell : _mm512_and_si512(cell, _mm512_set1_epi8((char)(((1 << bits) - 1) << index * bits)));
}

/* Loads a cell and fetches what lies `ahead` of it. */
KERNEL_INLINE __m512i load_cell(const uint8_t* cell, int64_t ahead) {
  _mm_prefetch((const char*)cell + ahead, _MM_HINT_T0);
  return _mm512_loadu_si512(cell);
}

/* ---- Integer activations ---- */

KERNEL_INLINE __m512i broadcast(const int8_t* window) {
  int32_t codes;
  memcpy(&codes, window, sizeof codes);
  return _mm512_set1_epi32(codes);
}

/* Tiles that a product of so many rows takes at once: a broadcast window then serves several. */
KERNEL_INLINE int tiles_together(const int bits, const int rows) {
  if (reads_in_sequence(bits, rows)) return 1;
  return rows * MAX_TILES <= INTEGER_SUMS ? MAX_TILES : INTEGER_SUMS / rows;
}

/* Adds the products of `cells` cells of each tile with their windows, and fetches as many from `ahead` on. Successive
 * products of a channel go to `chains` sums in turn. */
KERNEL_INLINE void add_cells(const uint8_t** codes, const uint8_t** ahead, const int8_t** windows, const int cells,
                             const int bits, const int count, const int rows, const int chains, __m512i* sum) {
  const int fields = 8 / bits;
  for (int i = 0; i < cells; ++i) {
    __m512i cell[MAX_TILES];
    for (int t = 0; t < count; ++t) {
      _mm_prefetch((const char*)*ahead + (i * count + t) * CELL, _MM_HINT_T0);
      cell[t] = _mm512_loadu_si512(codes[t] + i * CELL);
    }
    for (int f = 0; f < fields; ++f) {
      __m512i u[MAX_TILES];
      for (int t = 0; t < count; ++t) u[t] = rows == 1 ? field_in_place(cell[t], f, bits) : field(cell[t], f, bits);
      for (int m = 0; m < rows; ++m, *windows += GROUP) {
        const __m512i values = broadcast(*windows);
        for (int t = 0; t < count; ++t) {
          const int s = ((i * fields + f) % chains * count + t) * rows + m;
          sum[s] = multiply_add(sum[s], u[t], values);
        }
      }
    }
  }
  for (int t = 0; t < count; ++t) codes[t] += cells * CELL;
  *ahead += cells * count * CELL;
}

/* sum q x = sum u x - 2^(bits - 1) sum x, where u = q + 2^(bits - 1) is what a cell holds. A single row, for which shifts
 * cost as much as products, uses fields in place: each has sums of its own then (`chains` is a multiple of the fields),
 * which are shifted at the end. */
KERNEL_INLINE void dense_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles,
                                 const QuantizedRows* x, const int bits, const int count, const int rows,
                                 float (*totals)[TILE]) {
  const int fields = 8 / bits, all = count * rows;
  const int together = all * fields < SUMS_IN_FLIGHT ? SUMS_IN_FLIGHT / (all * fields) : 1; /* cells */
  const int chains = all * fields * together <= INTEGER_SUMS ? fields * together : INTEGER_SUMS / all;
  const int8_t* windows = x->windows;
  const uint8_t *codes[MAX_TILES], *ahead = tiles[0].codes + tiles[0].codes_ahead;
  __m512 total[INTEGER_SUMS];
  for (int t = 0; t < count; ++t) codes[t] = tiles[t].codes;
  for (int s = 0; s < all; ++s) total[s] = _mm512_setzero_ps();
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int32_t* code_sums = x->code_sums + b * rows;
    __m512i sum[INTEGER_SUMS];
    for (int s = 0; s < chains * all; ++s) sum[s] = _mm512_setzero_si512();
    int64_t left = block_quads(stored_codes(attributes, b), bits) / fields;
    for (; left >= together; left -= together) {
      add_cells(codes, &ahead, &windows, together, bits, count, rows, chains, sum);
    }
    for (; together > 1 && left > 0; --left) add_cells(codes, &ahead, &windows, 1, bits, count, rows, chains, sum);
    __m512 sums[INTEGER_SUMS], x_sums[INTEGER_ROWS];
    for (int s = 0; s < all; ++s) {
      for (int c = 1; c < chains; ++c) {
        const int shift = rows == 1 ? c % fields * bits : 0;
        sum[s] = _mm512_add_epi32(sum[s], _mm512_srai_epi32(sum[c * all + s], shift));
      }
      const __m512i surplus = _mm512_slli_epi32(_mm512_set1_epi32(code_sums[s % rows]), bits - 1);
      sums[s] = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum[s], surplus));
    }
    for (int m = 0; m < rows; ++m) x_sums[m] = _mm512_cvtepi32_ps(_mm512_set1_epi32(code_sums[m]));
    for (int t = 0; t < count; ++t) add_block(&tiles[t], b, sums + t * rows, x_sums, rows, total + t * rows);
  }
  for (int s = 0; s < all; ++s) _mm512_storeu_ps(totals[s], total[s]);
}

/* The window of a quad in every 128-bit lane. */
KERNEL_INLINE __m512i broadcast_window(const int8_t* window, const int kept) {
  if (kept == 2) {
    int64_t codes;
    memcpy(&codes, window, sizeof codes);
    return _mm512_set1_epi64(codes);
  }
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)window));
}

/* Positions of the kept codes of quad `quad` within their window. */
KERNEL_INLINE __m512i window_positions(const uint8_t* positions, int64_t ahead, int64_t quad, const int kept) {
  const __m512i cell = load_cell(positions + quad / GROUP * CELL, ahead);
  const __m128i shift = _mm_cvtsi32_si128((int)(quad % GROUP) * POSITION_BITS);
  const __m512i in_group = _mm512_and_si512(_mm512_srl_epi16(cell, shift), _mm512_set1_epi8(GROUP - 1));
  /* The groups that codes 0..3 of a quad belong to begin at these places. */
  return _mm512_add_epi8(in_group, _mm512_set1_epi32(kept == 2 ? 0x04040000 : 0x0C080400));
}

/* sum q x = sum q (x + 128) - 128 sum q, both of them of an unsigned and a signed factor. */
KERNEL_INLINE void sparse_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                  const QuantizedRows* x, const int bits, const int kept, const bool symmetric,
                                  const int rows, float (*totals)[TILE]) {
  const int fields = 8 / bits, chains = rows * fields <= CHAINS ? fields : 1, window = GROUP * GROUP / kept;
  const __m512i zero = _mm512_set1_epi8((char)(1 << (bits - 1))), ones = _mm512_set1_epi8(1);
  const uint8_t *cell = tile->codes, *positions = tile->positions;
  const int8_t* windows = x->windows;
  __m512 total[INTEGER_ROWS];
  for (int m = 0; m < rows; ++m) total[m] = _mm512_setzero_ps();
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t quads = block_quads(stored_codes(attributes, b), bits);
    __m512i sum[INTEGER_ROWS], x_sum[INTEGER_ROWS], code_sum[CHAINS];
    for (int s = 0; s < chains * rows; ++s) sum[s] = x_sum[s] = _mm512_setzero_si512();
    for (int c = 0; c < chains; ++c) code_sum[c] = _mm512_setzero_si512();
    for (int64_t quad = 0; quad < quads; cell += CELL) {
      const __m512i codes = load_cell(cell, tile->codes_ahead);
      for (int f = 0; f < fields; ++f, ++quad) {
        const __m512i q = _mm512_sub_epi8(field(codes, f, bits), zero);
        const __m512i places = window_positions(positions, tile->positions_ahead, quad, kept);
        const int c = f % chains;
        code_sum[c] = multiply_add(code_sum[c], ones, q);
        for (int m = 0; m < rows; ++m, windows += window) {
          const int s = c * rows + m;
          const __m512i values = _mm512_shuffle_epi8(broadcast_window(windows, kept), places);
          sum[s] = multiply_add(sum[s], values, q);
          if (!symmetric) x_sum[s] = multiply_add(x_sum[s], values, ones);
        }
      }
    }
    positions += (quads + GROUP - 1) / GROUP * CELL;
    for (int c = 1; c < chains; ++c) {
      code_sum[0] = _mm512_add_epi32(code_sum[0], code_sum[c]);
      for (int m = 0; m < rows; ++m) {
        sum[m] = _mm512_add_epi32(sum[m], sum[c * rows + m]);
        x_sum[m] = _mm512_add_epi32(x_sum[m], x_sum[c * rows + m]);
      }
    }
    const __m512i surplus = _mm512_slli_epi32(code_sum[0], 7);
    const __m512i x_surplus = _mm512_set1_epi32((int32_t)(quads * GROUP * 128));
    __m512 sums[INTEGER_ROWS], x_sums[INTEGER_ROWS];
    for (int m = 0; m < rows; ++m) {
      sums[m] = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum[m], surplus));
      x_sums[m] = _mm512_cvtepi32_ps(_mm512_sub_epi32(x_sum[m], x_surplus));
    }
    add_block(tile, b, sums, x_sums, rows, total);
  }
  for (int m = 0; m < rows; ++m) _mm512_storeu_ps(totals[m], total[m]);
}

KERNEL_INLINE void sparse_rows(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                               const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  if (attributes->kept == 2 && attributes->symmetric) {
    sparse_product(attributes, tile, x, bits, 2, true, rows, totals);
  } else if (attributes->kept == 2) {
    sparse_product(attributes, tile, x, bits, 2, false, rows, totals);
  } else if (attributes->symmetric) {
    sparse_product(attributes, tile, x, bits, 1, true, rows, totals);
  } else {
    sparse_product(attributes, tile, x, bits, 1, false, rows, totals);
  }
}

KERNEL_INLINE void integer_rows(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                                const QuantizedRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  int t = 0;
  if (attributes->kept != GROUP) {
    for (; t < count; ++t) sparse_rows(attributes, tiles + t, x, bits, rows, totals + t * rows);
    return;
  }
  const int together = tiles_together(bits, rows);
  for (; t + together <= count; t += together) {
    dense_product(attributes, tiles + t, x, bits, together, rows, totals + t * rows);
  }
  for (; t < count; ++t) dense_product(attributes, tiles + t, x, bits, 1, rows, totals + t * rows);
}

/* ---- Float activations ---- */

/* Values of all codes of a width, as often as they fit. */
KERNEL_INLINE __m512 code_table(const int bits) {
  const __m512i entries = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i u = _mm512_and_si512(entries, _mm512_set1_epi32((1 << bits) - 1));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(u, _mm512_set1_epi32(1 << (bits - 1))));
}

/* Moves the entry `index` of a cell, of each channel, to the low bits of the channel's four bytes. */
KERNEL_INLINE __m512i shift_entry(__m512i cell, int index, const int bits) {
  return _mm512_srlv_epi32(cell, _mm512_set1_epi32(index % GROUP * 8 + index / GROUP * bits));
}

KERNEL_INLINE __m512 code_value(__m512i cell, int index, __m512 table, const int bits) {
  const __m512i shifted = shift_entry(cell, index, bits);
  if (bits < 8) return _mm512_permutexvar_ps(shifted, table); /* reads the low four bits */
  const __m512i u = _mm512_and_si512(shifted, _mm512_set1_epi32(255));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(u, _mm512_set1_epi32(128)));
}

/* Adds the first `codes` codes of a cell in each tile. */
KERNEL_INLINE void add_cell(const WeightTile* tiles, const uint8_t* const* cells, const float* x, int64_t k,
                            __m512 table, const int bits, int codes, const int count, const int rows, __m512* sums) {
  __m512i cell[MAX_TILES];
  for (int t = 0; t < count; ++t) cell[t] = load_cell(cells[t], tiles[t].codes_ahead);
  for (int i = 0; i < codes; ++i) {
    for (int t = 0; t < count; ++t) {
      const __m512 q = code_value(cell[t], i, table, bits);
      for (int m = 0; m < rows; ++m) {
        sums[t * rows + m] = _mm512_fmadd_ps(q, _mm512_set1_ps(x[m * k + i]), sums[t * rows + m]);
      }
    }
  }
}

KERNEL_INLINE void dense_float_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles,
                                       const FloatRows* x, const int bits, const int count, const int rows,
                                       float (*totals)[TILE]) {
  const int64_t k = attributes->k, cell_length = cell_codes(bits);
  const __m512 table = code_table(bits);
  __m512 total[FLOAT_ROWS];
  const uint8_t* cells[MAX_TILES];
  for (int t = 0; t < count; ++t) cells[t] = tiles[t].codes;
  for (int s = 0; s < count * rows; ++s) total[s] = _mm512_setzero_ps();
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const float* values = x->values + b * attributes->block_length;
    __m512 sums[FLOAT_ROWS], x_sums[FLOAT_ROWS];
    for (int s = 0; s < count * rows; ++s) sums[s] = _mm512_setzero_ps();
    int64_t left = stored_codes(attributes, b);
    for (; left >= cell_length; left -= cell_length, values += cell_length) {
      add_cell(tiles, cells, values, k, table, bits, (int)cell_length, count, rows, sums);
      for (int t = 0; t < count; ++t) cells[t] += CELL;
    }
    if (left > 0) {
      add_cell(tiles, cells, values, k, table, bits, (int)left, count, rows, sums);
      for (int t = 0; t < count; ++t) cells[t] += CELL;
    }
    for (int m = 0; m < rows; ++m) x_sums[m] = _mm512_set1_ps(x->sums == NULL ? 0.0f : x->sums[b * rows + m]);
    for (int t = 0; t < count; ++t) add_block(&tiles[t], b, sums + t * rows, x_sums, rows, total + t * rows);
  }
  for (int s = 0; s < count * rows; ++s) _mm512_storeu_ps(totals[s], total[s]);
}

KERNEL_INLINE void sparse_float_product(const FullyConnectedAttributes* attributes, const WeightTile* tile,
                                        const FloatRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int64_t k = attributes->k, cell_length = cell_codes(bits), position_cell_length = cell_codes(POSITION_BITS);
  const __m512 table = code_table(bits);
  const uint8_t *cell = tile->codes, *positions = tile->positions;
  __m512 total[FLOAT_ROWS];
  for (int m = 0; m < rows; ++m) total[m] = _mm512_setzero_ps();
  for (int64_t b = 0; b < attributes->blocks; ++b) {
    const int64_t first = b * attributes->block_length, stored = stored_codes(attributes, b);
    __m512 sums[FLOAT_ROWS], x_sums[FLOAT_ROWS];
    for (int m = 0; m < rows; ++m) sums[m] = x_sums[m] = _mm512_setzero_ps();
    for (int64_t i = 0; i < stored; ++i) {
      const __m512i codes = _mm512_loadu_si512(cell + i / cell_length * CELL);
      const __m512i places = _mm512_loadu_si512(positions + i / position_cell_length * CELL);
      const __m512 q = code_value(codes, (int)(i % cell_length), table, bits);
      const __m512i place = _mm512_and_si512(shift_entry(places, (int)(i % position_cell_length), POSITION_BITS),
                                             _mm512_set1_epi32(GROUP - 1));
      const int64_t at = first + i / attributes->kept * GROUP;
      const __mmask16 there = (__mmask16)((1 << smaller(GROUP, k - at)) - 1); /* zeros stand for what is beyond x */
      for (int m = 0; m < rows; ++m) {
        const __m512 group = _mm512_maskz_loadu_ps(there, x->values + m * k + at);
        const __m512 value = _mm512_permutexvar_ps(place, group);
        sums[m] = _mm512_fmadd_ps(q, value, sums[m]);
        x_sums[m] = _mm512_add_ps(x_sums[m], value);
      }
    }
    cell += fully_connected_block_cells(attributes, bits) * CELL;
    positions += fully_connected_block_cells(attributes, POSITION_BITS) * CELL;
    add_block(tile, b, sums, x_sums, rows, total);
  }
  for (int m = 0; m < rows; ++m) _mm512_storeu_ps(totals[m], total[m]);
}

/* Few rows go with several tiles, so that there are enough sums in flight. */
KERNEL_INLINE void float_rows(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                              const FloatRows* x, const int bits, const int rows, float (*totals)[TILE]) {
  const int together = rows * MAX_TILES <= FLOAT_ROWS ? MAX_TILES : FLOAT_ROWS / rows;
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
  TARGET static void integer_product_##ROWS(const FullyConnectedAttributes* attributes, const WeightTile* tiles,  \
                                            int count, const QuantizedRows* x, float (*totals)[TILE]) {           \
    if (attributes->weight_bits == 2) integer_rows(attributes, tiles, count, x, 2, ROWS, totals);                 \
    if (attributes->weight_bits == 4) integer_rows(attributes, tiles, count, x, 4, ROWS, totals);                 \
    if (attributes->weight_bits == 8) integer_rows(attributes, tiles, count, x, 8, ROWS, totals);                 \
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
DEFINE_PRODUCTS(8)

static void integer_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                            const QuantizedRows* x, float (*totals)[TILE]) {
  if (x->rows == 1 && block_quads(stored_codes(attributes, 0), attributes->weight_bits) > LONGEST_BLOCK) {
    portable_kernel.integer_product(attributes, tiles, count, x, totals);
  } else if (x->rows == 1) {
    integer_product_1(attributes, tiles, count, x, totals);
  }
  if (x->rows == 2) integer_product_2(attributes, tiles, count, x, totals);
  if (x->rows == 4) integer_product_4(attributes, tiles, count, x, totals);
  if (x->rows == 8) integer_product_8(attributes, tiles, count, x, totals);
}

static void float_product(const FullyConnectedAttributes* attributes, const WeightTile* tiles, int count,
                          const FloatRows* x, float (*totals)[TILE]) {
  if (x->rows == 1) float_product_1(attributes, tiles, count, x, totals);
  if (x->rows == 2) float_product_2(attributes, tiles, count, x, totals);
  if (x->rows == 4) float_product_4(attributes, tiles, count, x, totals);
  if (x->rows == 8) float_product_8(attributes, tiles, count, x, totals);
}

const Kernel x86_avx512_vnni_kernel = {
    .name = "avx512_vnni",
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
