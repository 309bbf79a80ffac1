#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* names of threads */
#endif

#include "thread_pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* An operation of a streaming step takes some microseconds, less than waking a thread does: a waiting thread polls this
 * often before it sleeps. */
enum { SPIN_ITERATIONS = 4000 };

struct tfc_thread_pool {
  unsigned forks;         /* value of `forks` when the threads were started */
  pthread_mutex_t in_use; /* held by the thread whose job is done */
  pthread_mutex_t mutex;  /* guards the two conditions */
  pthread_cond_t begins, ends;
  int workers;
  pthread_t threads[TFC_MAX_THREADS];
  atomic_bool is_closing;
  atomic_uint job;    /* its number, */
  atomic_int working; /* the workers that have not finished it, */
  atomic_int next;    /* and its next index */
  int count;
  void (*task)(void* context, int index);
  void* context;
};

/* Number of forks that lead to this process. A child has the memory of its parent, but none of its threads, and locks
 * in any state: it must not use a pool that was made before the fork. */
static atomic_uint forks;
static pthread_once_t counting_forks = PTHREAD_ONCE_INIT;

static void count_fork(void) { atomic_fetch_add(&forks, 1); }

static void begin_counting_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

static bool has_threads(const tfc_thread_pool* pool) { return pool->forks == atomic_load(&forks); }

static void do_tasks(tfc_thread_pool* pool) {
  for (int index; (index = atomic_fetch_add(&pool->next, 1)) < pool->count;) pool->task(pool->context, index);
}

/* Waits for a job after number `done`; returns its number. */
static unsigned await_job(tfc_thread_pool* pool, unsigned done) {
  for (int i = 0; i < SPIN_ITERATIONS; ++i) {
    const unsigned job = atomic_load(&pool->job);
    if (job != done) return job;
  }
  pthread_mutex_lock(&pool->mutex);
  while (atomic_load(&pool->job) == done) pthread_cond_wait(&pool->begins, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
  return atomic_load(&pool->job);
}

static void* run_worker(void* argument) {
  tfc_thread_pool* pool = argument;
  for (unsigned done = 0;;) {
    done = await_job(pool, done);
    if (atomic_load(&pool->is_closing)) return NULL;
    do_tasks(pool);
    if (atomic_fetch_sub(&pool->working, 1) == 1) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_signal(&pool->ends);
      pthread_mutex_unlock(&pool->mutex);
    }
  }
}

static void begin_job(tfc_thread_pool* pool) {
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->job, 1);
  pthread_cond_broadcast(&pool->begins);
  pthread_mutex_unlock(&pool->mutex);
}

static void await_workers(tfc_thread_pool* pool) {
  for (int i = 0; i < SPIN_ITERATIONS; ++i) {
    if (atomic_load(&pool->working) == 0) return;
  }
  pthread_mutex_lock(&pool->mutex);
  while (atomic_load(&pool->working) > 0) pthread_cond_wait(&pool->ends, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
}

tfc_thread_pool* tfc_thread_pool_create(int threads) {
  assert(threads >= 2 && threads <= TFC_MAX_THREADS);
  tfc_thread_pool* pool = calloc(1, sizeof *pool);
  if (pool == NULL) return NULL;
  pthread_once(&counting_forks, begin_counting_forks);
  pool->forks = atomic_load(&forks);
  pthread_mutex_init(&pool->in_use, NULL);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->begins, NULL);
  pthread_cond_init(&pool->ends, NULL);
  for (; pool->workers < threads - 1; ++pool->workers) {
    if (pthread_create(&pool->threads[pool->workers], NULL, run_worker, pool) != 0) {
      tfc_thread_pool_destroy(pool);
      return NULL;
    }
    pthread_setname_np(pool->threads[pool->workers], "tfconformer");
  }
  return pool;
}

void tfc_thread_pool_destroy(tfc_thread_pool* pool) {
  if (pool == NULL) return;
  if (has_threads(pool)) {
    atomic_store(&pool->is_closing, true);
    begin_job(pool);
    for (int i = 0; i < pool->workers; ++i) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->ends);
    pthread_cond_destroy(&pool->begins);
    pthread_mutex_destroy(&pool->mutex);
    pthread_mutex_destroy(&pool->in_use);
  }
  free(pool);
}

void tfc_thread_pool_run(tfc_thread_pool* pool, int count, void (*task)(void* context, int index), void* context) {
  assert(count >= 0 && task != NULL);
  if (pool == NULL || count < 2 || !has_threads(pool) || pthread_mutex_trylock(&pool->in_use) != 0) {
    for (int index = 0; index < count; ++index) task(context, index);
    return;
  }
  pool->task = task;
  pool->context = context;
  pool->count = count;
  atomic_store(&pool->next, 0);
  atomic_store(&pool->working, pool->workers);
  begin_job(pool);
  do_tasks(pool);
  await_workers(pool);
  pthread_mutex_unlock(&pool->in_use);
}
