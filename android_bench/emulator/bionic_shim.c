/* The functions of Android's C library that musl lacks, so that programs and libraries built for Android run on musl's
 * loader under an emulator. It is loaded before them, as liblog.so. */
#include <stdarg.h>
#include <stddef.h>

/* Of musl. */
int* __errno_location(void);
int __libc_start_main(int (*program)(int, char**, char**), int count, char** words);
void* dlsym(void* library, const char* name);
int dprintf(int descriptor, const char* format, ...);
int vdprintf(int descriptor, const char* format, va_list arguments);
_Noreturn void abort(void);
void* memmove(void* to, const void* from, size_t count);
int open(const char* path, int flags, ...);
long read(int descriptor, void* bytes, size_t count);
size_t strlen(const char* text);
int vsnprintf(char* text, size_t size, const char* format, va_list arguments);
long long strtoll(const char* text, char** end, int base);
unsigned long long strtoull(const char* text, char** end, int base);

enum { STANDARD_ERROR = 2, FILE_SIZE = 152 };

int* __errno(void) { return __errno_location(); }

/* `stack` is as the kernel leaves it: the number of words, then their addresses. */
_Noreturn void __libc_init(void* stack, void (*on_exit)(void), int (*program)(int, char**, char**),
                           const void* structors) {
  (void)on_exit, (void)structors;
  const long* words = stack;
  __libc_start_main(program, (int)words[0], (char**)(words + 1));
  abort();
}

/* Bionic numbers its names differently. */
long sysconf(int name) {
  static long (*next)(int);
  if (next == NULL) *(void**)&next = dlsym((void*)-1, "sysconf");
  switch (name) {
    case 0x27: /* _SC_PAGESIZE */
      return next(30);
    case 0x60: /* _SC_NPROCESSORS_CONF */
      return next(83);
    case 0x61: /* _SC_NPROCESSORS_ONLN */
      return next(84);
  }
  return next(name);
}

int __system_property_get(const char* name, char* value) {
  (void)name;
  value[0] = '\0';
  return 0;
}

/* ---- Log ---- */

int __android_log_write(int priority, const char* tag, const char* text) {
  return dprintf(STANDARD_ERROR, "%c/%s: %s\n", "??VDIWEFS"[priority], tag, text);
}

int __android_log_vprint(int priority, const char* tag, const char* format, va_list arguments) {
  dprintf(STANDARD_ERROR, "%c/%s: ", "??VDIWEFS"[priority], tag);
  vdprintf(STANDARD_ERROR, format, arguments);
  return dprintf(STANDARD_ERROR, "\n");
}

int __android_log_print(int priority, const char* tag, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = __android_log_vprint(priority, tag, format, arguments);
  va_end(arguments);
  return written;
}

void android_set_abort_message(const char* text) { dprintf(STANDARD_ERROR, "abort: %s\n", text); }

/* ---- Functions with checks, which compilers for Android call instead of the plain ones ---- */

char __sF[3 * FILE_SIZE]; /* the standard streams of old programs; only its address is taken */

static void require(int holds) {
  if (!holds) abort();
}

void* __memmove_chk(void* to, const void* from, size_t count, size_t room) {
  require(count <= room);
  return memmove(to, from, count);
}

int __open_2(const char* path, int flags) { return open(path, flags); }

long __read_chk(int descriptor, void* bytes, size_t count, size_t room) {
  require(count <= room);
  return read(descriptor, bytes, count);
}

size_t __strlen_chk(const char* text, size_t room) {
  const size_t length = strlen(text);
  require(length < room);
  return length;
}

int __vsnprintf_chk(char* text, size_t size, int flags, size_t room, const char* format, va_list arguments) {
  (void)flags;
  require(size <= room);
  return vsnprintf(text, size, format, arguments);
}

/* ---- Others ---- */

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void* library) {
  (void)prepare, (void)parent, (void)child, (void)library;
  return 0;
}

long long strtoll_l(const char* text, char** end, int base, void* locale) {
  (void)locale;
  return strtoll(text, end, base);
}

unsigned long long strtoull_l(const char* text, char** end, int base, void* locale) {
  (void)locale;
  return strtoull(text, end, base);
}
