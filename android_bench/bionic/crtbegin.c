/* The entry of an Android program, as the NDK's crtbegin. The programs of this project have no constructors or
 * destructors. */
#include <stddef.h>
#include <stdint.h>

typedef struct {
  void (**preinit_array)(void);
  void (**init_array)(void);
  void (**fini_array)(void);
  size_t reserved[4]; /* later versions of the structure are longer */
} Structors;

int main(int count, char** words, char** environment);
_Noreturn void __libc_init(void* stack, void (*on_exit)(void), int (*program)(int, char**, char**),
                           const Structors* structors);

__attribute__((used)) static void start(void* stack) {
  static const Structors none = {0};
  __libc_init(stack, NULL, main, &none);
}

#if defined(__aarch64__)
__asm__(".globl _start\n_start:\n  mov x29, #0\n  mov x30, #0\n  mov x0, sp\n  b start\n");
#elif defined(__x86_64__)
__asm__(".globl _start\n_start:\n  xorl %ebp, %ebp\n  movq %rsp, %rdi\n  andq $-16, %rsp\n  call start\n  hlt\n");
#endif
