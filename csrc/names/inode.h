/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode.h - what the mount knows of names: one fixed-size record per version of a file.
 *
 * A nodeid is the index of a record. Records lie in one arena, names in another; both outlive the process that wrote
 * them as long as their descriptors do. A record is filled first and published by a release store of its state, so
 * reading a record's constant part needs no lock; attributes, counts and the index of names do.
 *
 * A version is an inode: a name whose file changed its identity (ajf_attr.version) gets a new record, and the old
 * one lives on, nameless, until the kernel has forgotten it and nothing refers to it. Directories keep theirs.
 *
 * The number that applications see is the source's own. If that is 0 it is made up (number.h) of the path, and of a
 * file's version: it is the same in every mount, and a file that was replaced has another one.
 *
 * A record stays while nlookup (what the kernel was told of it) or refs (children, file state, listings, requests
 * under way) is not zero. Negative entries are records without lookups, at most AJF_INODE_NEGATIVES of them.
 *
 * Threads: any. Lock: table->lock, a leaf: nothing else is taken under it.
 */
#ifndef AJF_NAMES_INODE_H
#define AJF_NAMES_INODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/stats.h"
#include "base/sync.h"
#include "base/types.h"
#include "names/inode_numbers.h"

#define AJF_ROOT 1
#define AJF_INODES_MAX (UINT64_C(1) << 26) /* 64 Mi records: 8.5 GiB of address space, paid only as touched */
#define AJF_NAMES_BYTES (UINT64_C(1) << 33)
#define AJF_INODE_NEGATIVES 65536
#define AJF_NAME_MAX 255

enum ajf_inode_state { AJF_INODE_FREE, AJF_INODE_LIVE, AJF_INODE_NEGATIVE };

struct ajf_inode {
    /* constant while the record is published */
    _Atomic uint8_t state;
    uint8_t name_len;
    /* table->lock */
    bool hashed : 1;  /* reachable by (parent, name) */
    bool changed : 1; /* attributes (size, mtime, ctime) changed since the last open: the kernel's pages are stale */
    bool read : 1;    /* file: the kernel has been given bytes of it */
    bool made : 1;    /* attr.ino is made up, and the record in table->numbers */
    /* constant */
    uint32_t generation;
    uint32_t parent;  /* index; 0 for the root */
    uint32_t name_at; /* in units of 16 bytes of the name arena */
    /* table->lock */
    uint32_t hash_next, number_next;
    uint32_t refs;
    uint32_t unsettled; /* token of the open that will make the kernel drop what it has cached; 0 = none */
    uint64_t nlookup;
    uint64_t stamp;      /* of what the kernel caches: a directory's listing, a lent file's size and times; 0 = none;
                            of a negative entry: when attributes would expire that were learnt with it */
    uint64_t expires_ns; /* of attr and of a negative entry, monotonic */
    struct ajf_attr attr; /* ino: never 0 while live */
} __attribute__((aligned(16)));

struct ajf_inodes {
    pthread_mutex_t lock;
    struct ajf_arena records, names;
    uint32_t used AJF_GUARDED_BY(lock); /* records ever taken (next fresh index) */
    uint32_t free_head AJF_GUARDED_BY(lock); /* chain through hash_next */
    uint32_t name_used AJF_GUARDED_BY(lock); /* units of 16 bytes */
    uint32_t name_free[17] AJF_GUARDED_BY(lock); /* free runs by length in units */
    uint32_t *buckets AJF_GUARDED_BY(lock);
    uint32_t n_buckets AJF_GUARDED_BY(lock), n_hashed AJF_GUARDED_BY(lock);
    uint32_t negative[AJF_INODE_NEGATIVES] AJF_GUARDED_BY(lock); /* ring of negative records, */
    uint32_t negative_at AJF_GUARDED_BY(lock);                   /* the oldest next */
    struct ajf_numbers numbers AJF_GUARDED_BY(lock);
    uint64_t number_mask;       /* of hashes; tests make them collide */
    uint32_t n_displaced AJF_GUARDED_BY(lock); /* records whose number was another's by its hash */
    bool swept AJF_GUARDED_BY(lock);
    struct ajf_stats *stats;
};

int ajf_inodes_init(struct ajf_inodes *t, struct ajf_stats *stats);
/* Counts every record as dead: the connection is gone, nothing is forgotten one by one any more. */
void ajf_inodes_sweep(struct ajf_inodes *t);
void ajf_inodes_done(struct ajf_inodes *t);

/* A copy of a record for callers, so it cannot change under them. */
struct ajf_inode_view {
    uint64_t nodeid;
    uint32_t generation;
    uint64_t expires_ns;
    struct ajf_attr attr;
    bool stale; /* no longer what its name stands for */
    bool read;  /* the kernel may have bytes of it */
};

/* Looks up a name: 0, -ENOENT (a negative entry that is still valid), -EAGAIN (unknown or expired: ask the source).
 * On 0 the record has one lookup more, to be taken back by ajf_inode_forget when the reply fails; on -ENOENT the view
 * has nothing but when the negative entry expires. */
int ajf_inode_find(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, uint64_t now_ns,
                   struct ajf_inode_view *ret_view);

/*
 * Records what the source says of a name, valid until expires_ns, and gives back its record (with one lookup more
 * when `lookup`). A changed version gets a new record; older knowledge than there is changes nothing. All attributes
 * live equally long, so what expires later was learnt later. -ENOMEM when the table is full, -ENOENT when it was learnt
 * later that there is no such name.
 */
int ajf_inode_bind(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, const struct ajf_attr *attr,
                   uint64_t expires_ns, bool lookup, struct ajf_inode_view *ret_view);

