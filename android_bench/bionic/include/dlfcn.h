#pragma once
#define RTLD_LAZY 1
#define RTLD_NOW 2
void* dlopen(const char*, int);
void* dlsym(void*, const char*);
char* dlerror(void);
int dlclose(void*);
