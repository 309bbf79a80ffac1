#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* names of threads */
#endif

#include "thread_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* A layer of a streaming step takes some microseconds, as waking a thread does: who waits looks so many times first. */
enum { LOOKS = 4000 };

struct ThreadPool {
  pthread_mutex_t in_use; /* held by the thread whose work is done */
  pthread_mutex_t mutex;  /* guards the two conditions */
  pthread_cond_t begins, ends;
  int workers;
  pthread_t threads[MAX_THREADS];
  atomic_bool is_closing;
  atomic_uint work;   /* number of the piece of work, */
  atomic_int working; /* workers that have not finished it, */
  atomic_int next;    /* and its next index */
  int count;
  void (*task)(void* context, int index);
  void* context;
};

static void do_tasks(ThreadPool* pool) {
  for (int index; (index = atomic_fetch_add(&pool->next, 1)) < pool->count;) pool->task(pool->context, index);
}

/* Returns the number of the next piece of work. */
static unsigned await_work(ThreadPool* pool, unsigned done) {
  for (int i = 0; i < LOOKS; ++i) {
    const unsigned work = atomic_load(&pool->work);
    if (work != done) return work;
  }
  pthread_mutex_lock(&pool->mutex);
  while (atomic_load(&pool->work) == done) pthread_cond_wait(&pool->begins, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
  return atomic_load(&pool->work);
}

static void* run_worker(void* argument) {
  ThreadPool* pool = argument;
  for (unsigned done = 0;;) {
    done = await_work(pool, done);
    if (atomic_load(&pool->is_closing)) return NULL;
    do_tasks(pool);
    if (atomic_fetch_sub(&pool->working, 1) == 1) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_signal(&pool->ends);
      pthread_mutex_unlock(&pool->mutex);
    }
  }
}

static void begin_work(ThreadPool* pool) {
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->work, 1);
  pthread_cond_broadcast(&pool->begins);
  pthread_mutex_unlock(&pool->mutex);
}

static void await_workers(ThreadPool* pool) {
  for (int i = 0; i < LOOKS; ++i) {
    if (atomic_load(&pool->working) == 0) return;
  }
  pthread_mutex_lock(&pool->mutex);
  while (atomic_load(&pool->working) > 0) pthread_cond_wait(&pool->ends, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
}

ThreadPool* thread_pool_create(int threads) {
  ThreadPool* pool = calloc(1, sizeof *pool);
  if (pool == NULL) return NULL;
  pthread_mutex_init(&pool->in_use, NULL);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->begins, NULL);
  pthread_cond_init(&pool->ends, NULL);
  for (; pool->workers < threads - 1; ++pool->workers) {
    if (pthread_create(&pool->threads[pool->workers], NULL, run_worker, pool) != 0) {
      thread_pool_destroy(pool);
      return NULL;
    }
    pthread_setname_np(pool->threads[pool->workers], "tfconformer");
  }
  return pool;
}

void thread_pool_destroy(ThreadPool* pool) {
  if (pool == NULL) return;
  atomic_store(&pool->is_closing, true);
  begin_work(pool);
  for (int i = 0; i < pool->workers; ++i) pthread_join(pool->threads[i], NULL);
  pthread_cond_destroy(&pool->ends);
  pthread_cond_destroy(&pool->begins);
  pthread_mutex_destroy(&pool->mutex);
  pthread_mutex_destroy(&pool->in_use);
  free(pool);
}

void thread_pool_run(ThreadPool* pool, int count, void (*task)(void* context, int index), void* context) {
  if (pool == NULL || count < 2 || pthread_mutex_trylock(&pool->in_use) != 0) {
    for (int index = 0; index < count; ++index) task(context, index);
    return;
  }
  pool->task = task;
  pool->context = context;
  pool->count = count;
  atomic_store(&pool->next, 0);
  atomic_store(&pool->working, pool->workers);
  begin_work(pool);
  do_tasks(pool);
  await_workers(pool);
  pthread_mutex_unlock(&pool->in_use);
}
