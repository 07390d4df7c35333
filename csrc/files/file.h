/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - one version of one file, while it is open or its bytes are kept.
 *
 * A file version (one nodeid) has at most one struct ajf_file. Its bytes lie in
 *   - somebody's descriptors (BORROWED): lent by the source; passthrough, or answered by the worker (lent.h);
 *   - memory (MEMORY): a file of its own in the store, or, of a small one, a place in a chunk that it shares (pages.h).
 *
 *     OPENING ──opened──► READY ──last RELEASE──► READY, nothing open: kept while it has bytes
 *        │ failed              └─ a page evicted, handle closed, read again ──► OPENING
 *        └──► dropped
 *
 * A small file of a source that allows it (ajf_open_lazily) begins in READY and is never OPENING. Its first open waits
 * for its first bytes (open.h).
 *
 * The kernel allows an inode one I/O mode at a time (fuse-facts): the mode and the backing id are chosen at the first
 * open and kept until the last RELEASE. Handles are stateless: everything is found by nodeid.
 *
 * A fetch that overran its deadline may still write into its buffer: the file is then *abandoned* - taken out of
 * its slot, its readers answered - and a fresh one takes its place, so the next read can succeed.
 *
 * Threads: any. Everything here is guarded by cache->lock (cache.h); requests are answered without it.
 */
#ifndef AJF_FILES_FILE_H
#define AJF_FILES_FILE_H

#include "base/list.h"
#include "base/types.h"
#include "files/prefetch.h"
#include "files/use.h"
#include "kernel/fuse.h"
#include "kernel/wait.h"
#include "memory/cache.h"
#include "names/inode.h"
#include "source/fetch_queue.h"

enum ajf_file_state { AJF_FILE_OPENING, AJF_FILE_READY };
enum ajf_file_place { AJF_PLACE_NONE, AJF_PLACE_BORROWED, AJF_PLACE_MEMORY };
enum ajf_file_mode { AJF_MODE_NONE, AJF_MODE_CACHED, AJF_MODE_PASSTHROUGH, AJF_MODE_DIRECT };

/* A fetch of a file: OPEN, or READ of some of its bytes. All is guarded by cache->lock. */
struct ajf_file_fetch {
    struct ajf_fetch fetch;
    struct ajf_file *file; /* a reference */
    /* READ */
    struct ajf_list by_file; /* file->fetches */
    size_t filled;
    bool sure;      /* the source has said that all is well */
    bool cancelled; /* nobody wants the rest */
    bool prepared;  /* its memory is pinned */
    bool starved;   /* in files->starved */
};

static inline struct ajf_file_fetch *ajf_file_fetch_of(struct ajf_fetch *f)
{
    return AJF_CONTAINER(f, struct ajf_file_fetch, fetch);
}

struct ajf_file {
    uint64_t nodeid; /* referenced */
    uint64_t version, size;
    uint32_t refs; /* the slot, opens, fetches, readers, replies under way */
    enum ajf_file_state state;
    enum ajf_file_place place;
    enum ajf_file_mode mode;
    struct ajf_file_fetch *opening; /* OPENING: the OPEN fetch; no reference */
    uint64_t opening_ns;       /* when it was queued */
    uint32_t opens; /* granted and not yet released */
    uint32_t asker; /* the user for whom it was opened first; AJF_DESCRIPTORS_NOBODY */
    int32_t backing_id;
    bool has_handle; /* the source has opened it and may be asked for bytes; 0 is a `handle` that needs no CLOSE */
    uint64_t handle;
    bool lazy;              /* never opened at the source: it is read with handle 0 */
    bool noted;             /* lazy: read from its start since the first open (ahead.h) */
    bool read;              /* the kernel was given bytes, or asked for some */
    bool abandoned;         /* out of its slot */
    bool fresh;             /* opened from the source since the last time nothing was open */
    /* BORROWED */
    struct ajf_extent *extents;
    size_t n_extents;
    uint32_t payer, paid; /* for whom how many descriptors are counted: those of the extents, that of the handle */
    struct ajf_pages pages; /* MEMORY */
    struct ajf_prefetch *prefetch; /* owned; NULL: it is small, or was not read yet */
    uint64_t read_ns; /* when somebody wanted bytes that are fetched, last */
    uint64_t gap; /* where prefetch found no room: bytes not far behind wait until it is asked for again. 0: none */
    struct ajf_list opens_waiting; /* struct ajf_opener, each with a reference */
    struct ajf_list readers;       /* struct ajf_read */
    struct ajf_list fetches;       /* struct ajf_file_fetch, queued or under way */
    struct ajf_list ahead;         /* in m->ahead: fetched ahead and never opened, */
    uint64_t ahead_ns;             /* since */
    struct ajf_list held;          /* in m->held: opened by a READ (held.h), */
    uint64_t held_ns, handed;      /* when it was read last; bytes that the kernel was handed; */
    bool failed;                   /* a fetch of it has failed since */
    struct ajf_turns turns;        /* the fetch queue's */
    struct ajf_usage usage;        /* for a program that records it */
};

#define AJF_AHEAD_RECENT 256
#define AJF_AHEAD_COMING 64

