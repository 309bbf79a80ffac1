#pragma once
int* __errno(void) __attribute__((const));
#define errno (*__errno())
#define ENOENT 2
#define ENOMEM 12
#define EINVAL 22
#define ENOSPC 28
#define ERANGE 34
