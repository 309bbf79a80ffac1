/* AMX: a tile register is 16 rows of 64 bytes. `tdpbssd` multiplies a tile of x (16 rows, 64 quantized values) with a
 * tile of weights (16 k groups of a panel) and adds 16 x 16 sums of 64 products to an accumulator tile, exactly.
 *
 * The loop nest, outermost first:
 *
 *   ops/fully_connected.c   rows of x    MR at a time: one call of a kernel
 *                           panels       TFC_MAX_NT at a time: a task of the threads
 *   qd8_many_rows_gemm      nt           two panels
 *   multiply_panels         blocks       acc[nt][mr] += scale * block_acc - zero_point * row sum
 *                           steps        of 64 values of x, SEGMENT at a time: unpacked to bytes once,
 *                           rows         32 at a time
 *   multiply_tiles          steps        of a segment: up to 2 x 2 tile products
 *
 * A step never crosses the end of a block: the rest of its weights are zero then, and what follows in x is multiplied
 * with them. Unpacked weights stand at the top of their bytes, as 2^(8 - bits) times their value, which takes one
 * instruction less than their value would; the scale makes up for it.
 *
 * 8-bit weights of a dense layer are rows of tiles as they are stored, if every block is a multiple of 64 long:
 * multiply_stored_panels reads them there, as unsigned numbers, 128 more than their values; the row sums make up for
 * it. Measured on a Xeon with other load, 512 x 2048 and 2048 x 512 weights, 16 to 250 rows: 3 to 18 % less time.
 *
 * Tiles belong to a thread: every call configures them and releases them at its end. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif

#include "gemm_kernels.h"

#if defined(__x86_64__)

#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TARGET __attribute__((target("amx-tile,amx-int8,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))

#include "x86_avx512_pack_lhs.h"

enum {
  TILE_ROWS = TFC_MR_MULTIPLE,
  TILE_BYTES = TILE_ROWS * TFC_PANEL_WORD,
  TILES = 8,
  STEP = 64,     /* values of x in a row of a tile */
  PANELS = 2,    /* multiplied at the same time, */
  ROW_TILES = 2, /* with so many tiles of rows: four accumulators hide the latency of a product */
  /* Steps that are unpacked at a time. Measured on a Xeon with 48 KB of L1 cache, 2048 x 512 weights of 2 and 4 bits,
   * per channel and in blocks of 64, and 16 to 250 rows: 2 steps are up to 1.4 times as slow per channel, 8 in blocks.
   */
  SEGMENT = 4,
  /* Fewer rows are multiplied by AVX-512 VNNI. Measured there with 512 x 2048 weights of 2, 4 and 8 bits in the L3
   * cache: of 12 rows AMX takes 0.77 to 0.96 times as long, of 16 rows 0.68 to 0.93 times. */
  MIN_ROWS = 12,
  MAX_BLOCK_GROUPS = 1 << 15, /* k groups whose products with weights at the top of their bytes fit 32 bits */
  UNSIGNED_SHIFT = 128,       /* of 8-bit weights as they are stored */
};

/* ---- Tiles ---- */

/* As `ldtilecfg` reads it. */
typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tfc_tile_configuration;

/* All tiles are of full size; rows of x beyond the last one are multiplied too, and their sums dropped. */
static void configure_tiles(void) {
  tfc_tile_configuration configuration = {.palette = 1};
  for (int i = 0; i < TILES; ++i) {
    configuration.row_bytes[i] = STEP;
    configuration.rows[i] = TILE_ROWS;
  }
  __asm__ volatile("ldtilecfg %0" ::"m"(configuration));
}

static void release_tiles(void) { __asm__ volatile("tilerelease"); }

