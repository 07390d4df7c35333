/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata.h - requests about names and attributes: from what is known, or parked on a fetch of metadata.
 *
 * Each entry point answers its request exactly once, now or later. Equal questions share a fetch as long as no
 * fetcher has taken it (afterwards an answer might be older than the question). One that still waits for a fetcher when
 * the last of its callers has gone is taken back.
 *
 * Threads: workers call the entry points, fetchers the answers. Lock: metadata->lock guards the lists of calls and the
 * table of joinable fetches; above queue->lock, below nothing.
 */
#ifndef AJF_OPS_METADATA_H
#define AJF_OPS_METADATA_H

#include <errno.h>
#include <sys/statvfs.h>

#include "base/list.h"
#include "base/types.h"
#include "kernel/fuse.h"
#include "kernel/wait.h"
#include "names/inode.h"
#include "source/fetch_queue.h"

/* A fetch of metadata. */
struct ajf_ask {
    struct ajf_fetch fetch;
    struct ajf_list calls;  /* metadata->lock; struct ajf_call */
    struct ajf_list by_key; /* metadata->lock; joinable ones */
};

/* Goes on with an OPEN. */
typedef void (*ajf_metadata_then)(struct ajf *m, const struct ajf_request *req, uint64_t nodeid,
                                  const struct fuse_file_info *fi);

/* A parked request about a name, or about attributes. */
struct ajf_call {
    struct ajf_wait wait;
    struct ajf_list link;     /* metadata->lock; ask->calls */
    struct ajf_ask *ask;      /* metadata; NULL: it is answered already */
    struct fuse_file_info fi;
    bool attributes;          /* STAT that may be answered with what was known: the root's */
    ajf_metadata_then open;   /* STAT: an OPEN goes on if the source still says `checked`, by which it was permitted */
    struct ajf_permissions checked;
};

#define AJF_METADATA_BUCKETS 64

struct ajf_metadata {
    pthread_mutex_t lock;
    struct ajf_list joinable[AJF_METADATA_BUCKETS]; /* lock; queued fetches, by kind and nodeid */
    /* lock; a STATFS, and a STAT of the root, that nobody waited for any longer: nobody waits for another one */
    const struct ajf_ask *overdue_statfs, *overdue_root;
    struct statvfs statfs; /* lock; what was told last */
    _Atomic uint64_t forgotten_ns; /* what was asked until then, and is answered later, is true for that once */
};

struct ajf;

void ajf_metadata_init(struct ajf_metadata *metadata);
void ajf_metadata_done(struct ajf_metadata *metadata);

void ajf_metadata_lookup(struct ajf *m, const struct ajf_request *req, uint64_t parent, const char *name);
/* The root's are like ajf_metadata_statfs: it is there as long as the mount is. */
void ajf_metadata_getattr(struct ajf *m, const struct ajf_request *req, uint64_t nodeid);
/* OPEN of record `v`, which the kernel has permitted: goes on with `open` if the source says the same, else ESTALE. */
void ajf_metadata_confirm(struct ajf *m, const struct ajf_request *req, const struct ajf_inode_view *v,
                          const struct fuse_file_info *fi, ajf_metadata_then open);
void ajf_metadata_readlink(struct ajf *m, const struct ajf_request *req, uint64_t nodeid);
/* A watcher of a mount must not hang with its source: after a while it gets the figures that were told last. */
void ajf_metadata_statfs(struct ajf *m, const struct ajf_request *req);
/*
 * Forgets a directory, or `name` in it if that is not empty, and everything below: daemon, source and kernel. Answered
 * when the next look asks the source.
 */
void ajf_metadata_refresh(struct ajf *m, const struct ajf_request *req, uint64_t nodeid, const char *name);
/* LIST of a directory, to answer READDIR(PLUS). */
void ajf_metadata_list(struct ajf *m, const struct ajf_request *req, uint64_t nodeid, const struct fuse_file_info *fi);

/* Answers to questions that are under way are not to be remembered. */
void ajf_metadata_forget(struct ajf_metadata *metadata);

/* The functions for a fetch of each kind (metadata_answers.c). */
const struct ajf_fetch_ops *ajf_metadata_ops(enum ajf_fetch_kind kind);
/* Whether a request waits for its answer. Answers about the root serve later requests, too. */
bool ajf_metadata_is_wanted_locked(const struct ajf_ask *ask);

#endif
