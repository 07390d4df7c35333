/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount.h - struct ajf: everything that belongs to one mount. Internal; there is nothing outside of it.
 */
#ifndef AJF_MOUNT_H
#define AJF_MOUNT_H

#include <string.h>

#include "ajf.h"
#include "base/log.h"
#include "base/stats.h"
#include "base/sync.h"
#include "base/stats_times.h"
#include "files/file.h"
#include "kernel/notify.h"
#include "kernel/pool.h"
#include "kernel/reply.h"
#include "kernel/session.h"
#include "kernel/wait.h"
#include "memory/cache.h"
#include "names/dir.h"
#include "names/inode.h"
#include "names/trace.h"
#include "ops/metadata.h"
#include "source/direct.h"
#include "source/fetch_queue.h"

struct ajf {
    struct ajf_options options; /* constant */
    uint64_t lazy_open_bytes;   /* constant once mounted */
    bool follows_growth;        /* constant once mounted */
    bool confirms_opens;        /* constant once mounted */
    bool opens_files;           /* constant once mounted */
    const struct ajf_fetch_ops *open_ops, *fill_ops; /* constant; what becomes of an OPEN, of a READ */
    struct ajf_stats stats;
    struct ajf_log log;
    struct ajf_waits waits;
    struct ajf_notify notify;
    struct ajf_inodes inodes;
    struct ajf_dirs dirs;
    struct ajf_trace trace;
    struct ajf_uses uses;
    struct ajf_metadata metadata;
    struct ajf_cache cache;
    struct ajf_files files;
    struct ajf_queue queue;
    struct ajf_direct direct;
    struct ajf_pool pool;
    struct ajf_session session;
    pthread_key_t lent_tools; /* lent.h */
    bool stopped, stuck;   /* the life-cycle thread's; a worker, or the thread that closes lent files, hangs */
    struct ajf_times times; /* large: the others lie together */
};

#endif
