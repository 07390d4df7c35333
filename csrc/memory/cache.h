/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - the memory of a mount: budget, pins and eviction.
 *
 * A *page* is the unit of eviction (options.page_bytes, at least a huge page where there are any): a piece of a
 * MEMORY file, or a chunk of the slab with many small files in it. Memory is charged when a fetch starts, not when a
 * read parks, so parked requests cost nothing. A page is evictable while nobody pins it: replies and fetches under
 * way pin theirs; the pages of a file that is open in passthrough are off the list, because dropping them would free
 * nothing. When all is pinned, demand fetches may go `overflow` beyond the limit, further ones wait (`starved`) until
 * something is unpinned; prefetch is dropped.
 *
 * With the client cache off the same machine is a window of transient_bytes: pages that were handed to the kernel go
 * first, and a file keeps nothing after its last RELEASE. Prefetch has half of it, and takes nothing from a page that
 * is still to be handed over, unless nobody has come for that in AJF_AWAITED_NS, nor is on the way there, or its
 * readers have gone elsewhere. A page under a READ that waits for another one goes last of all: the READ needs both at
 * once. The memory of whole pages is handed on (frames.h): spare memory fits into the budget beside that in use, and is
 * given back after AJF_RESTS_NS, or twice that.
 *
 * One lock for files, pages and parked reads: the kernel's own queue saturates (400 k requests/s, peers.md) long
 * before it does, and eviction crosses files. The cache asks its owner about files (struct ajf_cache_owner). Lock
 * order: cache->lock > queue->lock, waits->lock, inodes->lock.
 */
#ifndef AJF_MEMORY_CACHE_H
#define AJF_MEMORY_CACHE_H

#include "base/alarm.h"
#include "base/list.h"
#include "base/sync.h"
#include "memory/descriptors.h"
#include "memory/frames.h"
#include "memory/memfile.h"
#include "memory/order.h"
#include "memory/pages.h"
#include "memory/trash.h"

struct ajf;

#define AJF_AWAITED_NS (10 * AJF_NS_PER_S) /* a reader that goes on has come by then; if not, it is fetched again */
#define AJF_RESTS_NS (5 * AJF_NS_PER_S)    /* without a whole page fetched: the stream has ended, or its reader rests */

/* The owner of the pages, as far as the cache has to know. All with cache->lock. */
struct ajf_cache_owner {
    /* Nothing of it is there any more, by eviction. True: it has gone with that. */
    bool (*emptied)(struct ajf *m, struct ajf_pages *p);
    /* It must not go, until let_go. True: it has gone with that. */
    void (*hold)(struct ajf_pages *p);
    bool (*let_go)(struct ajf *m, struct ajf_pages *p);
    /* Whether a parked READ waits for any of [from, to). */
    bool (*needs)(const struct ajf_pages *p, uint64_t from, uint64_t to);
    /* Whether somebody who has read it since then is on the way to any of [from, to). */
    bool (*expects)(const struct ajf_pages *p, uint64_t from, uint64_t to, uint64_t since_ns);
    /* Whether those who have read it are not likely to come to any of [from, to) soon. */
    bool (*has_left)(const struct ajf_pages *p, uint64_t from, uint64_t to);
    /* Something was unpinned, or given back: what found no memory may try again. */
    void (*has_room)(struct ajf *m);
};

struct ajf_cache {
    pthread_mutex_t lock;
    struct ajf_store store;
    const struct ajf_cache_owner *owner;
    struct ajf_order order AJF_GUARDED_BY(lock);
    uint64_t used AJF_GUARDED_BY(lock); /* bytes */
    uint64_t limit, overflow;           /* constant; bytes */
    uint64_t shelved AJF_GUARDED_BY(lock); /* of `used`, bytes of files that are open in passthrough */
    uint64_t page_bytes;     /* unit of eviction */
    uint64_t fetch_bytes;    /* longest READ fetch */
    uint64_t slab_limit;     /* files up to this size go to the slab */
    bool transient;
    struct ajf_frames frames AJF_GUARDED_BY(lock);
    struct ajf_alarm rest;    /* when to call ajf_cache_rest; set under the lock */
    uint64_t rests_ns AJF_GUARDED_BY(lock); /* AJF_RESTS_NS, but in tests */
    struct ajf_trash trash AJF_GUARDED_BY(lock);
    struct ajf_descriptors descriptors AJF_GUARDED_BY(lock);
    uint64_t backed AJF_GUARDED_BY(lock); /* files of memory, which have one each */
    /* the slab */
    struct ajf_memfile slab; /* made under the lock, once */
    struct ajf_page *chunks AJF_GUARDED_BY(lock);
    size_t n_chunks, chunks_used;
    struct ajf_list free_chunks AJF_GUARDED_BY(lock);
    struct ajf_page *open_chunk AJF_GUARDED_BY(lock); /* being filled */
    struct ajf_stats *stats;
};

