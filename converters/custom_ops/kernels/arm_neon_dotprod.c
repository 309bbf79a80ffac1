/* 64-bit Arm with dot products of signed bytes (from Armv8.2, as Cortex-A76). */
#include "kernel.h"

#if defined(__aarch64__)

#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define QD8_MR 8

#include <sys/auxv.h>

#include "arm_dot_products.h"

#include "arm_qd8_gemm.h"

static bool is_available(void) {
  enum { HAS_DOT_PRODUCTS = 1 << 20 }; /* HWCAP_ASIMDDP of the Linux kernel's interface */
  return (getauxval(AT_HWCAP) & HAS_DOT_PRODUCTS) != 0;
}

TFC_DEFINE_QD8_GEMM(neondot, 8, MAX_BLOCK_GROUPS, tfc_qd8_pack_lhs__neon, tfc_epilogue__neon)
TFC_KERNEL_SET(neondot, neon, "neon_dotprod")

#endif
