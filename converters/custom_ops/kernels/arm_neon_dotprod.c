/* 64-bit Arm with dot products of signed bytes (from Armv8.2, as Cortex-A76). */
#if defined(__aarch64__)

#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))

#include <sys/auxv.h>

#include "arm_dot_products.h"

#include "arm_integer.h"

static bool is_available(void) {
  enum { HAS_DOT_PRODUCTS = 1 << 20 }; /* HWCAP_ASIMDDP of the kernel's interface */
  return (getauxval(AT_HWCAP) & HAS_DOT_PRODUCTS) != 0;
}

const Kernel arm_neon_dotprod_kernel = {
    .name = "neon_dotprod",
    .is_available = is_available,
    .integer_rows = INTEGER_ROWS,
    .float_rows = 4,
    .integer_product = integer_product,
    .float_product = arm_float_product,
    .quantize_rows = arm_quantize_rows,
    .finish_rows = arm_finish_rows,
    .convolve_frames = arm_convolve_frames,
    .normalize_rows = arm_normalize_rows,
    .multiply_matrix = arm_multiply_matrix,
    .exponentiate_scores = arm_exponentiate_scores,
};

#else
typedef int NothingForThisProcessor; /* an empty translation unit is not C */
#endif