int ajf_cache_init(struct ajf_cache *c, const struct ajf_options *o, const struct ajf_cache_owner *owner,
                   struct ajf_stats *stats);
void ajf_cache_done(struct ajf_cache *c);

/* Gives cache->lock back, then disposes of what was thrown away under it, which may take long: the last thing that a
 * thread does with it, holding nothing else that others wait for. */
void ajf_cache_unlock(struct ajf_cache *c) AJF_RELEASES(c->lock);
/* For a thread that has to answer somebody yet: gives the lock back, and the waste, for ajf_trash_dispose. */
struct ajf_waste *ajf_cache_unlock_first(struct ajf_cache *c) AJF_RELEASES(c->lock);

/*
 * How much makes way in a transient window. AHEAD: prefetch has half of it, and nothing that is awaited goes for it.
 * LATE: a piece before others that are being fetched has all of it, on the same condition. DEMAND: somebody waits.
 */
enum ajf_urgency { AJF_AHEAD, AJF_LATE, AJF_DEMAND };

/*
 * Makes the memory of [offset, offset + length) of a file ready to be written, charges and pins it, and gives its
 * address. -EAGAIN: no room now. -ENOMEM, -EMFILE: none to be had.
 */
int ajf_cache_prepare_locked(struct ajf *m, struct ajf_pages *p, uint64_t offset, size_t length,
                             enum ajf_urgency urgency, void **ret_buffer);

/* Whether a prefetch of so many bytes would find room in a transient window now. */
bool ajf_cache_has_room_locked(struct ajf_cache *c, uint64_t bytes);

/* Pins (unpins) the pages under [offset, offset + length); unpinning wakes what starved. */
void ajf_cache_pin_locked(struct ajf_pages *p, uint64_t offset, size_t length, struct ajf_cache *c);
void ajf_cache_unpin_locked(struct ajf *m, struct ajf_pages *p, uint64_t offset, size_t length);
/* Address of a byte that is there. */
uint8_t *ajf_cache_at(const struct ajf_cache *c, const struct ajf_pages *p, uint64_t offset);
/* Marks as just used; in a transient window, pages that were read to their end become the coldest. */
void ajf_cache_touch_locked(struct ajf_cache *c, struct ajf_pages *p, uint64_t offset, size_t length);
/* Whether a file may be opened in passthrough: a quarter of the budget must stay evictable, or reads would starve. */
bool ajf_cache_may_shelve_locked(const struct ajf_cache *c, const struct ajf_pages *p);
/* Passthrough open: off the list. Last release: back on it. */
void ajf_cache_shelve_locked(struct ajf_cache *c, struct ajf_pages *p, bool shelved);
/* Gives back all the memory of a file that nobody pins. */
void ajf_cache_drop_locked(struct ajf *m, struct ajf_pages *p);
/* The connection is gone: no small file will come any more, and what is empty of the slab is given back. */
void ajf_cache_close_slab_locked(struct ajf_cache *c);
/* Evicts what became resident before `born_ns` and may go. */
void ajf_cache_expire_locked(struct ajf *m, uint64_t born_ns);
/* At the alarm: when nothing was fetched for a while, gives back the memory that is only spare. Takes the lock. */
struct ajf_waste *ajf_cache_rest(struct ajf *m);
/*
 * Gives back the memory, and the descriptor, of a file that nobody is reading, the one that has not been for longest;
 * its open handles go on with new memory. False: there is none.
 */
bool ajf_cache_close_idle_locked(struct ajf *m);

#endif
