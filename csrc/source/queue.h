/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - one queue of what is wanted from the source; see ajf.h for the side of the fetchers.
 *
 * Lanes are ordered metadata > demand > prefetch > ahead, and threads make the order real: of options.fetchers +
 * metadata_fetchers fetches under way, at most `fetchers` are of data, half of these are prefetch or ahead, and one file
 * has at most 7/8 of them; so a hanging file never takes the last fetcher. Within a lane, files take turns.
 *
 * A fetch is owned by the queue while queued, by the fetcher while under way. Threads may answer it at once: the first
 * one counts. ajf_fetch_release, with which no other call may be under way, fails what was not answered. Nothing here calls out under queue->lock.
 *
 * Lock: queue->lock guards lists and counts, a leaf below cache->lock and names->lock.
 */
#ifndef AJF_SOURCE_QUEUE_H
#define AJF_SOURCE_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/options.h"
#include "source/fetch.h"

struct ajf_file;

/* What default_permissions checks. */
struct ajf_permissions {
    uint32_t mode, uid, gid;
};

enum ajf_fetch_state { AJF_FETCH_IDLE, AJF_FETCH_QUEUED, AJF_FETCH_RUNNING };

struct ajf_fetch {
    struct ajf *m;
    struct ajf_fetch_info info;
    char *path;                 /* owned; info.path */
    enum ajf_fetch_state state; /* queue->lock */
    struct ajf_list link;       /* queue->lock; lane, or the file's pending list */
    bool counted;               /* queue->lock; among the running */
    atomic_bool answered;       /* whoever sets it (ajf_fetch_claim) answers */
    /* metadata (names.h) */
    uint64_t nodeid;            /* what is asked about; the parent for a lookup */
    char *name;                 /* owned; lookup: the name within nodeid, else NULL */
    size_t name_len;
    struct ajf_list calls;      /* names->lock; struct ajf_call */
    struct ajf_list by_key;     /* names->lock; joinable fetches */
    uint64_t started_ns;
    /* data (file.h, read.h): cache->lock */
    struct ajf_file *file;
    struct ajf_list by_file;
    size_t filled;
    bool has_permissions;
    struct ajf_permissions permissions; /* OPEN: what the source told, if it did */
    bool cancelled; /* nobody wants the rest */
    bool prepared;  /* its memory is pinned */
    bool starved;   /* in cache->starved */
};

struct ajf_file_queue {
    struct ajf_list turn[AJF_LANES];    /* queue->lock; in the lane's list of files */
    struct ajf_list pending[AJF_LANES]; /* queue->lock; fetches */
    uint32_t running;                   /* queue->lock */
};

struct ajf_queue {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct ajf_list metadata;         /* lock; fetches */
    struct ajf_list files[AJF_LANES]; /* lock; files with pending fetches of a lane */
    uint32_t queued[AJF_LANES];       /* lock */
    uint32_t running[AJF_LANES];      /* lock */
    uint32_t waiting;                 /* lock; threads in ajf_fetch_next */
    uint32_t max_all, max_data, max_prefetch, max_ahead, max_file;
    bool stopped;                     /* lock */
};

void ajf_queue_init(struct ajf_queue *q, const struct ajf_options *o);
void ajf_queue_done(struct ajf_queue *q);
void ajf_file_queue_init(struct ajf_file_queue *fq);

/* Takes `path`. NULL when out of memory (path is freed then). Counts it. */
struct ajf_fetch *ajf_fetch_new(struct ajf *m, enum ajf_fetch_kind kind, enum ajf_lane lane, char *path);
void ajf_fetch_free(struct ajf_fetch *f);

/* True for one caller, who answers the fetch. */
static inline bool ajf_fetch_claim(struct ajf_fetch *f)
{
    return !atomic_exchange(&f->answered, true);
}

/* False after ajf_queue_stop: the fetch stays the caller's. */
bool ajf_queue_push(struct ajf_queue *q, struct ajf_fetch *f);
/* Prefetch, or ahead, that is still queued becomes demand. */
void ajf_queue_promote(struct ajf_queue *q, struct ajf_fetch *f);
/* Takes a fetch that no fetcher has yet out of the queue; true when it was: the caller owns it. */
bool ajf_queue_cancel(struct ajf_queue *q, struct ajf_fetch *f);
/* The fetcher holds it no longer, or is given up: its place is free. Idempotent. */
void ajf_queue_uncount(struct ajf_queue *q, struct ajf_fetch *f);
void ajf_queue_stop(struct ajf_queue *q);
/* Frees what of metadata no fetcher will take any more; after ajf_queue_stop, when nobody waits for it. */
void ajf_queue_clear(struct ajf_queue *q);

#endif
