/* The properties of a phone. An app may not be allowed to read them; unknown ones stay empty or zero. */
#ifndef TFCONFORMER_BENCH_DEVICE_H_
#define TFCONFORMER_BENCH_DEVICE_H_

#include <stdbool.h>
#include <stdint.h>

enum { MAX_CORES = 64, MAX_ZONES = 64, DEVICE_TEXT_SIZE = 128, FEATURES_SIZE = 4096 };

typedef struct {
  char part[16];     /* "0x41:0xd05", implementer and part of an Arm core */
  char governor[24]; /* of its clock */
  int64_t max_khz;
} Core;

typedef struct {
  char model[DEVICE_TEXT_SIZE];  /* of the phone */
  char system[DEVICE_TEXT_SIZE]; /* "Android 14 (API 34)" */
  char chip[DEVICE_TEXT_SIZE];   /* of the processor */
  char features[FEATURES_SIZE];  /* as in /proc/cpuinfo, separated by spaces */
  int cores;
  Core core[MAX_CORES];
} Device;

typedef struct {
  char name[32];
  double celsius;
} ThermalZone;

typedef struct {
  int status; /* 0 none .. 6 shutdown, as Android's PowerManager counts; -1 unknown */
  int zones;
  ThermalZone zone[MAX_ZONES];
} Thermal;

typedef struct {
  int64_t resident_kb;
  int64_t peak_kb;
} Memory;

void read_device(Device* device);
void read_thermal(Thermal* thermal);
/* Of this process. */
void read_memory(Memory* memory);
/* Processors that this process may run on, as indices. Returns their number. */
int read_affinity(int processors[MAX_CORES]);
/* Processors of the machine. */
int count_processors(void);

#endif
