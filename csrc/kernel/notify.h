/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - telling the kernel to ask again for names and attributes, and to drop pages.
 *
 * A name *expires*: at the next look the kernel asks what it stands for. To have it dropped instead would unmount what
 * is mounted below it and make "(deleted)" of a working directory, though it may be just what it was. A kernel that
 * cannot do that (before 6.2) drops the names of files, and keeps a directory's until its time is over.
 *
 * The kernel takes the directory's lock for a name, which a parked LOOKUP in the same directory may hold, and waits for
 * pages that a parked READ is to fill: so it happens on a thread of its own, never inside a request and never on the
 * thread that enforces deadlines.
 */
#ifndef AJF_KERNEL_NOTIFY_H
#define AJF_KERNEL_NOTIFY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/sync.h"

struct ajf;

struct ajf_notify {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct ajf_list queue AJF_GUARDED_BY(lock);
    bool stopping AJF_GUARDED_BY(lock), started AJF_GUARDED_BY(lock);
    pthread_t thread;
    struct ajf *m;
};

void ajf_notify_init(struct ajf_notify *n, struct ajf *m);
void ajf_notify_done(struct ajf_notify *n);
/*
 * Queues one name, and the attributes of what it stood for: record `nodeid`, 0 where it stood for nothing. Without a
 * name they are the root's. Starts the thread at the first. Lost when memory is short: the name then lives until its
 * time is over.
 */
void ajf_notify_name(struct ajf_notify *n, uint64_t parent, const char *name, size_t len, uint64_t nodeid,
                     bool directory);
/* Like ajf_notify_name, for all pages of a file, mapped ones too. */
void ajf_notify_pages(struct ajf_notify *n, uint64_t nodeid);
/* Calls `done` when the kernel has been told what was queued before, or will not be told any more. Any thread. */
void ajf_notify_then(struct ajf_notify *n, void (*done)(struct ajf *m, void *arg), void *arg);
/* Drops what is queued and joins; call when no request is parked any more (they may hold what the kernel needs). */
void ajf_notify_stop(struct ajf_notify *n);

#endif
