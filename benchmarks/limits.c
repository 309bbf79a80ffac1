/* The limits of one core of this machine: bytes read per second from buffers of several sizes, float multiply-adds and
 * 8-bit integer multiply-adds per second. Prints "name value" lines; rates count a multiplication and an addition as
 * two operations. The best of several short runs is taken, in CPU time of the thread. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPEATS = 40 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Keeps a value alive without storing it; `v` names a vector register on both architectures. */
#if defined(__x86_64__)
#define KEEP(value) __asm__ volatile("" : "+v"(value))
#elif defined(__aarch64__)
#define KEEP(value) __asm__ volatile("" : "+w"(value))
#endif

#define ALL(step) \
  step(s0) step(s1) step(s2) step(s3) step(s4) step(s5) step(s6) step(s7) step(s8) step(s9) step(s10) step(s11)
enum { CHAINS = 12 }; /* independent sums, enough to hide the latency of any core */

#define KEEP_STEP(s) KEEP(s);
/* Applies `step` to every chain again and again and prints the best rate. */
#define RATE(name, type, zero, operations, step)                                                       \
  do {                                                                                                 \
    const int rounds = 100000;                                                                         \
    double best = 1e30;                                                                                \
    for (int repeat = 0; repeat < REPEATS; ++repeat) {                                                 \
      type s0 = zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0, s9 = s0; \
      type s10 = s0, s11 = s0;                                                                         \
      const double start = now();                                                                      \
      for (int round = 0; round < rounds; ++round) {                                                   \
        ALL(step)                                                                                      \
        ALL(KEEP_STEP)                                                                                 \
      }                                                                                                \
      const double seconds = now() - start;                                                            \
      if (seconds < best) best = seconds;                                                              \
    }                                                                                                  \
    printf("%s %.4g\n", name, (double)(operations) * CHAINS * rounds / best);                          \
  } while (0)

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__AVX512F__)
typedef __m512i Vector;
#define LOAD(p) _mm512_load_si512(p)
#define OR(a, b) _mm512_or_si512(a, b)
#define ZERO _mm512_setzero_si512()
#elif defined(__AVX2__)
typedef __m256i Vector;
#define LOAD(p) _mm256_load_si256((const __m256i*)(p))
#define OR(a, b) _mm256_or_si256(a, b)
#define ZERO _mm256_setzero_si256()
#else
typedef __m128i Vector;
#define LOAD(p) _mm_load_si128((const __m128i*)(p))
#define OR(a, b) _mm_or_si128(a, b)
#define ZERO _mm_setzero_si128()
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
typedef uint8x16_t Vector;
#define LOAD(p) vld1q_u8((const uint8_t*)(p))
#define OR(a, b) vorrq_u8(a, b)
#define ZERO vdupq_n_u8(0)
#endif

static double read_rate(const uint8_t* bytes, size_t size) {
  const size_t passes = size < ((size_t)1 << 26) ? ((size_t)1 << 26) / size : 1;
  double best = 1e30;
  for (int repeat = 0; repeat < REPEATS / 4; ++repeat) {
    const double start = now();
    for (size_t pass = 0; pass < passes; ++pass) {
      Vector a = ZERO, b = ZERO, c = ZERO, d = ZERO;
      for (size_t i = 0; i < size; i += 4 * sizeof(Vector)) {
        a = OR(a, LOAD(bytes + i));
        b = OR(b, LOAD(bytes + i + sizeof(Vector)));
        c = OR(c, LOAD(bytes + i + 2 * sizeof(Vector)));
        d = OR(d, LOAD(bytes + i + 3 * sizeof(Vector)));
      }
      a = OR(OR(a, b), OR(c, d));
      KEEP(a);
    }
    const double seconds = now() - start;
    if (seconds < best) best = seconds;
  }
  return (double)size * (double)passes / best;
}

