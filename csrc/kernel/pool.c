/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker blocks in read(2) on /dev/fuse, and only a signal wakes it: a real-time signal with an empty handler,
 * without SA_RESTART. It is sent again and again until every worker has gone, because a signal that arrives just before
 * the read is lost.
 */
#include "kernel/pool.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "mount.h"

#define WAKE_SIGNAL (SIGRTMIN + 5)
#define WAKE_INTERVAL_MS 5
#define BRISK 8 /* so many fast requests in turn make it worth while to poll for the next one; */
#define BRISK_MOST 16
#define BRISK_LESS 4 /* a slow one takes so many of them back */
#define OP_FORGET 2        /* FUSE_FORGET, FUSE_BATCH_FORGET: they get no answer, and are not worth a thread */
#define OP_BATCH_FORGET 42

struct worker {
    struct ajf_list link;
    pthread_t thread;
    struct ajf_pool *pool;
};

static int spawn_locked(struct ajf_pool *p);

static int processors(void)
{
    cpu_set_t mine;
    return sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : 2; /* it fails if there are very many */
}

void ajf_pool_init(struct ajf_pool *p, struct ajf *m)
{
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    ajf_cond_init(&p->ended_cond);
    ajf_list_init(&p->alive);
    ajf_list_init(&p->dead);
    p->m = m;
    p->busy_poll_ns = processors() > 1 ? m->options.busy_poll_us * AJF_NS_PER_US : 0;
}

void ajf_pool_done(struct ajf_pool *p)
{
    pthread_cond_destroy(&p->ended_cond);
    pthread_mutex_destroy(&p->lock);
}

static void on_wake(int sig)
{
    (void)sig;
}

static bool is_forget(const struct fuse_buf *buf)
{
    uint32_t header[2]; /* fuse_in_header: len, opcode */
    memcpy(header, buf->mem, sizeof header);
    return header[1] == OP_FORGET || header[1] == OP_BATCH_FORGET;
}

/* One more worker is idle (waiting), or one less. */
static void idle_locked(struct ajf_pool *p, int change)
{
    AJF_HELD(&p->lock);
    p->n_idle = (uint32_t)((int)p->n_idle + change);
    if (change > 0)
        AJF_COUNT(&p->m->stats, threads_idle);
    else
        AJF_COUNT_SUB(&p->m->stats, threads_idle, 1);
}

/* A request has come. */
static void arrived_locked(struct ajf_pool *p)
{
    AJF_HELD(&p->lock);
    uint32_t brisk = p->brisk;
    if (ajf_now_ns() < p->done_ns + p->busy_poll_ns)
        p->brisk = brisk < BRISK_MOST ? brisk + 1 : brisk;
    else
        p->brisk = brisk > BRISK_LESS ? brisk - BRISK_LESS : 0;
}

/* Polls for a request, unless another worker does. */
static void look(struct ajf_pool *p)
{
    struct pollfd fd = {.fd = fuse_session_fd(p->m->session.se), .events = POLLIN};
    int ready;
    if (atomic_exchange(&p->looking, true))
        return;
    AJF_COUNT(&p->m->stats, busy_polls);
    uint64_t until = ajf_now_ns() + p->busy_poll_ns;
    do /* no sched_yield: workers that a request woke in vain would run meanwhile, and the request would wait */
        ready = poll(&fd, 1, 0);
    while (ready == 0 && ajf_now_ns() < until);
    if (ready > 0)
        AJF_COUNT(&p->m->stats, busy_poll_hits);
    atomic_store(&p->looking, false);
}

/* Waits for a request and returns its size, or <= 0 when the session has ended. */
static int receive(struct ajf_pool *p, struct fuse_buf *buf)
{
    struct fuse_session *se = p->m->session.se;
    int n;
    while (!fuse_session_exited(se)) {
        n = fuse_session_receive_buf(se, buf);
        if (n == -EINVAL && buf->mem) { /* since INIT requests may be larger than this buffer */
            free(buf->mem);
            buf->mem = NULL;
        } else if (n != -EINTR && n != -EAGAIN && n != -EINVAL) {
            return n;
        }
    }
    return 0;
}

static void serve(struct ajf_pool *p)
{
    struct fuse_session *se = p->m->session.se;
    struct fuse_buf buf = {.mem = NULL};
    for (;;) {
        pthread_mutex_lock(&p->lock);
        p->done_ns = ajf_now_ns();
        bool surplus = p->n_idle >= p->m->options.max_idle_threads; /* counted under one lock, or several would stay */
        if (!surplus)
            idle_locked(p, 1);
        bool brisk = p->brisk >= BRISK;
        pthread_mutex_unlock(&p->lock);
        if (surplus)
            break;
        if (brisk)
            look(p);
        int n = receive(p, &buf);
        pthread_mutex_lock(&p->lock);
        idle_locked(p, -1);
        arrived_locked(p);
        if (n > 0 && !p->n_idle && p->n_alive < p->m->options.max_threads && !p->stopping && !is_forget(&buf))
            spawn_locked(p); /* if that fails (a full process table), the others go on */
        pthread_mutex_unlock(&p->lock);
        if (n <= 0) {
            fuse_session_exit(se);
            break;
        }
        fuse_session_process_buf(se, &buf);
    }
    free(buf.mem);
}

