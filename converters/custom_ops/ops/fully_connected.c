/* A fully connected layer as GEMMs of a few rows with a few panels. */
#include "fully_connected.h"

#include <string.h>

#include "../kernels/loops.h"

enum {
  /* Rows that are packed at a time, so that they stay in a cache while the weights pass by. Measured on one core of a
   * Xeon with 2 MB of L2 cache, 256 rows with 512 x 2048 and 2048 x 512 weights of 4 bits: chunks of 16 to 256 rows are
   * within 8 %, those of 64 rows the fastest. */
  CHUNK_ROWS = 64,
  SUM_LANES = 16, /* partial sums of a block of float inputs */
  /* Bytes from the weights in use to those that are prefetched. Measured there with one row and weights of 4 bits in
   * the L3 cache and in memory: up to 16 KB no distance is slower than a shorter one by more than 4 %, 64 KB by 4 to 12
   * %; the longest of them bridges the end of a layer, where hardware does not prefetch. */
  PREFETCH_BYTES = 16384,
};

/* A chunk of rows is cut into groups of mr rows, powers of 2, the kernel's largest first. */
static int group_rows(int64_t rows, int max_mr) {
  int mr = max_mr;
  while (mr > rows) mr /= 2;
  return mr;
}

/* The same with integer activations, whose kernels may be for any number of rows. */
static int qd8_group_rows(const tfc_qd8_gemm_kernels* kernels, int64_t rows) {
  return tfc_qd8_takes_any_mr(kernels) ? (int)tfc_min(rows, kernels->mr) : group_rows(rows, kernels->mr);
}

/* Rows of a chunk: those of a call, for kernels that unpack the weights in each. */
static int64_t chunk_rows(const tfc_qd8_gemm_kernels* qd8) {
  return qd8 != NULL && tfc_qd8_takes_any_mr(qd8) ? qd8->mr : CHUNK_ROWS;
}

/* The packed rows of a chunk; the arrays lie in the caller's scratch memory, after copied windows if there are any. The
 * rows of a group are together. */
typedef struct {
  float* scales;     /* [rows] */
  int32_t* row_sums; /* [rows, blocks], */
  float* float_sums; /* or these with float activations */
  int8_t* values;    /* [rows, row_bytes] */
  int64_t row_bytes;
} tfc_packed_rows;

static int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/* Room for the packed values of a row: see tfc_qd8_lhs. */
static int64_t row_bytes(const tfc_fully_connected_attributes* attributes) {
  const int bits = attributes->weight_bits;
  const int64_t units = tfc_fully_connected_panel_words(attributes, bits) / tfc_unit_words(bits);
  const int64_t groups = units * tfc_unit_groups(bits);
  const int64_t bytes = round_up(groups * tfc_lhs_kr(attributes), TFC_CACHE_LINE);
  return bytes / TFC_CACHE_LINE % 2 == 0 ? bytes + TFC_CACHE_LINE : bytes;
}

static bool needs_float_sums(const tfc_fully_connected_attributes* attributes) {
  return !attributes->int8_activations && !attributes->symmetric && attributes->sparsity_n == TFC_SPARSITY_M;
}

int64_t tfc_fully_connected_scratch_bytes(const tfc_kernel_set* kernels,
                                          const tfc_fully_connected_attributes* attributes, int64_t m) {
  const tfc_qd8_gemm_kernels* qd8 = attributes->int8_activations ? tfc_qd8_gemm_of(kernels, attributes, m) : NULL;
  const int64_t rows = tfc_min(m, chunk_rows(qd8));
  int64_t bytes = attributes->window == 0 ? 0 : rows * (int64_t)sizeof(float) * attributes->k;
  if (qd8 != NULL) {
    const int64_t padded_rows = tfc_qd8_takes_any_mr(qd8) ? round_up(rows, TFC_MR_MULTIPLE) : rows;
    bytes += rows * ((int64_t)sizeof(float) + (int64_t)sizeof(int32_t) * attributes->blocks);
    bytes += padded_rows * row_bytes(attributes) + 2 * TFC_CACHE_LINE; /* one before and one after them */
  } else if (needs_float_sums(attributes)) {
    bytes += rows * (int64_t)sizeof(float) * attributes->blocks;
  }
  return bytes;
}

static tfc_packed_rows divide_scratch(const tfc_fully_connected_attributes* attributes, int64_t rows, void* scratch) {
  tfc_packed_rows packed = {0};
  if (attributes->int8_activations) {
    packed.scales = scratch;
    packed.row_sums = (int32_t*)(packed.scales + rows);
    packed.values = (int8_t*)round_up((intptr_t)(packed.row_sums + rows * attributes->blocks), TFC_CACHE_LINE);
    packed.row_bytes = row_bytes(attributes);
  } else if (needs_float_sums(attributes)) {
    packed.float_sums = scratch;
  }
  return packed;
}

