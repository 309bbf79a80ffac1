#pragma once
#include <sys/types.h>
#define F_OK 0
#define R_OK 4
/* Bionic's own numbers, not those of other C libraries. */
#define _SC_PAGESIZE 0x0027
#define _SC_NPROCESSORS_CONF 0x0060
#define _SC_NPROCESSORS_ONLN 0x0061
int access(const char*, int);
int close(int);
int fsync(int);
off_t lseek(int, off_t, int);
ssize_t read(int, void*, size_t);
ssize_t readlink(const char*, char*, size_t);
long sysconf(int);
ssize_t write(int, const void*, size_t);
