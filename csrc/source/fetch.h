/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h - what is wanted from the source, as the embedding program sees it: it pulls fetches, and answers them.
 *
 * ajf_fetch_next (ajf.h) hands out a fetch, which is the caller's until ajf_fetch_release. Of answers that come at once
 * the first counts; all have returned before ajf_fetch_release is called.
 *
 * Threads: any.
 */
#ifndef AJF_SOURCE_FETCH_H
#define AJF_SOURCE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/types.h"

struct ajf_fetch;

enum ajf_fetch_kind {
    AJF_FETCH_STAT,     /* attributes of path          -> ajf_fetch_attr */
    AJF_FETCH_LIST,     /* listing of path             -> ajf_fetch_list */
    AJF_FETCH_READLINK, /* target of path              -> ajf_fetch_link */
    AJF_FETCH_STATFS,   /* figures of the file system  -> ajf_fetch_statfs */
    AJF_FETCH_OPEN,     /* open path for reading       -> ajf_fetch_opened */
    AJF_FETCH_READ,     /* fill the buffer             -> ajf_fetch_progress ..., ajf_fetch_done */
    AJF_FETCH_CLOSE,    /* forget `handle`             -> ajf_fetch_done */
    AJF_FETCH_FORGET,   /* what is remembered of path and everything below it -> ajf_fetch_done */
};

enum ajf_lane {
    AJF_LANE_METADATA,
    AJF_LANE_DEMAND,   /* data that somebody waits for */
    AJF_LANE_PREFETCH, /* of a file that is being read */
    AJF_LANE_AHEAD,    /* of files that are likely to be read next */
    AJF_LANES
};

/* A fetch as fetchers see it; pointers are valid until the fetch is ended. */
struct ajf_fetch_info {
    enum ajf_fetch_kind kind;
    enum ajf_lane lane;
    const char *path; /* from the root of the mount, "/" or "/a/b"; bytes as the kernel gave them */
    size_t path_len;
    uint64_t version; /* OPEN, READ: the identity that is wanted; STAT: see ajf_follow_growth, else 0 */
    uint64_t handle;  /* READ, CLOSE: what ajf_fetch_opened was given; 0: opened lazily */
    uint64_t size;    /* OPEN, READ: size of that version, bytes */
    uint64_t offset;  /* READ: of the first byte of the buffer within the file */
    void *buffer;     /* READ: `length` writable bytes, the cache page itself */
    size_t length;
};

void ajf_fetch_info(const struct ajf_fetch *f, struct ajf_fetch_info *ret_info);

/*
 * READ: the first `filled` bytes of the buffer are final. Wakes readers. Returns 0, -ECANCELED when nobody wants
 * the rest (end the fetch with what there is), or -EINVAL when `filled` goes backwards or beyond the length.
 */
int ajf_fetch_progress(struct ajf_fetch *f, size_t filled);

/*
 * Whether a request waits for the result of the fetch: 0, or -ECANCELED (end it). For a source that needs long for an
 * answer, between its questions. Fetches of figures, opens, closes and forgets are wanted to the end.
 */
int ajf_fetch_wanted(struct ajf_fetch *f);

/* The answers, one per kind. -EINVAL: a malformed answer; the fetch was failed with EIO instead. */
int ajf_fetch_attr(struct ajf_fetch *f, const struct ajf_attr *attr);
/*
 * The other answer to STAT of a `version`, which somebody has open: the file is another version now, no shorter, and
 * begins with all that READs of `version` made final. The open files go on in it, where that can be done.
 */
int ajf_fetch_grown(struct ajf_fetch *f, const struct ajf_attr *attr);
int ajf_fetch_list(struct ajf_fetch *f, const struct ajf_entry *entries, size_t n, const char *names,
                   size_t names_len);
int ajf_fetch_link(struct ajf_fetch *f, const char *target, size_t len);
int ajf_fetch_statfs(struct ajf_fetch *f, const struct ajf_statfs *s);
/*
 * `extents` (n may be 0: nothing is lent) cover the file in order; takes the descriptors, also on failure. A single one
 * is a file as it is, which may change in place; several are pieces that nobody changes while they are lent.
 * `handle` is handed back in READ and CLOSE; 0: the source keeps nothing, there will be no CLOSE.
 * `version` is what was really opened: another one than wanted answers ESTALE, the kernel looks the name up again.
 */
int ajf_fetch_opened(struct ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                     const struct ajf_extent *extents, size_t n);
/* OPEN, before ajf_fetch_opened: mode and owner of what was opened, as they are now. */
void ajf_fetch_permissions(struct ajf_fetch *f, uint32_t mode, uint32_t uid, uint32_t gid);
/* READ: `filled` bytes are final and no more will come; fewer than asked is EIO for readers of the rest. */
int ajf_fetch_done(struct ajf_fetch *f, size_t filled);
/*
 * Any kind: `err` is a positive errno (ECANCELED: no request's). Bytes that a READ made final before stay, but with
 * EBADMSG: then all that came of the file is wrong, is dropped, and will be asked for again; the application gets EIO.
 * The kernel is told to drop its pages, and may serve some of them until then.
 */
void ajf_fetch_fail(struct ajf_fetch *f, int err);

/*
 * Gives the fetch back; one that was not answered is failed with EIO. Until then the buffer may be written (a late
 * writer does no harm: its range is not reused before).
 */
void ajf_fetch_release(struct ajf_fetch *f);

#endif
