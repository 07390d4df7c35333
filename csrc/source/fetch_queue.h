/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_queue.h - one queue of what is wanted from the source; see fetch.h for the side of the fetchers.
 *
 * Lanes are ordered metadata > demand > prefetch > ahead, and threads make the order real: of options.fetchers +
 * metadata_fetchers fetches under way, at most `fetchers` are of data, half of these are prefetch or ahead, and one
 * file has at most 7/8 of them; so a hanging file never takes the last fetcher. Within a lane, files take turns.
 *
 * Of the lane ahead, for which nobody waits, no more are under way than it is worth (pace.h); those that take long,
 * and may never end, do not count then. A fetch that nobody wants any more (ajf_queue_cancel) may hang, too: when it
 * does, and another one waits for its place, it counts no longer.
 *
 * A module that asks makes a fetch with a table of functions (struct ajf_fetch_ops): the queue knows lanes, and not
 * what is asked. A fetch is about a record, whose path is looked up when a fetcher takes the fetch.
 *
 * A fetch is owned by the queue while queued, by the fetcher while under way. Threads may answer it at once: the first
 * one counts. ajf_fetch_release, with which no other call may be under way, fails what was not answered. The functions
 * of the table are called without queue->lock.
 *
 * Lock: queue->lock guards lists and counts, a leaf below cache->lock and metadata->lock.
 */
#ifndef AJF_SOURCE_FETCH_QUEUE_H
#define AJF_SOURCE_FETCH_QUEUE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/options.h"
#include "base/stats.h"
#include "base/sync.h"
#include "base/stats_times.h"
#include "names/inode.h"
#include "source/fetch.h"
#include "source/pace.h"

struct ajf;

/* The attributes that default_permissions checks. */
struct ajf_permissions {
    uint32_t mode, uid, gid;
};

/*
 * The functions for the answers to a fetch. One that is NULL is none to it. Each looks whether it is well formed
 * (ajf_fetch_misfit) and then claims the fetch (ajf_fetch_claim), but `opened`, for which that is done, and `progress`,
 * which ends nothing.
 */
struct ajf_fetch_ops {
    size_t bytes;         /* of the struct that begins with a struct ajf_fetch */
    enum ajf_stat counts; /* those that were started */
    /* A fetcher takes it. False: it came to nothing, and is gone or starved. NULL: nothing is to be done. */
    bool (*begin)(struct ajf_fetch *f);
    /* Whether anybody waits for what it brings. NULL: whatever it brings is waited for. */
    bool (*wanted)(struct ajf_fetch *f);
    int (*attr)(struct ajf_fetch *f, const struct ajf_attr *attr);
    int (*grown)(struct ajf_fetch *f, const struct ajf_attr *attr);
    int (*list)(struct ajf_fetch *f, const struct ajf_entry *entries, size_t n, const char *names, size_t names_len);
    int (*link)(struct ajf_fetch *f, const char *target, size_t len);
    int (*statfs)(struct ajf_fetch *f, const struct ajf_statfs *s);
    int (*opened)(struct ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                  const struct ajf_extent *extents, size_t n);
    int (*progress)(struct ajf_fetch *f, size_t filled);
    int (*done)(struct ajf_fetch *f, size_t filled);
    /* It was claimed, and there is no answer but an errno (positive). NULL: nobody waits for it. */
    void (*failed)(struct ajf_fetch *f, int err);
    /* The fetcher has given it back; it is freed afterwards. NULL: nothing is to be done. */
    void (*end)(struct ajf_fetch *f);
};

enum ajf_fetch_state { AJF_FETCH_IDLE, AJF_FETCH_QUEUED, AJF_FETCH_RUNNING };

/* The fetches of one file, which take turns with those of others. */
struct ajf_turns {
    struct ajf_list turn[AJF_LANES];    /* queue->lock; in the lane's list of files */
    struct ajf_list pending[AJF_LANES]; /* queue->lock; fetches */
    uint32_t running;                   /* queue->lock */
};

struct ajf_fetch {
    struct ajf *m;
    const struct ajf_fetch_ops *ops;
    struct ajf_fetch_info info;
    uint64_t nodeid;            /* what is asked about, referenced; */
    char *name;                 /* owned; a name within it, or NULL: it itself */
    size_t name_len;
    char *path;                 /* owned; info.path; once a fetcher has taken it */
    uint64_t queued_ns;         /* when it came into the queue, first; 0: it has not */
    uint64_t started_ns;        /* when it was taken, last */
    uint64_t picked_ns;         /* queue->lock; the same */
    struct ajf_turns *turns;    /* of its file; NULL: it is of none */
    enum ajf_fetch_state state; /* queue->lock */
    struct ajf_list link;       /* queue->lock; lane, the file's pending list, or queue->taken */
    bool counted;               /* queue->lock; among the running */
    bool unwanted;              /* queue->lock; it was to be cancelled while it was under way */
    bool came;                  /* all that was asked for */
    bool begun;                 /* once, and counted */
    atomic_bool answered;       /* the thread that sets it (ajf_fetch_claim) answers */
    bool has_permissions;
    struct ajf_permissions permissions; /* what the source told before its answer, if it did */
};

