#include "device.h"

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity on Linux */
#endif
#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __ANDROID__
#include <sys/system_properties.h>
#endif

#include "files.h"

/* ---- Android's properties ---- */

static void read_property(const char* name, char* value, size_t size) {
#ifdef __ANDROID__
  char text[PROP_VALUE_MAX] = "";
  __system_property_get(name, text);
  snprintf(value, size, "%s", text);
#else
  (void)name;
  if (size > 0) value[0] = '\0';
#endif
}

static void read_product(Device* device) {
  char maker[DEVICE_TEXT_SIZE / 2], model[DEVICE_TEXT_SIZE / 2 - 1], release[32], level[16];
  read_property("ro.product.manufacturer", maker, sizeof maker);
  read_property("ro.product.model", model, sizeof model);
  if (model[0] != '\0') snprintf(device->model, sizeof device->model, "%s %s", maker, model);
  read_property("ro.build.version.release", release, sizeof release);
  read_property("ro.build.version.sdk", level, sizeof level);
  if (release[0] != '\0') snprintf(device->system, sizeof device->system, "Android %s (API %s)", release, level);
  read_property("ro.soc.model", device->chip, sizeof device->chip);
}

/* ---- /proc/cpuinfo ---- */

/* The text after the colon if the line begins with `key`. */
static const char* value_of(const char* line, const char* key) {
  const size_t length = strlen(key);
  if (strncmp(line, key, length) != 0) return NULL;
  const char* colon = line + length + strspn(line + length, " \t");
  return *colon == ':' ? colon + 1 + strspn(colon + 1, " \t") : NULL;
}

static void set_once(char* text, size_t size, const char* value) {
  if (text[0] == '\0') snprintf(text, size, "%s", value);
}

static void read_cpuinfo_line(Device* device, const char* line, int* processor, char implementer[8]) {
  const char* value;
  if ((value = value_of(line, "processor")) != NULL) {
    *processor = atoi(value);
  } else if ((value = value_of(line, "Features")) != NULL || (value = value_of(line, "flags")) != NULL) {
    set_once(device->features, sizeof device->features, value);
  } else if ((value = value_of(line, "Hardware")) != NULL || (value = value_of(line, "model name")) != NULL) {
    set_once(device->chip, sizeof device->chip, value);
  } else if ((value = value_of(line, "CPU implementer")) != NULL) {
    snprintf(implementer, 8, "%s", value);
  } else if ((value = value_of(line, "CPU part")) != NULL && *processor >= 0 && *processor < MAX_CORES) {
    snprintf(device->core[*processor].part, sizeof device->core[0].part, "%s:%.7s", implementer, value);
  }
}

static void read_cpuinfo(Device* device) {
  FILE* file = fopen("/proc/cpuinfo", "r");
  if (file == NULL) return;
  static char line[FEATURES_SIZE];
  int processor = -1;
  char implementer[8] = "";
  while (fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    read_cpuinfo_line(device, line, &processor, implementer);
  }
  fclose(file);
}

static void read_clock(Core* core, int index) {
  char path[96], text[24];
  const char* folder = "/sys/devices/system/cpu/cpu";
  snprintf(path, sizeof path, "%s%d/cpufreq/scaling_governor", folder, index);
  if (!read_line_file(path, core->governor, sizeof core->governor)) core->governor[0] = '\0';
  snprintf(path, sizeof path, "%s%d/cpufreq/cpuinfo_max_freq", folder, index);
  core->max_khz = read_line_file(path, text, sizeof text) ? atoi(text) : 0;
}

void read_device(Device* device) {
  memset(device, 0, sizeof *device);
  const int processors = count_processors();
  device->cores = processors < MAX_CORES ? processors : MAX_CORES;
  read_product(device);
  read_cpuinfo(device);
  for (int i = 0; i < device->cores; ++i) read_clock(&device->core[i], i);
}

/* ---- Heat ---- */

/* Android's own judgement, since API 30; looked up, because the program runs on older systems too. */
static int read_thermal_status(void) {
  int status = -1;
  void* library = dlopen("libandroid.so", RTLD_NOW);
  if (library == NULL) return status;
  void* (*acquire)(void);
  int (*get_status)(void*);
  void (*release)(void*);
  *(void**)&acquire = dlsym(library, "AThermal_acquireManager");
  *(void**)&get_status = dlsym(library, "AThermal_getCurrentThermalStatus");
  *(void**)&release = dlsym(library, "AThermal_releaseManager");
  if (acquire != NULL && get_status != NULL && release != NULL) {
    void* manager = acquire();
    if (manager != NULL) {
      status = get_status(manager);
      release(manager);
    }
  }
  dlclose(library);
  return status;
}

void read_thermal(Thermal* thermal) {
  memset(thermal, 0, sizeof *thermal);
  thermal->status = read_thermal_status();
  for (int i = 0; i < MAX_ZONES; ++i) {
    char path[64], text[24];
    ThermalZone* zone = &thermal->zone[thermal->zones];
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", i);
    if (!read_line_file(path, text, sizeof text)) continue;
    zone->celsius = atoi(text) / 1000.0;
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/type", i);
    if (!read_line_file(path, zone->name, sizeof zone->name)) snprintf(zone->name, sizeof zone->name, "%d", i);
    ++thermal->zones;
  }
}

/* ---- This process ---- */

void read_memory(Memory* memory) {
  *memory = (Memory){0};
  FILE* file = fopen("/proc/self/status", "r");
  if (file == NULL) return;
  char line[256];
  while (fgets(line, sizeof line, file) != NULL) {
    const char* value;
    if ((value = value_of(line, "VmRSS")) != NULL) memory->resident_kb = atoi(value);
    if ((value = value_of(line, "VmHWM")) != NULL) memory->peak_kb = atoi(value);
  }
  fclose(file);
}

int read_affinity(int processors[MAX_CORES]) {
  cpu_set_t set;
  memset(&set, 0, sizeof set);
  int count = 0;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  for (int i = 0; i < MAX_CORES; ++i) {
    if (CPU_ISSET(i, &set)) processors[count++] = i;
  }
  return count;
}

int count_processors(void) {
  const long count = sysconf(_SC_NPROCESSORS_CONF);
  return count > 0 ? (int)count : 1;
}