/* In assembly, because gcc 12 does not take the intrinsics for accesses to memory, and moves other ones across them. */
#define LOAD_TILE(tile, from, stride) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"((int64_t)(stride)) : "memory")
#define STORE_TILE(tile, to, stride) \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"((int64_t)(stride)) : "memory")
#define CLEAR_TILE(tile) __asm__ volatile("tilezero %%tmm" #tile ::)
#define MULTIPLY_TILES(acc, x, weights, are_unsigned)                            \
  do {                                                                           \
    if (are_unsigned) {                                                          \
      __asm__ volatile("tdpbsud %%tmm" #weights ", %%tmm" #x ", %%tmm" #acc ::); \
    } else {                                                                     \
      __asm__ volatile("tdpbssd %%tmm" #weights ", %%tmm" #x ", %%tmm" #acc ::); \
    }                                                                            \
  } while (0)

/* ---- Unpacking of weights ---- */

/* The next weights of a panel. */
typedef struct {
  const uint8_t *word, *indices;
} tfc_weight_cursor;

/* Bit field `index` of every byte as a signed number at the top of the byte: q of u = q + 2^(bits - 1). */
KERNEL_INLINE __m512i top_weights(__m512i word, const int index, const int bits) {
  enum { AND_XOR = (0xF0 & 0xCC) ^ 0xAA }; /* (a & b) ^ c, as the truth table of vpternlog */
  const __m512i shifted = _mm512_slli_epi16(word, 8 - bits - index * tfc_field_bits(bits));
  const __m512i top = _mm512_set1_epi8((char)(255 << (8 - bits)));
  return _mm512_ternarylogic_epi64(shifted, top, _mm512_set1_epi8((char)128), AND_XOR);
}

/* Writes a k group, of which two or one of every four weights are stored, as 2 or 4 words of dense ones. */
KERNEL_INLINE void expand_group(__m512i q, __m512i indices, const int sparsity_n, int8_t* target) {
  const __m512i channels = _mm512_setr4_epi32(0, 0x04040404, 0x08080808, 0x0C0C0C0C); /* first bytes in a lane */
  const __m512i places = _mm512_set1_epi32(0x03020100);
  for (int j = 0; j < TFC_KR; target += TFC_PANEL_WORD) {
    __m512i dense = _mm512_setzero_si512();
    for (int i = 0; i < sparsity_n; ++i, ++j) {
      const __m512i weight = _mm512_add_epi8(channels, _mm512_set1_epi8((char)j)); /* number j of all channels */
      const __mmask64 is_here = _mm512_cmpeq_epi8_mask(_mm512_shuffle_epi8(indices, weight), places);
      dense = _mm512_mask_shuffle_epi8(dense, is_here, q, weight);
    }
    _mm512_store_si512(target, dense);
  }
}

/* Unpacks the next `groups` k groups, and clears the rest of the last step. */
KERNEL_INLINE void unpack(tfc_weight_cursor* cursor, int64_t groups, const int bits, const int sparsity_n,
                          int8_t* target) {
  enum { INDEX_FIELDS = 8 / TFC_INDEX_BITS };
  const int fields = 8 / tfc_field_bits(bits), group_bytes = TFC_PANEL_WORD * TFC_SPARSITY_M / sparsity_n;
  for (int64_t group = 0; group < groups; cursor->word += tfc_unit_words(bits) * TFC_PANEL_WORD) {
    UNROLLED for (int w = 0; w < tfc_field_words(bits); ++w) {
      const __m512i word = load_fields(cursor->word, w, bits);
      for (int f = 0; f < fields; ++f, ++group, target += group_bytes) {
        const __m512i q = top_weights(word, f, bits);
        if (sparsity_n == TFC_SPARSITY_M) {
          _mm512_store_si512(target, q);
          continue;
        }
        const uint8_t* index_word = cursor->indices + group / INDEX_FIELDS * TFC_PANEL_WORD;
        const __m128i shift = _mm_cvtsi32_si128((int)(group % INDEX_FIELDS) * TFC_INDEX_BITS);
        const __m512i indices = _mm512_srl_epi16(_mm512_loadu_si512(index_word), shift);
        expand_group(q, _mm512_and_si512(indices, _mm512_set1_epi8(TFC_SPARSITY_M - 1)), sparsity_n, target);
      }
    }
  }
  if (sparsity_n != TFC_SPARSITY_M) cursor->indices += (groups + INDEX_FIELDS - 1) / INDEX_FIELDS * TFC_PANEL_WORD;
  for (int64_t bytes = groups * group_bytes; bytes % TILE_BYTES != 0; bytes += TFC_PANEL_WORD) {
    _mm512_store_si512(target, _mm512_setzero_si512());
    target += TFC_PANEL_WORD;
  }
}

/* ---- Multiplication ---- */

/* Integer sums of two tiles of rows with every panel. */
typedef int32_t tfc_tile_sums[PANELS][ROW_TILES * TILE_ROWS][TFC_NR];

typedef struct {
  int8_t weights[PANELS][SEGMENT * TILE_BYTES];
  tfc_tile_sums block_acc[2];                                      /* of two successive blocks */
  tfc_tile_sums partial_acc[TFC_MAX_MR / (ROW_TILES * TILE_ROWS)]; /* of the block that a segment ends within */
} tfc_tile_scratch;

/* What is prefetched, of every panel, while the first rows of a segment are multiplied: as many words as there are in
 * the segment, in equal shares of its steps. */
typedef struct {
  const uint8_t *codes[PANELS], *indices[PANELS];
  int codes_share, indices_share; /* bytes; 0 for no more */
} tfc_prefetch;

KERNEL_INLINE void prefetch_share(const tfc_prefetch* prefetch, int64_t step, const int nt) {
  for (int t = 0; t < nt; ++t) {
    for (int i = 0; i < prefetch->codes_share; i += TFC_CACHE_LINE) {
      _mm_prefetch((const char*)prefetch->codes[t] + step * prefetch->codes_share + i, _MM_HINT_T0);
    }
    for (int i = 0; i < prefetch->indices_share; i += TFC_CACHE_LINE) {
      _mm_prefetch((const char*)prefetch->indices[t] + step * prefetch->indices_share + i, _MM_HINT_T0);
    }
  }
}

/* Multiplies one or two tiles of rows with `steps` steps of weights, from `first` on. The sums begin with those of
 * `from`, unless it is NULL. */
KERNEL_INLINE void multiply_tiles(const void** weights, const bool are_unsigned, const int8_t* x, int64_t row_bytes,
                                  int64_t first, int64_t steps, tfc_tile_sums* from, tfc_tile_sums* to,
                                  const tfc_prefetch* prefetch, const int row_tiles, const int nt) {
  if (from == NULL) {
    CLEAR_TILE(0);
    if (nt > 1) CLEAR_TILE(1);
    if (row_tiles > 1) CLEAR_TILE(2);
    if (row_tiles > 1 && nt > 1) CLEAR_TILE(3);
  } else {
    LOAD_TILE(0, (*from)[0], STEP);
    if (nt > 1) LOAD_TILE(1, (*from)[1], STEP);
    if (row_tiles > 1) LOAD_TILE(2, (*from)[0] + TILE_ROWS, STEP);
    if (row_tiles > 1 && nt > 1) LOAD_TILE(3, (*from)[1] + TILE_ROWS, STEP);
  }
  for (int64_t s = first; s < first + steps; ++s, x += STEP) {
    if (prefetch != NULL) prefetch_share(prefetch, s, nt);
    LOAD_TILE(4, x, row_bytes);
    LOAD_TILE(6, (const int8_t*)weights[0] + s * TILE_BYTES, TFC_PANEL_WORD);
    MULTIPLY_TILES(0, 4, 6, are_unsigned);
    if (nt > 1) {
      LOAD_TILE(7, (const int8_t*)weights[1] + s * TILE_BYTES, TFC_PANEL_WORD);
      MULTIPLY_TILES(1, 4, 7, are_unsigned);
    }
    if (row_tiles > 1) {
      LOAD_TILE(5, x + TILE_ROWS * row_bytes, row_bytes);
      MULTIPLY_TILES(2, 5, 6, are_unsigned);
      if (nt > 1) MULTIPLY_TILES(3, 5, 7, are_unsigned);
    }
  }
  STORE_TILE(0, (*to)[0], STEP);
  if (nt > 1) STORE_TILE(1, (*to)[1], STEP);
  if (row_tiles > 1) STORE_TILE(2, (*to)[0] + TILE_ROWS, STEP);
  if (row_tiles > 1 && nt > 1) STORE_TILE(3, (*to)[1] + TILE_ROWS, STEP);
}

/* acc[m] += scale * block_acc[m] - zero_point * row_sums[m] of one block, of signed or unsigned weights. */
KERNEL_INLINE void add_block(const tfc_weight_panel* panel, int64_t block, int32_t (*block_acc)[TFC_NR],
                             const int32_t* row_sums, const int bits, const bool are_unsigned, int mr,
                             float (*acc)[TFC_NR]) {
  const bool is_symmetric = panel->zero_points == NULL;
  const __m512 unit = _mm512_set1_ps(1.0f / (float)(1 << (8 - bits))); /* of unpacked weights: a power of two */
  const __m512 scales = _mm512_mul_ps(load_halves(panel->scales + block * TFC_NR), unit);
  const __m512 zero_points = load_zero_points(panel, block);
  for (int m = 0; m < mr; ++m) {
    __m512 value = block == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(acc[m]);
    __m512i sums = _mm512_load_si512(block_acc[m]);
    if (are_unsigned) sums = _mm512_sub_epi32(sums, _mm512_set1_epi32(row_sums[m] * UNSIGNED_SHIFT));
    value = _mm512_fmadd_ps(scales, _mm512_cvtepi32_ps(sums), value);
    if (!is_symmetric) {
      value = _mm512_fnmadd_ps(zero_points, _mm512_cvtepi32_ps(_mm512_set1_epi32(row_sums[m])), value);
    }
    _mm512_storeu_ps(acc[m], value);
  }
}

/* The steps of one block, or of a part of it. */
typedef struct {
  int64_t block, steps, values; /* values of x */
  bool is_first, is_last;       /* of the block */
} tfc_segment_part;

/* Steps that are unpacked at the same time. */
typedef struct {
  tfc_segment_part parts[SEGMENT];
  int count;
  int64_t first_value;
  tfc_prefetch prefetch;
} tfc_segment;

/* Unpacks the next segment, which begins with number `group` of the groups of a block. Returns the number of the next
 * segment's first group. */
KERNEL_INLINE int64_t unpack_segment(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                                     tfc_weight_cursor* cursors, int64_t block, int64_t group, const int bits,
                                     const int sparsity_n, const int nt, tfc_segment* segment,
                                     int8_t (*weights)[SEGMENT * TILE_BYTES]) {
  const int lhs_kr = TFC_KR * TFC_SPARSITY_M / sparsity_n;
  const bool is_dense = sparsity_n == TFC_SPARSITY_M;
  segment->count = 0;
  segment->prefetch.codes_share = STEP / lhs_kr * TFC_PANEL_WORD * bits / 8;
  segment->prefetch.indices_share = is_dense ? 0 : STEP / lhs_kr * TFC_PANEL_WORD * TFC_INDEX_BITS / 8;
  for (int t = 0; t < nt; ++t) {
    segment->prefetch.codes[t] = cursors[t].word + panels[t].codes_prefetch;
    segment->prefetch.indices[t] = is_dense ? NULL : cursors[t].indices + panels[t].indices_prefetch;
  }
  for (int64_t steps = 0; steps < SEGMENT && block < attributes->blocks;) {
    const int64_t all = tfc_block_groups(tfc_stored_weights(attributes, block), bits);
    const int64_t groups = tfc_min(all - group, (SEGMENT - steps) * STEP / lhs_kr);
    for (int t = 0; t < nt; ++t) unpack(&cursors[t], groups, bits, sparsity_n, weights[t] + steps * TILE_BYTES);
    segment->parts[segment->count++] = (tfc_segment_part){
        .block = block,
        .steps = (groups * lhs_kr + STEP - 1) / STEP,
        .values = groups * lhs_kr,
        .is_first = group == 0,
        .is_last = group + groups == all,
    };
    steps += (groups * lhs_kr + STEP - 1) / STEP;
    group += groups;
    if (group == all) ++block, group = 0;
  }
  return group;
}

/* Multiplies one or two tiles of rows, from `row` on, with a segment. The sums of a block are added to those over
 * blocks when the next block is on its way, so that both are computed at the same time. */
KERNEL_INLINE void multiply_segment(const tfc_weight_panel* panels, const tfc_qd8_lhs* lhs, const tfc_segment* segment,
                                    tfc_tile_scratch* scratch, int row, const int row_tiles, const int bits,
                                    const int nt, float (*acc)[TFC_NR]) {
  const int mr = lhs->mr, rows = (int)tfc_min(mr - row, row_tiles * TILE_ROWS);
  const tfc_prefetch* prefetch = row == 0 ? &segment->prefetch : NULL;
  tfc_tile_sums* partial = &scratch->partial_acc[row / (ROW_TILES * TILE_ROWS)];
  const int8_t* x = lhs->values + row * lhs->row_bytes + segment->first_value;
  const void* weights[PANELS] = {scratch->weights[0], scratch->weights[1]};
  int64_t step = 0;
  for (int i = 0; i <= segment->count; ++i) {
    const tfc_segment_part *part = &segment->parts[i], *before = part - 1;
    if (i < segment->count) {
      multiply_tiles(weights, false, x, lhs->row_bytes, step, part->steps, part->is_first ? NULL : partial,
                     part->is_last ? &scratch->block_acc[i % 2] : partial, prefetch, row_tiles, nt);
      step += part->steps;
      x += part->values;
    }
    if (i == 0 || !before->is_last) continue;
    for (int t = 0; t < nt; ++t) {
      add_block(&panels[t], before->block, scratch->block_acc[(i - 1) % 2][t], lhs->row_sums + before->block * mr + row,
                bits, false, rows, acc + t * mr + row);
    }
  }
}

/* Whether the weights can be multiplied where they are stored. */
KERNEL_INLINE bool are_tiles(const tfc_fully_connected_attributes* attributes, const int bits, const int sparsity_n) {
  return bits == 8 && sparsity_n == TFC_SPARSITY_M && attributes->block_length % STEP == 0 && attributes->k % STEP == 0;
}

/* The sums of a block for one or two tiles of rows. */
typedef struct {
  _Alignas(TFC_CACHE_LINE) tfc_tile_sums acc;
  int row;
  int64_t block;
} tfc_block_sums;

KERNEL_INLINE void add_stored_block(const tfc_weight_panel* panels, const tfc_qd8_lhs* lhs, tfc_block_sums* sums,
                                    const int nt, float (*acc)[TFC_NR]) {
  const int mr = lhs->mr, row = sums->row, rows = (int)tfc_min(mr - row, ROW_TILES * TILE_ROWS);
  const int32_t* row_sums = lhs->row_sums + sums->block * mr + row;
  for (int t = 0; t < nt; ++t) {
    add_block(&panels[t], sums->block, sums->acc[t], row_sums, 8, true, rows, acc + t * mr + row);
  }
}

/* Multiplies all rows with `nt` panels of weights where they are stored. The sums of a block stay in tiles to its end,
 * and are added to those over blocks when the next ones are on their way. */
KERNEL_INLINE void multiply_stored_panels(const tfc_fully_connected_attributes* attributes,
                                          const tfc_weight_panel* panels, const tfc_qd8_lhs* lhs, const int nt,
                                          float (*acc)[TFC_NR]) {
  tfc_block_sums sums[2], *next = sums, *before = NULL;
  tfc_prefetch prefetch = {.codes_share = TILE_BYTES};
  const void* weights[PANELS];
  for (int t = 0; t < nt; ++t) {
    weights[t] = panels[t].codes;
    prefetch.codes[t] = panels[t].codes + panels[t].codes_prefetch;
  }
  for (int row = 0; row < lhs->mr; row += ROW_TILES * TILE_ROWS) {
    const tfc_prefetch* ahead = row == 0 ? &prefetch : NULL;
    const int8_t* x = lhs->values + row * lhs->row_bytes;
    int64_t step = 0;
    for (int64_t block = 0; block < attributes->blocks; ++block) {
      const int64_t steps = tfc_block_inputs(attributes, block) / STEP;
      if (lhs->mr - row > TILE_ROWS) {
        multiply_tiles(weights, true, x, lhs->row_bytes, step, steps, NULL, &next->acc, ahead, 2, nt);
      } else {
        multiply_tiles(weights, true, x, lhs->row_bytes, step, steps, NULL, &next->acc, ahead, 1, nt);
      }
      step += steps;
      x += steps * STEP;
      next->row = row;
      next->block = block;
      if (before != NULL) add_stored_block(panels, lhs, before, nt, acc);
      before = next;
      next = next == sums ? sums + 1 : sums;
    }
  }
  add_stored_block(panels, lhs, before, nt, acc);
}

/* Multiplies all rows with `nt` panels. */
KERNEL_INLINE void multiply_panels(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                                   const tfc_qd8_lhs* lhs, const int bits, const int sparsity_n, const int nt,
                                   float (*acc)[TFC_NR]) {
  if (are_tiles(attributes, bits, sparsity_n)) {
    multiply_stored_panels(attributes, panels, lhs, nt, acc);
    return;
  }
  _Alignas(TFC_CACHE_LINE) tfc_tile_scratch scratch;
  tfc_weight_cursor cursors[PANELS];
  for (int t = 0; t < nt; ++t) cursors[t] = (tfc_weight_cursor){panels[t].codes, panels[t].indices};
  tfc_segment segment = {.count = 0};
  for (int64_t block = 0, group = 0; block < attributes->blocks;) {
    group = unpack_segment(attributes, panels, cursors, block, group, bits, sparsity_n, nt, &segment, scratch.weights);
    for (int row = 0; row < lhs->mr; row += ROW_TILES * TILE_ROWS) {
      if (lhs->mr - row > TILE_ROWS) {
        multiply_segment(panels, lhs, &segment, &scratch, row, 2, bits, nt, acc);
      } else {
        multiply_segment(panels, lhs, &segment, &scratch, row, 1, bits, nt, acc);
      }
    }
    for (const tfc_segment_part* part = segment.parts; part < segment.parts + segment.count; ++part) {
      segment.first_value += part->values;
      block += part->is_last;
    }
  }
}

KERNEL_INLINE void qd8_many_rows_gemm(const tfc_fully_connected_attributes* attributes, const tfc_weight_panel* panels,
                                      int nt, const tfc_qd8_lhs* lhs, const int bits, const int sparsity_n,
                                      float (*acc)[TFC_NR]) {
  int t = 0;
  configure_tiles();
  for (; t + PANELS <= nt; t += PANELS) {
    multiply_panels(attributes, panels + t, lhs, bits, sparsity_n, PANELS, acc + t * lhs->mr);
  }
  if (t < nt) multiply_panels(attributes, panels + t, lhs, bits, sparsity_n, 1, acc + t * lhs->mr);
  release_tiles();
}

/* ---- Packing of x ---- */

TARGET static void tfc_qd8_pack_lhs__amx(const tfc_fully_connected_attributes* attributes, const float* x,
                                         tfc_qd8_lhs* lhs, float* scales) {
  tfc_check_pack_lhs(attributes, x, lhs, scales, TFC_MAX_MR);
  for (int m = 0; m < lhs->mr; ++m, x += attributes->k) {
    float inverse;
    scales[m] = tfc_row_scale(tfc_largest_magnitude_bits(x, attributes->k), &inverse);
    const tfc_row_target row = {.target = lhs->values + m * lhs->row_bytes, .stride = CONTIGUOUS};
    pack_row(attributes, x, m, scales[m], inverse, row, lhs);
  }
}

/* ---- Tables ---- */

/* The operating system allows a process to use tiles when it asks for them. */
static bool may_use_tiles(void) {
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM and XFEATURE_XTILEDATA of Linux */
  enum { UNKNOWN, GRANTED, REFUSED };
  static atomic_int permission = UNKNOWN;
  if (atomic_load(&permission) == UNKNOWN) {
    atomic_store(&permission, syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 ? GRANTED : REFUSED);
  }
  return atomic_load(&permission) == GRANTED;
}

static bool is_available(void) {
  return tfc_kernels__avx512vnni.is_available() && __builtin_cpu_supports("amx-tile") &&
         __builtin_cpu_supports("amx-int8") && may_use_tiles();
}

TFC_DEFINE_QD8_MANY_ROWS_GEMM(amx, TFC_EACH_TILE_KERNEL, 256, MIN_ROWS, MAX_BLOCK_GROUPS, tfc_qd8_pack_lhs__amx,
                              tfc_epilogue__avx512vnni)

const tfc_kernel_set tfc_kernels__amx = {
    .name = "amx",
    .is_available = is_available,
    .qd8_gemm = &tfc_qd8_gemm__avx512vnni,
    .qd8_many_rows_gemm = &tfc_qd8_many_rows_gemm__amx,
    .f32_gemm = &tfc_f32_gemm__avx512vnni,
    .dwconv = tfc_f32_dwconv__avx512vnni,
    .layer_norm = tfc_f32_layer_norm__avx512vnni,
    .attention = &tfc_attention__avx512vnni,
};

#endif
