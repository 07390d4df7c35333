/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir.h - the listings of directories: which one counts, who has it open, what the kernel may keep of it.
 *
 * Sorted, so that offsets mean the same in the next listing of an unchanged directory (handles are stateless), and so
 * that a LOOKUP behind a listing is a binary search. A snapshot is valid for new OPENDIRs until it expires; while it
 * is open it stays as it is. Inode records are made when an entry is handed to the kernel, not before.
 *
 * OPENDIR never asks the source. If no snapshot is good it gives a *seat*, which gets a snapshot when it is read: many
 * open a directory and never list it.
 *
 * The kernel caches what it read (FOPEN_CACHE_DIR); it may keep that while the snapshot is the same (`edition`). From
 * the next one it reads anew, and gets attributes and timeouts with the names (READDIRPLUS); names that it kept would
 * each cost a LOOKUP, as their timeouts passed with the snapshot's. So they would when it has forgotten most of the
 * files, as it does when memory is short: it reads anew then, too. Its cache is one for all handles, and finds its
 * place by offset: it must never get entries of two snapshots. So a handle with a seat makes it drop its cache and
 * fills it, but only if no other open handle may do so; and while it has not read, no other one uses or fills the
 * cache.
 *
 * An answer about one name, by a look-up or a newer listing, and a snapshot that says otherwise are not both believed:
 * the older one counts no longer (ajf_dir_hear, ajf_dir_denies, ajf_dir_listed).
 *
 * An open directory keeps its snapshot, and a program may have many open that change all the time. Beyond a limit the
 * contents of the snapshot that was read longest ago are given up, and a reader that goes on in it gets ESTALE.
 *
 * Threads: any. Lock: dirs->lock guards the table and all counts; above inodes->lock. Snapshots are read without it,
 * held by a reference.
 */
#ifndef AJF_NAMES_DIR_H
#define AJF_NAMES_DIR_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/sync.h"
#include "base/types.h"
#include "names/inode.h"
#include "names/listing.h"

#define AJF_DIR_BUCKETS 1024

/* A directory that is open, but had no snapshot that was good when it was opened. */
struct ajf_seat {
    struct ajf_list by_node;
    uint32_t id;           /* as that of a snapshot */
    uint64_t nodeid;
    bool fills;            /* what is read through it the kernel caches */
    struct ajf_listing *l; /* lock; a reference; NULL: it has not been read */
};

/* A file that ajf_dir_ahead found worth fetching. */
struct ajf_dir_pick {
    struct ajf_attr attr;
    size_t len;
    char name[AJF_NAME_MAX];
};

struct ajf;

/* Called when a name may stand for something else than was told last: nodeid 0, for nothing. Without locks. */
typedef void (*ajf_dirs_tell)(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t nodeid,
                              bool directory);

struct ajf_dirs {
    pthread_mutex_t lock;
    struct ajf_list bucket[AJF_DIR_BUCKETS] AJF_GUARDED_BY(lock); /* by nodeid */
    struct ajf_list seats[AJF_DIR_BUCKETS] AJF_GUARDED_BY(lock); /* by nodeid */
    struct ajf_list by_age AJF_GUARDED_BY(lock); /* current ones, oldest first */
    struct ajf_list held AJF_GUARDED_BY(lock); /* the others that have contents, the one read longest ago first */
    uint64_t bytes AJF_GUARDED_BY(lock); /* of the contents of all, */
    uint64_t kept_bytes AJF_GUARDED_BY(lock); /* and of those that are current */
    uint64_t most;                           /* of these, and of the others */
    uint64_t told_ns AJF_GUARDED_BY(lock); /* when the log was told that some were given up, last */
    uint32_t next_id AJF_GUARDED_BY(lock), next_token AJF_GUARDED_BY(lock); /* never 0 */
    uint64_t dropped_ns AJF_GUARDED_BY(lock); /* when a snapshot turned out to be out of date, whichever */
    uint64_t forgotten_ns AJF_GUARDED_BY(lock); /* when all that was known of some directories was to be forgotten */
    bool closed AJF_GUARDED_BY(lock); /* the connection is gone */
    atomic_bool tells;                /* the kernel takes attributes with the names of a listing */
    ajf_dirs_tell tell;                      /* constant */
};

