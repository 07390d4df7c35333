/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sync.h"

AJF_NOT_ANALYSED int ajf_log_init(struct ajf_log *log, struct ajf_stats *stats)
{
    log->ring = malloc(AJF_LOG_ENTRIES * sizeof *log->ring);
    if (!log->ring)
        return -ENOMEM;
    pthread_mutex_init(&log->lock, NULL);
    ajf_cond_init(&log->ready);
    log->head = log->used = 0;
    log->stopped = false;
    log->stats = stats;
    return 0;
}

AJF_NOT_ANALYSED void ajf_log_done(struct ajf_log *log)
{
    free(log->ring);
    pthread_cond_destroy(&log->ready);
    pthread_mutex_destroy(&log->lock);
}

void ajf_log_stop(struct ajf_log *log)
{
    pthread_mutex_lock(&log->lock);
    log->stopped = true;
    pthread_cond_broadcast(&log->ready);
    pthread_mutex_unlock(&log->lock);
}

int ajf_log_take(struct ajf_log *log, int timeout_ms, struct ajf_log_entry *ret_entry)
{
    uint64_t deadline = ajf_deadline_ns(timeout_ms);
    int err = 0;
    pthread_mutex_lock(&log->lock);
    while (!log->used && !err) {
        if (log->stopped)
            err = -ESHUTDOWN;
        else if (!ajf_cond_wait_until(&log->ready, &log->lock, deadline) && !log->used)
            err = -ETIMEDOUT;
    }
    if (!err) {
        *ret_entry = log->ring[log->head];
        log->head = (log->head + 1) % AJF_LOG_ENTRIES;
        log->used--;
    }
    pthread_mutex_unlock(&log->lock);
    return err;
}

void ajf_log(struct ajf_log *log, enum ajf_log_level level, const char *fmt, ...)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    pthread_mutex_lock(&log->lock);
    if (log->used == AJF_LOG_ENTRIES) {
        AJF_COUNT(log->stats, log_lost);
    } else {
        struct ajf_log_entry *e = &log->ring[(log->head + log->used++) % AJF_LOG_ENTRIES];
        e->level = level;
        e->time_ns = (int64_t)ts.tv_sec * (int64_t)AJF_NS_PER_S + ts.tv_nsec;
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
        pthread_cond_signal(&log->ready);
    }
    pthread_mutex_unlock(&log->lock);
}
