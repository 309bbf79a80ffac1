/* A layer as products of a few rows with a few tiles. */
#include "fully_connected.h"

#include <string.h>

#include "../kernels/loops.h"

enum {
  CHUNK = 64, /* rows for which x is prepared at a time, so that they stay in a cache while the weights pass by */
  SUM_LANES = 16, /* partial sums of a block of float inputs */
  AHEAD = 16384, /* bytes of weights that are fetched ahead, which hides the latency of memory */
};

/* A chunk of rows is cut into groups of powers of 2, the largest that the kernel takes first. */
static int group_rows(int64_t rows, int most) {
  int group = most;
  while (group > rows) group /= 2;
  return group;
}

/* What is prepared of a chunk of rows; the arrays lie in the caller's scratch memory, behind copied windows if there are
 * any. Rows of a group are together. */
typedef struct {
  float* scales;      /* [rows] */
  int32_t* code_sums; /* [rows, blocks], */
  float* sums;        /* or these with float activations */
  int8_t* windows;    /* [rows, row_codes] */
  int64_t row_codes;
} PreparedRows;

/* Codes of a row, padded to whole cells. */
static int64_t row_codes(const FullyConnectedAttributes* attributes) {
  const int bits = attributes->weight_bits;
  return fully_connected_tile_cells(attributes, bits) * (cell_codes(bits) / GROUP) * window_codes(attributes);
}

static bool needs_float_sums(const FullyConnectedAttributes* attributes) {
  return !attributes->int8_activations && !attributes->symmetric && attributes->kept == GROUP;
}

int64_t fully_connected_scratch_bytes(const FullyConnectedAttributes* attributes, int64_t rows) {
  int64_t row_bytes = attributes->window == 0 ? 0 : (int64_t)sizeof(float) * attributes->k;
  if (attributes->int8_activations) {
    row_bytes += (int64_t)sizeof(float) + (int64_t)sizeof(int32_t) * attributes->blocks + row_codes(attributes);
  } else if (needs_float_sums(attributes)) {
    row_bytes += (int64_t)sizeof(float) * attributes->blocks;
  }
  return smaller(rows, CHUNK) * row_bytes;
}

static PreparedRows place(const FullyConnectedAttributes* attributes, int64_t rows, void* scratch) {
  PreparedRows prepared = {0};
  if (attributes->int8_activations) {
    prepared.scales = scratch;
    prepared.code_sums = (int32_t*)(prepared.scales + rows);
    prepared.windows = (int8_t*)(prepared.code_sums + rows * attributes->blocks);
    prepared.row_codes = row_codes(attributes);
  } else if (needs_float_sums(attributes)) {
    prepared.sums = scratch;
  }
  return prepared;
}

static QuantizedRows quantized_group(const FullyConnectedAttributes* attributes, const PreparedRows* prepared,
                                     int64_t first, int rows) {
  return (QuantizedRows){
      .rows = rows,
      .windows = prepared->windows + first * prepared->row_codes,
      .code_sums = prepared->code_sums + first * attributes->blocks,
  };
}

