#pragma once
#include <sys/types.h>
typedef struct {
  unsigned long bits[16]; /* 1024 processors */
} cpu_set_t;
#define CPU_ISSET(cpu, set) ((set)->bits[(cpu) / 64] >> ((cpu) % 64) & 1)
int sched_getaffinity(pid_t, size_t, cpu_set_t*);
int sched_yield(void);
