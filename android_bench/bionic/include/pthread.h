#pragma once
#include <stdint.h>
typedef long pthread_t;
typedef int pthread_once_t;
typedef struct {
  int64_t opaque[7];
} pthread_attr_t;
typedef struct {
  int32_t opaque[10];
} pthread_mutex_t;
typedef struct {
  int32_t opaque[12];
} pthread_cond_t;
typedef long pthread_mutexattr_t;
typedef long pthread_condattr_t;
#define PTHREAD_ONCE_INIT 0
#define PTHREAD_MUTEX_INITIALIZER {{0}}
#define PTHREAD_COND_INITIALIZER {{0}}
int pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int pthread_setname_np(pthread_t, const char*);
int pthread_join(pthread_t, void**);
int pthread_once(pthread_once_t*, void (*)(void));
int pthread_mutex_init(pthread_mutex_t*, const pthread_mutexattr_t*);
int pthread_mutex_lock(pthread_mutex_t*);
int pthread_mutex_trylock(pthread_mutex_t*);
int pthread_mutex_unlock(pthread_mutex_t*);
int pthread_mutex_destroy(pthread_mutex_t*);
int pthread_cond_init(pthread_cond_t*, const pthread_condattr_t*);
int pthread_cond_wait(pthread_cond_t*, pthread_mutex_t*);
int pthread_cond_signal(pthread_cond_t*);
int pthread_cond_broadcast(pthread_cond_t*);
int pthread_cond_destroy(pthread_cond_t*);
int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void*);
/* In the NDK this is a part of crtbegin, which names the library, so that its handlers end with it. The libraries here
 * are linked without crtbegin, and stay loaded. */
static inline int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
  return __register_atfork(prepare, parent, child, (void*)0);
}
