/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the connection to the kernel: mount, INIT, unmount.
 *
 * Threads: the life-cycle thread, but for ajf_session_negotiate and ajf_session_over, which workers call, once each.
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
    _Atomic bool passthrough;  /* it was wanted and granted, and has not failed so far */
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
/* `ops` serve it; `most_spliced` is the largest READ that fits into a pipe (lent.h). */
int ajf_session_mount(struct ajf *m, const struct fuse_lowlevel_ops *ops, size_t most_spliced, const char *mountpoint,
                      const char *options);
/* Unmounts lazily, unless the mount point shows another mount by now, and ends the connection. */
void ajf_session_unmount(struct ajf *m);
/* Frees the session, which no thread may use any more. */
void ajf_session_close(struct ajf *m);
/* Waits for INIT: 0, -ETIMEDOUT, or -EPROTO if the session has ended without it. */
int ajf_session_wait_ready(struct ajf *m, int timeout_ms);
/* Says that the last worker has ended. */
void ajf_session_over(struct ajf *m);
/* Answers the kernel's INIT: which features are used, and how large requests are. Called by decode.c. */
void ajf_session_negotiate(struct ajf *m, struct fuse_conn_info *conn);

#endif
