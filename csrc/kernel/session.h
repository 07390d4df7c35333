/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the connection to the kernel: mount, INIT, unmount.
 *
 * Threads: one for the life cycle; `init` runs on a worker, once.
 */
#ifndef AJF_KERNEL_SESSION_H
#define AJF_KERNEL_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sync.h"
#include "kernel/fuse.h"

struct ajf;

#define AJF_SCRATCH_BYTES (UINT64_C(1) << 20) /* largest READ: 256 pages */

struct ajf_session {
    struct fuse_session *se;
    char *mountpoint;
    uint64_t device;           /* of the mount; 0 = not known */
    _Atomic bool passthrough;  /* granted, wanted, and not refused so far */
    bool passthrough_warned;   /* cache->lock */
    _Atomic unsigned granted;  /* enum ajf_feature */
    uint32_t max_read;         /* bytes of one READ; 0 = as large as the kernel grants */
    _Atomic size_t most_spliced; /* bytes of the largest READ that may be spliced (lent.h); 0 = none may */
    pthread_mutex_t lock;
    pthread_cond_t ready;
    bool initialised AJF_GUARDED_BY(lock), over AJF_GUARDED_BY(lock);
};

void ajf_session_init(struct ajf_session *s);
void ajf_session_done(struct ajf_session *s);
/* With these operations; `most_spliced` is the largest READ that fits a pipe (lent.h). */
int ajf_session_mount(struct ajf *m, const struct fuse_lowlevel_ops *ops, size_t most_spliced, const char *mountpoint,
                      const char *options);
/* Unmounts (lazily) what is still ours, and ends the connection. */
void ajf_session_unmount(struct ajf *m);
/* Frees it. No thread uses it any more. */
void ajf_session_close(struct ajf *m);
/* Blocks until INIT was seen: 0, -ETIMEDOUT, -EPROTO (the session ended before). */
int ajf_session_wait_ready(struct ajf *m, int timeout_ms);
/* The last worker has ended. */
void ajf_session_over(struct ajf *m);
/* The kernel's INIT: negotiates. Called by decode.c. */
void ajf_session_negotiate(struct ajf *m, struct fuse_conn_info *conn);

#endif
