/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - a bounded ring of messages between the core and the thread that drains it (ajf_log_next).
 *
 * Any thread may write; a full ring loses the new message and counts it (log_lost). Writing never blocks on the
 * reader. Messages say what, where (path, offset) and what follows from it.
 */
#ifndef AJF_BASE_LOG_H
#define AJF_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>

#include "base/stats.h"
#include "base/sync.h"
#include "base/types.h"

#define AJF_LOG_ENTRIES 256 /* 120 KiB; the drain thread is woken by the first message */

struct ajf_log {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct ajf_log_entry *ring AJF_GUARDED_BY(lock);
    size_t head AJF_GUARDED_BY(lock), used AJF_GUARDED_BY(lock);
    bool stopped AJF_GUARDED_BY(lock);
    struct ajf_stats *stats;
};

int ajf_log_init(struct ajf_log *log, struct ajf_stats *stats);
void ajf_log_done(struct ajf_log *log);
void ajf_log_stop(struct ajf_log *log);
int ajf_log_take(struct ajf_log *log, int timeout_ms, struct ajf_log_entry *ret_entry);
void ajf_log(struct ajf_log *log, enum ajf_log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