static void leave(struct ajf_pool *p, struct worker *w)
{
    pthread_mutex_lock(&p->lock);
    ajf_list_del(&w->link);
    ajf_list_add(&p->dead, &w->link);
    AJF_COUNT(&p->m->stats, threads_died);
    AJF_COUNT_SUB(&p->m->stats, threads, 1);
    if (!--p->n_alive) {
        ajf_session_over(p->m);
        p->ended = true;
        pthread_cond_broadcast(&p->ended_cond);
    }
    pthread_mutex_unlock(&p->lock);
}

static void allow_wake_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, WAKE_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    allow_wake_signal();
    serve(w->pool);
    leave(w->pool, w);
    return NULL;
}

static void *run_libfuse_loop(void *arg)
{
    struct worker *w = arg;
    const struct ajf_options *o = &w->pool->m->options;
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    allow_wake_signal();
    if (config) {
        fuse_loop_cfg_set_clone_fd(config, o->clone_fd);
        fuse_loop_cfg_set_idle_threads(config, o->max_idle_threads);
        fuse_loop_cfg_set_max_threads(config, o->max_threads);
        fuse_session_loop_mt(w->pool->m->session.se, config);
        fuse_loop_cfg_destroy(config);
    }
    leave(w->pool, w);
    return NULL;
}

static void reap_locked(struct ajf_pool *p)
{
    AJF_HELD(&p->lock);
    struct ajf_list *l;
    while ((l = ajf_list_pop(&p->dead))) { /* its thread is about to return */
        struct worker *w = AJF_CONTAINER(l, struct worker, link);
        pthread_join(w->thread, NULL);
        free(w);
    }
}

/* Starts a worker. Signals are for the embedding program: it blocks all but the wake signal and those of faults. */
static int spawn_locked(struct ajf_pool *p)
{
    AJF_HELD(&p->lock);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    struct worker *w = malloc(sizeof *w);
    sigset_t all, old;
    char name[16];
    if (!w)
        return -ENOMEM;
    reap_locked(p);
    w->pool = p;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]); /* if they were blocked, no handler could tell of a crash */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool by_libfuse = p->m->options.clone_fd || p->m->options.io_uring;
    int err = pthread_create(&w->thread, NULL, by_libfuse ? run_libfuse_loop : run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err) {
        free(w);
        return -err;
    }
    snprintf(name, sizeof name, "ajf-work-%u", p->n_started++ % 100000);
    pthread_setname_np(w->thread, name);
    ajf_list_add(&p->alive, &w->link);
    p->n_alive++;
    AJF_COUNT(&p->m->stats, threads_born);
    AJF_COUNT(&p->m->stats, threads);
    if (p->n_alive > atomic_load_explicit(&p->m->stats.value[AJF_STAT_threads_peak], memory_order_relaxed))
        atomic_store_explicit(&p->m->stats.value[AJF_STAT_threads_peak], p->n_alive, memory_order_relaxed);
    return 0;
}

int ajf_pool_start(struct ajf_pool *p)
{
    struct sigaction action = {.sa_handler = on_wake};
    sigaction(WAKE_SIGNAL, &action, NULL);
    pthread_mutex_lock(&p->lock);
    int err = spawn_locked(p);
    pthread_mutex_unlock(&p->lock);
    return err;
}

int ajf_pool_stop(struct ajf_pool *p, uint64_t deadline_ns)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    while (p->n_alive && ajf_now_ns() < deadline_ns) {
        AJF_LIST_FOR(l, &p->alive)
            pthread_kill(AJF_CONTAINER(l, struct worker, link)->thread, WAKE_SIGNAL);
        ajf_cond_wait_until(&p->ended_cond, &p->lock, ajf_deadline_ns(WAKE_INTERVAL_MS));
    }
    reap_locked(p);
    int err = p->n_alive ? -ETIMEDOUT : 0;
    p->ended = true;
    pthread_cond_broadcast(&p->ended_cond);
    pthread_mutex_unlock(&p->lock);
    return err;
}

int ajf_pool_wait(struct ajf_pool *p, int timeout_ms)
{
    uint64_t deadline = ajf_deadline_ns(timeout_ms);
    bool more = true;
    pthread_mutex_lock(&p->lock);
    while (!p->ended && more)
        more = ajf_cond_wait_until(&p->ended_cond, &p->lock, deadline);
    bool ended = p->ended;
    pthread_mutex_unlock(&p->lock);
    return ended ? 0 : -ETIMEDOUT;
}