/*
 * The source says there is no such name; what the name stood for becomes stale. `learnt_ns` is when attributes would
 * expire that were learnt with it. With `keep` there is a negative entry: it answers until expires_ns, and nothing that
 * is older brings the name back afterwards either. False, and no change, when it was learnt later that the name is
 * there.
 */
bool ajf_inode_unbind(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, bool keep,
                      uint64_t expires_ns, uint64_t learnt_ns);

/* Knowledge of a name counts no longer if it was learnt before that which expires at `learnt_ns`: its record, or 0. */
uint64_t ajf_inode_outdate(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, uint64_t learnt_ns);

/*
 * New attributes of a record; older ones than there are change nothing. 0, or -ESTALE when they belong to another
 * version (the record is made stale and the caller asks the kernel to forget its name).
 */
int ajf_inode_update(struct ajf_inodes *t, uint64_t nodeid, const struct ajf_attr *attr, uint64_t expires_ns);

/* Knowledge of a record counts no longer. */
void ajf_inode_expire(struct ajf_inodes *t, uint64_t nodeid);

/* A file's record is of another version from now on. It keeps its number, its place, and its name if it has one. */
void ajf_inode_renew(struct ajf_inodes *t, uint64_t nodeid, const struct ajf_attr *attr, uint64_t expires_ns);

/* The source says the record's file is gone. */
void ajf_inode_gone(struct ajf_inodes *t, uint64_t nodeid);

/* The number that ajf_inode_bind would show of a name of which the source says `attr`; nothing is recorded. */
uint64_t ajf_inode_number(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len,
                          const struct ajf_attr *attr);
/* The number of the directory that a record lies in, and of the root for the root. */
uint64_t ajf_inode_number_above(struct ajf_inodes *t, uint64_t nodeid);

/* 0 or -ESTALE for an index that is no live record. */
int ajf_inode_get(struct ajf_inodes *t, uint64_t nodeid, struct ajf_inode_view *ret_view);

void ajf_inode_forget(struct ajf_inodes *t, uint64_t nodeid, uint64_t nlookup);
void ajf_inode_ref(struct ajf_inodes *t, uint64_t nodeid);
void ajf_inode_unref(struct ajf_inodes *t, uint64_t nodeid);

/* File: size and times of its lent file at this open, hashed; another than at the last one marks it changed. */
void ajf_inode_saw(struct ajf_inodes *t, uint64_t nodeid, uint64_t stamp);

/* The kernel's pages of the file are not to be relied on: as if it had changed. */
void ajf_inode_spoil(struct ajf_inodes *t, uint64_t nodeid);

/* The kernel is given bytes of the file. */
void ajf_inode_was_read(struct ajf_inodes *t, uint64_t nodeid);

/*
 * File: it is being opened. True: the kernel is to drop its pages, because the file has changed since the last open, or
 * because the open that was told so may not have come to it yet. The first one is `token` (not 0) until it settles.
 */
bool ajf_inode_take_changed(struct ajf_inodes *t, uint64_t nodeid, uint32_t token);

/* The open `token`, if it is one, has read, or has ended: what it was to make the kernel drop is dropped. */
void ajf_inode_settle(struct ajf_inodes *t, uint64_t nodeid, uint32_t token);

/*
 * Directory: the kernel's cache of it. An OPENDIR of the listing `stamp` (0: of one that is not known yet) is FRESH
 * when the kernel has another one, or knows fewer than `least` of the files in it: its reply makes the kernel drop
 * that, and `token` (not 0) names the open. Until it has read (ajf_inode_dir_read), or has ended (ajf_inode_settle),
 * the dropping may still be to come, and other opens must neither use nor fill the cache (UNSETTLED).
 */
enum ajf_dir_cache { AJF_DIR_KEEP, AJF_DIR_FRESH, AJF_DIR_UNSETTLED };
enum ajf_dir_cache ajf_inode_dir_open(struct ajf_inodes *t, uint64_t nodeid, uint64_t stamp, uint32_t least,
                                      uint32_t token);
/* The open `token` (0: another) is being handed entries of the listing `stamp`; if it is not the one, there is none. */
void ajf_inode_dir_read(struct ajf_inodes *t, uint64_t nodeid, uint64_t stamp, uint32_t token);

/* Parent and name of a record, for ajf_notify_name: 0 or -ENOENT (root, stale). `ret_name` holds AJF_NAME_MAX bytes. */
int ajf_inode_name(struct ajf_inodes *t, uint64_t nodeid, uint64_t *ret_parent, char *ret_name, size_t *ret_len);

/* The record that a path leads to, valid, expired or negative, with one reference more; 0 when there is none. */
uint64_t ajf_inode_resolve(struct ajf_inodes *t, const char *path, size_t len);

/*
 * Knowledge of record `nodeid` counts no longer, if a name leads to it and it is `top` or lies below: returns
 * whether, and parent and name (AJF_NAME_MAX bytes; length 0: it is the root). Any index below ajf_inodes_end may be
 * asked.
 */
bool ajf_inode_expire_below(struct ajf_inodes *t, uint64_t nodeid, uint64_t top, uint64_t *ret_parent, char *ret_name,
                            size_t *ret_len);

/* Path from the root ("/", "/a/b"), with `name` appended when it is not NULL; malloc'ed, NULL when out of memory. */
char *ajf_inode_path(struct ajf_inodes *t, uint64_t nodeid, const char *name, size_t len);

/* All indices that were ever used are below it. */
uint64_t ajf_inodes_end(struct ajf_inodes *t);

/* Records alive, the root not counted. */
uint64_t ajf_inode_count(struct ajf_inodes *t);

#endif