static FloatRows float_group(const FullyConnectedAttributes* attributes, const PreparedRows* prepared, const float* x,
                             int64_t first, int rows) {
  return (FloatRows){
      .rows = rows,
      .values = x + first * attributes->k,
      .sums = prepared->sums == NULL ? NULL : prepared->sums + first * attributes->blocks,
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

/* Rows of x: where they are, or windows, copied to `target`. */
static const float* chunk_rows(const FullyConnectedAttributes* attributes, const FullyConnectedInput* x, int64_t first,
                               int64_t count, float* target) {
  const int64_t k = attributes->k, window = attributes->window, stride = attributes->stride;
  if (window == 0) return x->values + first * k;
  const int64_t channels = k / (window * window), line = x->width * channels;
  const int64_t across = fully_connected_windows(attributes, x->width);
  const int64_t down = fully_connected_windows(attributes, x->height);
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

static void prepare(const Kernel* kernel, const FullyConnectedAttributes* attributes, int64_t rows, const float* x,
                    PreparedRows* prepared) {
  const int64_t k = attributes->k, block_length = attributes->block_length;
  if (prepared->windows != NULL) {
    for (int64_t first = 0; first < rows;) {
      QuantizedRows group =
          quantized_group(attributes, prepared, first, group_rows(rows - first, kernel->integer_rows));
      kernel->quantize_rows(attributes, x + first * k, &group, prepared->scales + first);
      first += group.rows;
    }
  } else if (prepared->sums != NULL) {
    float* sums = prepared->sums;
    for (int64_t first = 0; first < rows;) {
      const int group = group_rows(rows - first, kernel->float_rows);
      for (int64_t b = 0; b < attributes->blocks; ++b) {
        const int64_t at = b * block_length, length = smaller(block_length, k - at);
        for (int m = 0; m < group; ++m) *sums++ = block_sum(x + (first + m) * k + at, length);
      }
      first += group;
    }
  }
}

/* A chunk of rows with all tiles of a layer. */
typedef struct {
  const Kernel* kernel;
  const FullyConnectedAttributes* attributes;
  const FullyConnectedWeights* weights;
  const FullyConnectedWeights* next; /* what is needed after the last tile */
  int64_t tiles;
  int64_t code_bytes, position_bytes;   /* of a tile */
  int64_t codes_ahead, positions_ahead; /* how many tiles ahead they are fetched */
  const PreparedRows* prepared;
  int64_t rows;
  const float* x;
  float* y;
} Chunk;

/* Tiles of so many bytes that lie between what is used and what is fetched. */
static int64_t tiles_ahead(int64_t tile_bytes, int tiles_at_once) {
  return larger((AHEAD + tile_bytes - 1) / tile_bytes, tiles_at_once);
}

/* From something of a tile to the same of so many tiles later or, near the end, the beginning of `next`. */
static int64_t bytes_ahead(const Chunk* chunk, int64_t tile, int64_t ahead, int64_t tile_bytes, const uint8_t* first,
                           const uint8_t* next) {
  if (tile + ahead < chunk->tiles || next == NULL) return ahead * tile_bytes;
  return ((intptr_t)next - (intptr_t)first) + (ahead - chunk->tiles) * tile_bytes;
}

static WeightTile weight_tile(const Chunk* chunk, int64_t tile) {
  const FullyConnectedWeights *weights = chunk->weights, *next = chunk->next;
  const int64_t at = tile * chunk->attributes->blocks * TILE;
  WeightTile view = {
      .codes = weights->codes + tile * chunk->code_bytes,
      .scales = weights->scales + at,
      .codes_ahead = bytes_ahead(chunk, tile, chunk->codes_ahead, chunk->code_bytes, weights->codes, next->codes),
  };
  if (weights->offsets != NULL) view.offsets = weights->offsets + at;
  if (weights->positions != NULL) {
    view.positions = weights->positions + tile * chunk->position_bytes;
    view.positions_ahead = bytes_ahead(chunk, tile, chunk->positions_ahead, chunk->position_bytes, weights->positions,
                                       next->positions);
  }
  return view;
}

/* Inlined, as all that fetch: gcc takes a function that does nothing else for one without effect and drops its calls. */
INLINE void fetch(const void* first, int64_t bytes) {
  enum { LINE = 64 };
  for (int64_t i = 0; i < bytes; i += LINE) __builtin_prefetch((const char*)first + i);
}

/* Fetches scales, offsets and biases of MAX_TILES tiles, from `tile` on. */
INLINE void fetch_constants(const Chunk* chunk, int64_t tile) {
  const bool is_beyond = tile >= chunk->tiles;
  const FullyConnectedWeights* weights = is_beyond ? chunk->next : chunk->weights;
  const int64_t blocks = chunk->attributes->blocks, at = is_beyond ? 0 : tile * TILE, count = MAX_TILES * TILE;
  if (weights->scales != NULL) fetch(weights->scales + at * blocks, count * blocks * (int64_t)sizeof(uint16_t));
  if (weights->offsets != NULL) fetch(weights->offsets + at * blocks, count * blocks * (int64_t)sizeof(uint16_t));
  if (weights->bias != NULL) fetch(weights->bias + at, count * (int64_t)sizeof(float));
}

/* The product reads for so long that its results find their place in the cache when they are written. */
INLINE void fetch_outputs(const float* y, int rows, int channels, int64_t stride) {
  for (int m = 0; m < rows; ++m) {
    for (int c = 0; c < channels; c += TILE) __builtin_prefetch(y + m * stride + c, 1);
  }
}

/* Computes the tiles from MAX_TILES * index on, MAX_TILES of them or what is left. */
static void compute_tiles(void* context, int index) {
  static const float no_bias[MAX_TILES * TILE];
  const Chunk* chunk = context;
  const FullyConnectedAttributes* attributes = chunk->attributes;
  const PreparedRows* prepared = chunk->prepared;
  const int64_t first_tile = (int64_t)index * MAX_TILES, channel = first_tile * TILE, stride = attributes->n;
  const int count = (int)smaller(MAX_TILES, chunk->tiles - first_tile);
  const int channels = (int)smaller(count * TILE, attributes->n - channel);
  const float* bias = chunk->weights->bias == NULL ? no_bias : chunk->weights->bias + channel;
  WeightTile tiles[MAX_TILES];
  for (int t = 0; t < count; ++t) tiles[t] = weight_tile(chunk, first_tile + t);
  fetch_constants(chunk, first_tile + MAX_TILES);
  const int most_rows = attributes->int8_activations ? chunk->kernel->integer_rows : chunk->kernel->float_rows;
  for (int64_t first = 0; first < chunk->rows;) {
    float totals[MAX_TILES * MAX_ROWS][TILE];
    const int group = group_rows(chunk->rows - first, most_rows);
    float* y = chunk->y + first * stride + channel;
    fetch_outputs(y, group, channels, stride);
    if (attributes->int8_activations) {
      const QuantizedRows quantized = quantized_group(attributes, prepared, first, group);
      chunk->kernel->integer_product(attributes, tiles, count, &quantized, totals);
    } else {
      const FloatRows values = float_group(attributes, prepared, chunk->x, first, group);
      chunk->kernel->float_product(attributes, tiles, count, &values, totals);
    }
    chunk->kernel->finish_rows(totals, group, prepared->scales == NULL ? NULL : prepared->scales + first, bias,
                               attributes->activation, channels, y, stride);
    for (int t = 0; t < count; ++t) tiles[t].codes_ahead = tiles[t].positions_ahead = 0; /* fetched by now */
    first += group;
  }
}

void fully_connected(const Kernel* kernel, ThreadPool* pool, const FullyConnectedAttributes* attributes,
                     const FullyConnectedWeights* weights, const FullyConnectedWeights* next,
                     const FullyConnectedInput* x, void* scratch, float* y) {
  const int64_t tiles = fully_connected_tiles(attributes);
  const int64_t code_bytes = fully_connected_tile_cells(attributes, attributes->weight_bits) * CELL;
  const int64_t position_bytes = fully_connected_tile_cells(attributes, POSITION_BITS) * CELL;
  const int tasks = (int)((tiles + MAX_TILES - 1) / MAX_TILES);
  const int tiles_at_once = reads_in_sequence(attributes->weight_bits, x->rows) ? 1 : MAX_TILES;
  float* windows = scratch;
  for (int64_t first = 0; first < x->rows; first += CHUNK) {
    const int64_t count = smaller(CHUNK, x->rows - first);
    PreparedRows prepared =
        place(attributes, count, attributes->window == 0 ? scratch : windows + count * attributes->k);
    Chunk chunk = {
        .kernel = kernel,
        .attributes = attributes,
        .weights = weights,
        .next = first + count < x->rows ? weights : next,
        .tiles = tiles,
        .code_bytes = code_bytes,
        .position_bytes = position_bytes,
        .codes_ahead = tiles_ahead(code_bytes, tiles_at_once),
        .positions_ahead = tiles_ahead(position_bytes, tiles_at_once),
        .prepared = &prepared,
        .rows = count,
        .x = chunk_rows(attributes, x, first, count, windows),
        .y = y + first * attributes->n,
    };
    prepare(kernel, attributes, count, chunk.x, &prepared);
    thread_pool_run(pool, tasks, compute_tiles, &chunk);
  }
}
