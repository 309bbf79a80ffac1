#ifndef NDEBUG
#error "the Android build has no assertions: compile with -DNDEBUG"
#endif
#undef assert
#define assert(expression) ((void)0)
