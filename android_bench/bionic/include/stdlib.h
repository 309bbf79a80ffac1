#pragma once
#include <stddef.h>
void* malloc(size_t);
void* calloc(size_t, size_t);
void* realloc(void*, size_t);
void free(void*);
int atoi(const char*);
long strtol(const char*, char**, int);
long long strtoll(const char*, char**, int);
void qsort(void*, size_t, size_t, int (*)(const void*, const void*));
_Noreturn void abort(void);
_Noreturn void exit(int);
