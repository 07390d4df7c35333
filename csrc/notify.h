/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - telling the kernel to forget names and pages.
 *
 * The kernel takes the directory's lock for a name, which a parked LOOKUP in the same directory may hold, and waits for
 * pages that a parked READ is to fill: so it happens on a thread of its own, never inside a request and never on the
 * thread that enforces deadlines.
 */
#ifndef AJF_NOTIFY_H
#define AJF_NOTIFY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"

struct ajf;

struct ajf_notify {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct ajf_list queue; /* lock */
    bool stopping, started; /* lock */
    pthread_t thread;
    struct ajf *m;
};

void ajf_notify_init(struct ajf_notify *n, struct ajf *m);
void ajf_notify_done(struct ajf_notify *n);
/* Queues one name (without a name: the attributes of the root); starts the thread at the first. Lost when memory is short: the name then lives until it expires. */
void ajf_notify_name(struct ajf_notify *n, uint64_t parent, const char *name, size_t len);
/* As ajf_notify_name: all pages of a file, mapped ones too. */
void ajf_notify_pages(struct ajf_notify *n, uint64_t nodeid);
/* Drops what is queued and joins; call when no request is parked any more (they may hold what the kernel needs). */
void ajf_notify_stop(struct ajf_notify *n);

#endif
