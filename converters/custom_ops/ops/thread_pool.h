/* A few threads that share one piece of work after the other. */
#ifndef TFCONFORMER_OPS_THREAD_POOL_H_
#define TFCONFORMER_OPS_THREAD_POOL_H_

enum { MAX_THREADS = 64 };

typedef struct ThreadPool ThreadPool;

/* A pool that works with so many threads, 2..MAX_THREADS, the caller's among them. NULL if they cannot be had. */
ThreadPool* thread_pool_create(int threads);

/* Ends the threads; NULL is allowed. No work may be in progress. */
void thread_pool_destroy(ThreadPool* pool);

/* Calls task(context, 0), ..., task(context, count - 1), in any order and at the same time, and returns when all are
 * done. The calling thread does it alone if `pool` is NULL or busy with the work of another one. */
void thread_pool_run(ThreadPool* pool, int count, void (*task)(void* context, int index), void* context);

#endif