void ajf_dirs_init(struct ajf_dirs *d, uint64_t most, ajf_dirs_tell tell);
/* Drops every snapshot, open or not: the connection is gone. */
void ajf_dirs_clear(struct ajf *m);
void ajf_dirs_done(struct ajf_dirs *d);

/* OPENDIR, with the current snapshot or a seat: 0, what the kernel does with its cache, and the handle; or -ENOMEM. */
int ajf_dir_open(struct ajf *m, uint64_t nodeid, enum ajf_dir_cache *ret_cache, uint64_t *ret_fh);
void ajf_dir_release(struct ajf *m, uint64_t nodeid, uint64_t fh);
/* Like ajf_dir_release, for an open whose reply the kernel did not take: it has dropped nothing. */
void ajf_dir_unopen(struct ajf *m, uint64_t nodeid, uint64_t fh);

/*
 * The snapshot of a handle, to be given back by ajf_dir_unref. NULL: there is no snapshot (any more), and a LIST is
 * needed; `listed` is what it brought (else NULL), however short its life. One without contents was given up.
 */
struct ajf_listing *ajf_dir_take(struct ajf *m, uint64_t nodeid, uint64_t fh, struct ajf_listing *listed);

/*
 * Builds the snapshot of what the source was asked at asked_ns, and makes it current; one that was `offered` only where
 * nothing newer is known, and without saying what does not exist. The kernel is told of names that the one before it
 * had and it lacks, or the other way round. 0, -ENOMEM, -ENOTCONN, -EINVAL (offsets outside the blob). The caller may
 * have a reference (ret_l), to be given back by ajf_dir_unref.
 */
int ajf_dir_listed(struct ajf *m, uint64_t nodeid, const struct ajf_entry *entries, size_t n, const char *names,
                   size_t names_len, uint64_t asked_ns, bool offered, struct ajf_listing **ret_l);
void ajf_dir_unref(struct ajf *m, struct ajf_listing *l);
/*
 * Forgets of each name that only one of two snapshots has what was learnt before the newer one, and tells of it
 * (ajf_dirs_tell). The caller holds both, and no lock.
 */
void ajf_dir_compare(struct ajf *m, const struct ajf_listing *old, const struct ajf_listing *new);

/* A name in the current snapshot of its directory: 0, -ENOENT, or -EAGAIN (not known, or too old). */
int ajf_dir_find(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t now_ns,
                 struct ajf_attr *ret_attr, uint64_t *ret_expires_ns);

/*
 * The source says, asked at asked_ns, what `name` is; without attributes, that it is nothing. If the current snapshot
 * is older and says otherwise, it is dropped.
 */
enum ajf_dir_said {
    AJF_DIR_SAYS_SO,       /* or nothing */
    AJF_DIR_SAID_OTHERWISE, /* it was older */
    AJF_DIR_KNOWS_BETTER,  /* it is newer: what was heard is true for this once */
};
enum ajf_dir_said ajf_dir_hear(struct ajf *m, uint64_t parent, const char *name, size_t len,
                               const struct ajf_attr *attr, uint64_t asked_ns);

/* Whether the current snapshot lacks a name of which attributes that expire at expires_ns were learnt before it. */
bool ajf_dir_denies(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t now_ns,
                    uint64_t expires_ns);

/*
 * Notes that the file `name` is being read, and finds those that are likely to be read next (run.h), in the order of
 * names or of inode numbers, whichever is being followed: regular files of 1 byte to lazy_open_bytes, at most `most`
 * and of at most `room` bytes in all; returns how many.
 */
size_t ajf_dir_ahead(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t room,
                     struct ajf_dir_pick *ret_picks, size_t most);

/* The snapshot is known to be out of date. */
void ajf_dirs_drop(struct ajf_dirs *d, uint64_t nodeid);
/* Answers to listings that are under way will be out of date. */
void ajf_dirs_forget(struct ajf_dirs *d);

#endif
