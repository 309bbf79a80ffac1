/* The kernels there are, the fastest first. */
#include <string.h>

#include "kernel.h"

extern const Kernel portable_kernel;
#if defined(__x86_64__)
extern const Kernel x86_avx512_vnni_kernel, x86_avx2_kernel;
#elif defined(__aarch64__)
extern const Kernel arm_i8mm_kernel, arm_neon_dotprod_kernel, arm_neon_kernel;
#endif

static const Kernel* const kernels[] = {
#if defined(__x86_64__)
    &x86_avx512_vnni_kernel,
    &x86_avx2_kernel,
#elif defined(__aarch64__)
    &arm_i8mm_kernel,
    &arm_neon_dotprod_kernel,
    &arm_neon_kernel,
#endif
    &portable_kernel,
};

enum { KERNELS = sizeof kernels / sizeof kernels[0] };

const Kernel* find_kernel(const char* name) {
  for (int i = 0; i < KERNELS; ++i) {
    if ((name == NULL || strcmp(name, kernels[i]->name) == 0) && kernels[i]->is_available()) return kernels[i];
  }
  return NULL;
}

const char* kernel_name(int index) {
  for (int i = 0; i < KERNELS; ++i) {
    if (kernels[i]->is_available() && index-- == 0) return kernels[i]->name;
  }
  return NULL;
}