/* The files that were fetched ahead of anybody (ahead.h). */
struct ajf_ahead {
    struct ajf_list files; /* lock; oldest first */
    /* nodeids of files that readers have come to: those of which the directory does not know yet, */
    uint32_t coming[AJF_AHEAD_COMING]; /* lock */
    unsigned n_coming;                 /* lock */
    uint32_t came[AJF_AHEAD_RECENT];   /* lock; and a ring of those of which it knows, */
    uint64_t n_came;                   /* lock; as many as there were */
    uint64_t bytes;        /* lock; of these */
    uint64_t limit;        /* constant; 0: nothing is fetched ahead */
};

#define AJF_HOLD_NS (5 * AJF_NS_PER_S)
#define AJF_HELD_MOST 1024

/* The files that READs have opened (held.h). */
struct ajf_held {
    struct ajf_list files; /* lock; read least recently first */
    uint32_t n;            /* lock */
    uint64_t hold_ns;      /* lock; AJF_HOLD_NS, but in tests */
    struct ajf_alarm rest; /* set under the lock */
};

/* All files of a mount. */
struct ajf_files {
    struct ajf_file **by_node; /* cache->lock; by nodeid; sparse */
    struct ajf_list starved;   /* cache->lock; fetches that found no memory */
    struct ajf_ahead ahead;    /* cache->lock */
    struct ajf_held held;
    uint32_t next_token;       /* cache->lock; of opens that make the kernel drop pages; never 0 */
};

struct ajf;

int ajf_files_init(struct ajf_files *files);
void ajf_files_done(struct ajf_files *files);

/* The answers to the page cache about a file (struct ajf_cache_owner). */
bool ajf_file_emptied_locked(struct ajf *m, struct ajf_pages *p);
void ajf_file_hold_locked(struct ajf_pages *p);
bool ajf_file_let_go_locked(struct ajf *m, struct ajf_pages *p);

/* The file of a nodeid, or NULL; no reference is taken. */
struct ajf_file *ajf_file_of_locked(struct ajf *m, uint64_t nodeid);
void ajf_file_ref_locked(struct ajf_file *file);
void ajf_file_unref_locked(struct ajf *m, struct ajf_file *file);
/* The same. Takes the lock. */
void ajf_file_unref(struct ajf *m, struct ajf_file *file);
/* A new one, which is in no slot; NULL when out of memory. */
struct ajf_file *ajf_file_new(struct ajf *m, uint64_t nodeid, uint64_t version, uint64_t size);
/* Its bytes will come into memory. 0 or -ENOMEM. */
int ajf_file_begin(const struct ajf_cache *c, struct ajf_file *file);
/* The file was opened, or is dropped: it is fetched ahead of nobody any more (ahead.h). Idempotent. */
void ajf_file_leave_ahead_locked(struct ajf *m, struct ajf_file *file);
/* READY, and can be read without asking the source to open it. */
bool ajf_file_usable(const struct ajf_file *file);
/*
 * Counts one more open, in the mode of the first one, and fills the answer; its `fh` is 0, or the token of an open that
 * makes the kernel drop its pages (inode.h).
 */
void ajf_file_grant_locked(struct ajf *m, struct ajf_file *file, struct fuse_file_info *fi);
/* The kernel is handed `length` bytes of a file: counts them if a READ opened it (held.h). */
void ajf_file_hand_locked(struct ajf *m, struct ajf_file *file, size_t length);
/* Counts the descriptors of a file, for the user who opened it first. */
void ajf_file_pay_locked(struct ajf *m, struct ajf_file *file, uint32_t n);
/* Some of them are closed. */
void ajf_file_pay_back_locked(struct ajf *m, struct ajf_file *file, size_t n);
/* Has the source forget a handle. */
void ajf_file_push_close(struct ajf *m, uint64_t nodeid, uint64_t handle);
/*
 * The source is to open the file (again): makes the fetch, which the caller has answered without the lock
 * (ajf_direct_ask), whatever else fails. 0 or -ENOMEM.
 */
int ajf_file_ask_locked(struct ajf *m, struct ajf_file *file, struct ajf_fetch **ret_fetch);
/* The same, and has it answered by a fetcher. 0, -ENOMEM, or -ENOTCONN when the session has ended. */
int ajf_file_reopen_locked(struct ajf *m, struct ajf_file *file);
/* OPENING for more than half of the class's timeout: the source may hang in it. */
bool ajf_file_is_opening_long_locked(const struct ajf *m, const struct ajf_file *file, enum ajf_wait_class class);
/* Tells the source to forget the handle; when no fetch uses it any more. */
void ajf_file_close_handle_locked(struct ajf *m, struct ajf_file *file);
/* The source says that the name leads elsewhere by now: the kernel shall look it up again. Takes locks. */
void ajf_file_lost(struct ajf *m, const struct ajf_file *file);
/* Whether nothing uses a file. */
bool ajf_file_is_idle(const struct ajf_file *file);
/* Drops a file that nothing uses from its slot. */
void ajf_file_retire_locked(struct ajf *m, struct ajf_file *file);

#endif