#if defined(__AVX512F__)
#define FMA_512(s) s = _mm512_fmadd_ps(half, half, s);
static void measure_fma_512(void) {
  __m512 half = _mm512_set1_ps(0.5f);
  RATE("float avx512 vfmadd", __m512, _mm512_setzero_ps(), 32, FMA_512);
}
#endif
#if defined(__AVX512VNNI__)
#define DOT_512(s) s = _mm512_dpbusd_epi32(s, one, one);
static void measure_dot_512(void) {
  __m512i one = _mm512_set1_epi8(1);
  RATE("int8 avx512 vpdpbusd", __m512i, _mm512_setzero_si512(), 128, DOT_512);
}
#endif
#if defined(__AMX_INT8__)
#include <sys/syscall.h>
#include <unistd.h>
/* Four accumulators hide the latency of a tile product, 16 x 16 sums of 64 products each. */
static void measure_amx(void) {
  enum { TILES = 8, TILE_ROWS = 16, TILE_COLUMNS = 64, ACCS = 4, ROUNDS = 20000 };
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM and XFEATURE_XTILEDATA of Linux */
  if (syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) != 0) return;
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } configuration = {.palette = 1};
  for (int i = 0; i < TILES; ++i) configuration.row_bytes[i] = TILE_COLUMNS, configuration.rows[i] = TILE_ROWS;
  __asm__ volatile("ldtilecfg %0" ::"m"(configuration));
  double best = 1e30;
  for (int repeat = 0; repeat < REPEATS; ++repeat) {
    const double start = now();
    for (int round = 0; round < ROUNDS; ++round) {
      __asm__ volatile(
          "tdpbssd %tmm6, %tmm4, %tmm0\n\ttdpbssd %tmm7, %tmm4, %tmm1\n\t"
          "tdpbssd %tmm6, %tmm5, %tmm2\n\ttdpbssd %tmm7, %tmm5, %tmm3");
    }
    const double seconds = now() - start;
    if (seconds < best) best = seconds;
  }
  __asm__ volatile("tilerelease");
  const double operations = 2.0 * TILE_ROWS * (TILE_COLUMNS / 4) * TILE_COLUMNS;
  printf("int8 amx tdpbssd %.4g\n", operations * ACCS * ROUNDS / best);
}
#endif
#if defined(__AVX2__) && defined(__FMA__)
#define FMA_256(s) s = _mm256_fmadd_ps(half, half, s);
/* An operand that changes in the compiler's eyes, so that the product is not taken out of the loop. */
#define MADD_16(s) \
  KEEP(one);       \
  s = _mm256_add_epi16(s, _mm256_maddubs_epi16(one, one));
#define MADD_32(s) \
  KEEP(one);       \
  s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(one, one), pair));
static void measure_256(void) {
  __m256 half = _mm256_set1_ps(0.5f);
  __m256i one = _mm256_set1_epi8(1), pair = _mm256_set1_epi16(1);
  RATE("float avx2 vfmadd", __m256, _mm256_setzero_ps(), 16, FMA_256);
  RATE("int8 avx2 vpmaddubsw+vpaddw", __m256i, _mm256_setzero_si256(), 64, MADD_16);
  RATE("int8 avx2 vpmaddubsw+vpmaddwd+vpaddd", __m256i, _mm256_setzero_si256(), 64, MADD_32);
}
#endif
#if defined(__aarch64__)
#define FMLA(s) s = vfmaq_f32(s, half, half);
#define SMLAL(s) s = vmlal_s8(s, vget_low_s8(one), vget_low_s8(one));
#define SDOT(s) s = vdotq_s32(s, one, one);
#define SMMLA(s) s = vmmlaq_s32(s, one, one);
static void measure_neon(void) {
  float32x4_t half = vdupq_n_f32(0.5f);
  int8x16_t one = vdupq_n_s8(1);
  RATE("float neon fmla", float32x4_t, vdupq_n_f32(0), 8, FMLA);
  RATE("int8 neon smlal", int16x8_t, vdupq_n_s16(0), 16, SMLAL);
#if defined(__ARM_FEATURE_DOTPROD)
  RATE("int8 neon sdot", int32x4_t, vdupq_n_s32(0), 32, SDOT);
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
  RATE("int8 neon smmla", int32x4_t, vdupq_n_s32(0), 64, SMMLA);
#endif
}
#endif

int main(void) {
  const size_t largest = (size_t)1 << 28;
  uint8_t* bytes = aligned_alloc(64, largest);
  if (bytes == NULL) return 1;
  memset(bytes, 1, largest);
  for (size_t size = (size_t)1 << 14; size <= largest; size *= 2) {
    printf("read %zu %.4g\n", size, read_rate(bytes, size));
  }
#if defined(__AVX512F__)
  measure_fma_512();
#endif
#if defined(__AVX512VNNI__)
  measure_dot_512();
#endif
#if defined(__AMX_INT8__)
  measure_amx();
#endif
#if defined(__AVX2__) && defined(__FMA__)
  measure_256();
#endif
#if defined(__aarch64__)
  measure_neon();
#endif
  free(bytes);
  return 0;
}