struct ajf_queue {
    pthread_mutex_t lock;
    struct ajf_list idle AJF_GUARDED_BY(lock); /* threads that wait for a fetch, the one that came last first */
    struct ajf_list metadata AJF_GUARDED_BY(lock); /* fetches */
    struct ajf_list files[AJF_LANES] AJF_GUARDED_BY(lock); /* files with pending fetches of a lane */
    uint32_t queued[AJF_LANES] AJF_GUARDED_BY(lock);
    uint32_t running[AJF_LANES] AJF_GUARDED_BY(lock);
    uint32_t waiting AJF_GUARDED_BY(lock); /* threads in ajf_fetch_next */
    struct ajf_list taken[AJF_LANES] AJF_GUARDED_BY(lock); /* fetches that count as under way, the oldest first */
    struct ajf_pace pace AJF_GUARDED_BY(lock);
    uint32_t max_all, max_data, max_prefetch, max_ahead, max_file;
    bool stopped AJF_GUARDED_BY(lock);
};

void ajf_queue_init(struct ajf_queue *q, const struct ajf_options *o);
void ajf_queue_done(struct ajf_queue *q);
void ajf_turns_init(struct ajf_turns *t);

/* Of record `nodeid`, or of `name` in it if that is not NULL; counts it. NULL when out of memory. */
struct ajf_fetch *ajf_fetch_new(struct ajf *m, const struct ajf_fetch_ops *ops, enum ajf_fetch_kind kind,
                                enum ajf_lane lane, uint64_t nodeid, const char *name);
void ajf_fetch_free(struct ajf_fetch *f);
/* The answer makes no sense: says so, if it would have counted, and fails the fetch. -EINVAL. */
int ajf_fetch_misfit(struct ajf_fetch *f);

/*
 * Makes a fetch ready that a thread has taken, and counts it if it was not before. False: it came to nothing, and is
 * gone or starved.
 */
bool ajf_fetch_begin(struct ajf_fetch *f);

/* True for one caller, who answers the fetch. */
static inline bool ajf_fetch_claim(struct ajf_fetch *f)
{
    return !atomic_exchange(&f->answered, true);
}

/* The source says that a path leads to nothing, or to another file, by now; so it does when a parent was replaced. */
static inline bool ajf_fetch_is_lost(int err)
{
    return err == ENOENT || err == ENOTDIR || err == ELOOP || err == ESTALE;
}

/* The row of times of this fetch, in the queue or at the source: `first` is the first of these rows. */
enum ajf_timed ajf_fetch_timed(const struct ajf_fetch *f, enum ajf_timed first);

/* False after ajf_queue_stop: the fetch stays the caller's. */
bool ajf_queue_push(struct ajf_queue *q, struct ajf_fetch *f);
/* Prefetch, or ahead, that is still queued becomes demand. */
void ajf_queue_promote(struct ajf_queue *q, struct ajf_fetch *f);
/*
 * Nobody wants a fetch any more. True: no fetcher had it yet, and the caller owns it. False: it is under way, and its
 * place will be another's if it hangs.
 */
bool ajf_queue_cancel(struct ajf_queue *q, struct ajf_fetch *f);
/* The fetcher holds it no longer, or is given up: its place is free. Idempotent. */
void ajf_queue_uncount(struct ajf_queue *q, struct ajf_fetch *f);
/* Like ajf_queue_uncount, by the fetcher itself, which usually takes the next one at once. */
void ajf_queue_ended(struct ajf_queue *q, struct ajf_fetch *f);
/* A fetch that no fetcher has taken, as it was at one moment. */
struct ajf_queued {
    struct ajf_fetch_info info; /* without pointers */
    uint64_t nodeid, queued_ns;
    char name[AJF_NAME_MAX + 1]; /* ends with NUL; empty: it is about the record itself */
};

void ajf_fetch_copy(const struct ajf_fetch *f, struct ajf_queued *ret_queued);
/* Copies those of the queue in the order of its lanes, `most` at most; returns how many it copied. */
size_t ajf_queue_copy(struct ajf_queue *q, struct ajf_queued *ret_queued, size_t most);
void ajf_queue_stop(struct ajf_queue *q);
/* Frees what of metadata no fetcher will take any more; after ajf_queue_stop, when nobody waits for it. */
void ajf_queue_clear(struct ajf_queue *q);

#endif
