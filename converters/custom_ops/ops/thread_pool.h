/* A few threads that share the tasks of one job after the other. */
#ifndef TFC_OPS_THREAD_POOL_H_
#define TFC_OPS_THREAD_POOL_H_

enum { TFC_MAX_THREADS = 64 };

typedef struct tfc_thread_pool tfc_thread_pool;

/* A pool that works with `threads` threads, 2..TFC_MAX_THREADS, the caller's among them. NULL on failure. */
tfc_thread_pool* tfc_thread_pool_create(int threads);

/* Ends the threads; NULL is allowed. No job may be in progress. In a child process of a fork there are no threads, and
 * only the memory is freed. */
void tfc_thread_pool_destroy(tfc_thread_pool* pool);

/* Calls task(context, 0), ..., task(context, count - 1), in any order and at the same time, and returns when all are
 * done. The calling thread does it alone if `pool` is NULL, busy with another caller's job, or from before a fork. */
void tfc_thread_pool_run(tfc_thread_pool* pool, int count, void (*task)(void* context, int index), void* context);

#endif
