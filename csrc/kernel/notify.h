/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - telling the kernel to ask again for names and attributes, and to drop pages.
 *
 * A name *expires*: at the next look-up the kernel asks what it stands for. If the name were dropped instead, mounts
 * below it would be unmounted and a working directory would become "(deleted)", even if nothing has changed. A kernel
 * before 6.2 cannot expire names: there the names of files are dropped, and those of directories last until their
 * timeout.
 *
 * The kernel may block in such a call. For a name it takes the directory's lock, which a parked LOOKUP in the same
 * directory may hold; for pages it waits until a parked READ has filled them. So a thread of its own makes the calls,
 * never a request's thread, nor the one that enforces deadlines.
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
 * Queues a name, and the attributes of the record `nodeid` that it stood for; 0 if it stood for nothing. If `len` is 0,
 * these are the attributes of the root. The first call starts the thread. When memory is short nothing is queued, and
 * the name lasts until its timeout.
 */
void ajf_notify_name(struct ajf_notify *n, uint64_t parent, const char *name, size_t len, uint64_t nodeid,
                     bool directory);
/* Like ajf_notify_name, for all pages of a file, mapped ones too. */
void ajf_notify_pages(struct ajf_notify *n, uint64_t nodeid);
/* Calls `done`, on any thread, when the kernel has been told all that was queued before, or never will be. */
void ajf_notify_then(struct ajf_notify *n, void (*done)(struct ajf *m, void *arg), void *arg);
/* Drops the queue and joins the thread. No request may be parked any more: the kernel may wait for its lock. */
void ajf_notify_stop(struct ajf_notify *n);

#endif