static tfc_qd8_lhs qd8_lhs(const tfc_fully_connected_attributes* attributes, const tfc_packed_rows* packed,
                           int64_t first, int mr) {
  return (tfc_qd8_lhs){
      .mr = mr,
      .values = packed->values + first * packed->row_bytes,
      .row_bytes = packed->row_bytes,
      .row_sums = packed->row_sums + first * attributes->blocks,
  };
}

static tfc_f32_lhs f32_lhs(const tfc_fully_connected_attributes* attributes, const tfc_packed_rows* packed,
                           const float* x, int64_t first, int mr) {
  return (tfc_f32_lhs){
      .mr = mr,
      .values = x + first * attributes->k,
      .row_sums = packed->float_sums == NULL ? NULL : packed->float_sums + first * attributes->blocks,
  };
}

/* SUM_LANES partial sums, then their pairwise sum. */
static float block_sum(const float* x, int64_t length) {
  float lanes[SUM_LANES] = {0.0f};
  int64_t i = 0;
  for (; i + SUM_LANES <= length; i += SUM_LANES) {
    for (int j = 0; j < SUM_LANES; ++j) lanes[j] += x[i + j];
  }
  for (int j = 0; i + j < length; ++j) lanes[j] += x[i + j];
  for (int half = SUM_LANES / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

/* The rows of a chunk: of x itself, or windows, copied to `target`. */
static const float* gather_rows(const tfc_fully_connected_attributes* attributes, const tfc_fully_connected_input* x,
                                int64_t first, int64_t count, float* target) {
  const int64_t k = attributes->k, window = attributes->window, stride = attributes->stride;
  if (window == 0) return x->values + first * k;
  const int64_t channels = k / (window * window), line = x->width * channels;
  const int64_t across = tfc_fully_connected_windows(attributes, x->width);
  const int64_t down = tfc_fully_connected_windows(attributes, x->height);
  float* next = target;
  for (int64_t row = first; row < first + count; ++row) {
    const int64_t image = row / across / down, top = row / across % down * stride, left = row % across * stride;
    const float* corner = x->values + (image * x->height + top) * line + left * channels;
    for (int64_t i = 0; i < window; ++i, next += window * channels) {
      memcpy(next, corner + i * line, (size_t)(window * channels) * sizeof *next);
    }
  }
  return target;
}

/* A chunk of rows with all panels of a layer. */
typedef struct {
  const tfc_qd8_gemm_kernels* qd8; /* NULL with float activations, */
  const tfc_f32_gemm_kernels* f32; /* or this with integer ones */
  const tfc_fully_connected_attributes* attributes;
  const tfc_fully_connected_weights* weights;
  const tfc_fully_connected_weights* next; /* needed after the last panel */
  int64_t panels;
  int64_t code_bytes, index_bytes;          /* of a panel */
  int64_t codes_distance, indices_distance; /* panels from those in use to those prefetched */
  tfc_packed_rows packed;
  int64_t rows;
  const float* x;
  float* y;
} tfc_chunk;

/* Rows of the next group. */
static int next_mr(const tfc_chunk* chunk, int64_t first) {
  const int64_t rows = chunk->rows - first;
  return chunk->qd8 != NULL ? qd8_group_rows(chunk->qd8, rows) : group_rows(rows, chunk->f32->mr);
}

static void pack(const tfc_chunk* chunk) {
  const tfc_fully_connected_attributes* attributes = chunk->attributes;
  const int64_t k = attributes->k, block_length = attributes->block_length;
  if (chunk->qd8 != NULL) {
    for (int64_t first = 0; first < chunk->rows;) {
      tfc_qd8_lhs lhs = qd8_lhs(attributes, &chunk->packed, first, next_mr(chunk, first));
      chunk->qd8->pack_lhs(attributes, chunk->x + first * k, &lhs, chunk->packed.scales + first);
      first += lhs.mr;
    }
  } else if (chunk->packed.float_sums != NULL) {
    float* sums = chunk->packed.float_sums;
    for (int64_t first = 0; first < chunk->rows;) {
      const int mr = next_mr(chunk, first);
      for (int64_t b = 0; b < attributes->blocks; ++b) {
        const int64_t at = b * block_length, length = tfc_min(block_length, k - at);
        for (int m = 0; m < mr; ++m) *sums++ = block_sum(chunk->x + (first + m) * k + at, length);
      }
      first += mr;
    }
  }
}

/* The distance in panels of at least PREFETCH_BYTES, and beyond those in use. */
static int64_t prefetch_distance(int64_t panel_bytes, int panels_at_once) {
  return tfc_max((PREFETCH_BYTES + panel_bytes - 1) / panel_bytes, panels_at_once);
}

/* The same in bytes, from `panel` on: to a later panel of the layer or, near the end, to the beginning of `next`. */
static int64_t prefetch_bytes(const tfc_chunk* chunk, int64_t panel, int64_t distance, int64_t panel_bytes,
                              const uint8_t* first, const uint8_t* next) {
  if (panel + distance < chunk->panels || next == NULL) return distance * panel_bytes;
  return ((intptr_t)next - (intptr_t)first) + (distance - chunk->panels) * panel_bytes;
}

static tfc_weight_panel weight_panel(const tfc_chunk* chunk, int64_t panel) {
  const tfc_fully_connected_weights *weights = chunk->weights, *next = chunk->next;
  const int64_t at = panel * chunk->attributes->blocks * TFC_NR;
  tfc_weight_panel view = {
      .codes = weights->codes + panel * chunk->code_bytes,
      .scales = weights->scales + at,
      .zero_point_factor = 1.0f,
      .codes_prefetch =
          prefetch_bytes(chunk, panel, chunk->codes_distance, chunk->code_bytes, weights->codes, next->codes),
  };
  if (weights->zero_points != NULL) view.zero_points = weights->zero_points + at;
  if (chunk->attributes->half_integers) {
    view.zero_points = view.scales;
    view.zero_point_factor = -0.5f;
  }
  if (weights->indices != NULL) {
    view.indices = weights->indices + panel * chunk->index_bytes;
    view.indices_prefetch =
        prefetch_bytes(chunk, panel, chunk->indices_distance, chunk->index_bytes, weights->indices, next->indices);
  }
  return view;
}

/* Inlined, as all that prefetch: gcc takes a function that does nothing else for one without effect and drops its
 * calls. */
TFC_INLINE void prefetch(const void* first, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += TFC_CACHE_LINE) __builtin_prefetch((const char*)first + i);
}

/* Prefetches scales, zero points and biases of TFC_MAX_NT panels, from `panel` on. */
TFC_INLINE void prefetch_constants(const tfc_chunk* chunk, int64_t panel) {
  const bool is_beyond = panel >= chunk->panels;
  const tfc_fully_connected_weights* weights = is_beyond ? chunk->next : chunk->weights;
  const int64_t blocks = chunk->attributes->blocks, at = is_beyond ? 0 : panel * TFC_NR, count = TFC_MAX_NT * TFC_NR;
  const int64_t half_bytes = count * blocks * (int64_t)sizeof(uint16_t);
  if (weights->scales != NULL) prefetch(weights->scales + at * blocks, half_bytes);
  if (weights->zero_points != NULL) prefetch(weights->zero_points + at * blocks, half_bytes);
  if (weights->bias != NULL) prefetch(weights->bias + at, count * (int64_t)sizeof(float));
}

/* The GEMM takes so long that the lines of its output are in the cache when they are written. */
TFC_INLINE void prefetch_outputs(const float* y, int mr, int channels, int64_t stride) {
  for (int m = 0; m < mr; ++m) {
    for (int c = 0; c < channels; c += TFC_NR) __builtin_prefetch(y + m * stride + c, 1);
  }
}

/* Multiplies the rows from `first` on with nt panels. */
static void multiply(const tfc_chunk* chunk, int64_t first, int mr, const tfc_weight_panel* panels, int nt,
                     float (*acc)[TFC_NR]) {
  const tfc_fully_connected_attributes* attributes = chunk->attributes;
  const int width = TFC_WIDTH(attributes->weight_bits);
  if (chunk->qd8 != NULL) {
    const tfc_qd8_lhs lhs = qd8_lhs(attributes, &chunk->packed, first, mr);
    const int index = tfc_qd8_takes_any_mr(chunk->qd8) ? TFC_ANY_MR : mr;
    tfc_qd8_gemm_function* gemm = chunk->qd8->gemm[width][tfc_qd8_layout(attributes)][index];
    assert(gemm != NULL);
    gemm(attributes, panels, nt, &lhs, acc);
  } else {
    const tfc_f32_lhs lhs = f32_lhs(attributes, &chunk->packed, chunk->x, first, mr);
    tfc_f32_gemm_function* gemm = chunk->f32->gemm[width][tfc_f32_layout(attributes)][mr];
    assert(gemm != NULL);
    gemm(attributes, panels, nt, &lhs, acc);
  }
}

/* Computes the panels from TFC_MAX_NT * index on, TFC_MAX_NT of them or the rest. */
static void compute_panels(void* context, int index) {
  static const float no_bias[TFC_MAX_NT * TFC_NR];
  const tfc_chunk* chunk = context;
  const tfc_fully_connected_attributes* attributes = chunk->attributes;
  const int64_t first_panel = (int64_t)index * TFC_MAX_NT, channel = first_panel * TFC_NR, stride = attributes->n;
  const int nt = (int)tfc_min(TFC_MAX_NT, chunk->panels - first_panel);
  tfc_weight_panel panels[TFC_MAX_NT];
  for (int t = 0; t < nt; ++t) panels[t] = weight_panel(chunk, first_panel + t);
  prefetch_constants(chunk, first_panel + TFC_MAX_NT);
  float acc[TFC_MAX_NT * TFC_MAX_MR][TFC_NR];
  tfc_epilogue_function* epilogue = chunk->qd8 != NULL ? chunk->qd8->epilogue : chunk->f32->epilogue;
  tfc_epilogue_arguments arguments = {
      .acc = acc,
      .bias = chunk->weights->bias == NULL ? no_bias : chunk->weights->bias + channel,
      .activation = attributes->activation,
      .channels = (int)tfc_min(nt * TFC_NR, attributes->n - channel),
      .stride = stride,
  };
  for (int64_t first = 0; first < chunk->rows; first += arguments.mr) {
    arguments.mr = next_mr(chunk, first);
    arguments.y = chunk->y + first * stride + channel;
    arguments.scales = chunk->packed.scales == NULL ? NULL : chunk->packed.scales + first;
    prefetch_outputs(arguments.y, arguments.mr, arguments.channels, stride);
    multiply(chunk, first, arguments.mr, panels, nt, acc);
    epilogue(&arguments);
    for (int t = 0; t < nt; ++t) panels[t].codes_prefetch = panels[t].indices_prefetch = 0; /* it is in the cache */
  }
}

void tfc_fully_connected_run(const tfc_context* context, const tfc_fully_connected_attributes* attributes,
                             const tfc_fully_connected_weights* weights, const tfc_fully_connected_weights* next,
                             const tfc_fully_connected_input* x, void* scratch, float* y) {
  assert(weights != NULL && next != NULL && x != NULL && x->m >= 0);
  assert((uintptr_t)scratch % sizeof(float) == 0);
  assert(weights->codes != NULL && weights->scales != NULL);
  assert((weights->zero_points != NULL) == tfc_stores_zero_points(attributes));
  assert((weights->indices == NULL) == (attributes->sparsity_n == TFC_SPARSITY_M));
  const bool is_qd8 = attributes->int8_activations;
  const int64_t panels = tfc_fully_connected_panels(attributes);
  const int64_t code_bytes = tfc_fully_connected_panel_words(attributes, attributes->weight_bits) * TFC_PANEL_WORD;
  const int64_t index_bytes = tfc_fully_connected_panel_words(attributes, TFC_INDEX_BITS) * TFC_PANEL_WORD;
  const int tasks = (int)((panels + TFC_MAX_NT - 1) / TFC_MAX_NT);
  const int at_once = tfc_is_memory_bound(attributes->weight_bits, x->m) ? 1 : TFC_MAX_NT;
  float* windows = scratch;
  for (int64_t first = 0, rows; first < x->m; first += rows) {
    const tfc_qd8_gemm_kernels* qd8 = is_qd8 ? tfc_qd8_gemm_of(context->kernels, attributes, x->m - first) : NULL;
    rows = tfc_min(x->m - first, chunk_rows(qd8));
    tfc_chunk chunk = {
        .qd8 = qd8,
        .f32 = is_qd8 ? NULL : tfc_f32_gemm_of(context->kernels),
        .attributes = attributes,
        .weights = weights,
        .next = first + rows < x->m ? weights : next,
        .panels = panels,
        .code_bytes = code_bytes,
        .index_bytes = index_bytes,
        .codes_distance = prefetch_distance(code_bytes, at_once),
        .indices_distance = prefetch_distance(index_bytes, at_once),
        .packed = divide_scratch(attributes, rows, attributes->window == 0 ? scratch : windows + rows * attributes->k),
        .rows = rows,
        .x = gather_rows(attributes, x, first, rows, windows),
        .y = y + first * attributes->n,
    };
    pack(&chunk);
    tfc_thread_pool_run(context->pool, tasks, compute_panels, &chunk);
  }
}
