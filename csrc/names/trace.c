/* SPDX-License-Identifier: Apache-2.0 */
#include "names/trace.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"

AJF_NOT_ANALYSED void ajf_trace_init(struct ajf_trace *t, struct ajf_inodes *inodes, struct ajf_stats *stats)
{
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    t->inodes = inodes;
    t->stats = stats;
}

void ajf_trace_done(struct ajf_trace *t)
{
    ajf_trace_end(t);
    pthread_mutex_destroy(&t->lock);
}

static void end_locked(struct ajf_trace *t)
{
    AJF_HELD(&t->lock);
    if (!t->ring)
        return;
    atomic_store_explicit(&t->recording, 0, memory_order_relaxed);
    close(t->process);
    free(t->ring);
    t->ring = NULL;
}

static bool is_orphan_locked(struct ajf_trace *t)
{
    AJF_HELD(&t->lock);
    struct pollfd process = {.fd = t->process, .events = POLLIN}; /* readable: it has ended */
    return poll(&process, 1, 0) == 1;
}

int ajf_trace_begin(struct ajf_trace *t, enum ajf_trace_kind kind, pid_t pid)
{
    char *ring = malloc(AJF_TRACE_BYTES);
    int err = 0, process = ring ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (!ring)
        err = -ENOMEM;
    else if (process < 0)
        err = -errno;
    pthread_mutex_lock(&t->lock);
    if (!err && t->ring && is_orphan_locked(t))
        end_locked(t);
    if (!err && t->ring)
        err = -EBUSY;
    if (!err) {
        t->ring = ring;
        t->process = process;
        t->head = t->used = 0;
        t->lost = 0;
        t->last += AJF_TRACE_KINDS - t->last % AJF_TRACE_KINDS + kind;
        atomic_store_explicit(&t->recording, t->last, memory_order_relaxed);
    }
    pthread_mutex_unlock(&t->lock);
    if (err) {
        free(ring);
        if (process >= 0)
            close(process);
    }
    return err;
}

/* How many bytes of the ring lie together from `at` on, of n. */
static size_t together(size_t at, size_t n)
{
    return n < AJF_TRACE_BYTES - at ? n : AJF_TRACE_BYTES - at;
}

/* From `offset` bytes behind the oldest one on. */
static void read_locked(const struct ajf_trace *t, size_t offset, void *bytes, size_t n)
{
    AJF_HELD(&t->lock);
    size_t at = (t->head + offset) % AJF_TRACE_BYTES, first = together(at, n);
    memcpy(bytes, t->ring + at, first);
    memcpy((char *)bytes + first, t->ring, n - first);
}

static void write_locked(struct ajf_trace *t, const void *bytes, size_t n)
{
    AJF_HELD(&t->lock);
    if (!n)
        return;
    size_t at = (t->head + t->used) % AJF_TRACE_BYTES, first = together(at, n);
    memcpy(t->ring + at, bytes, first);
    memcpy(t->ring, (const char *)bytes + first, n - first);
    t->used += n;
}

/* How many bytes of the ring are whole items, and no more than `most`. */
static size_t whole_locked(const struct ajf_trace *t, size_t most)
{
    AJF_HELD(&t->lock);
    uint32_t n = 0;
    size_t whole = 0;
    while (whole < t->used) {
        read_locked(t, whole, &n, sizeof n);
        if (whole + sizeof n + n > most)
            break;
        whole += sizeof n + n;
    }
    return whole;
}

int ajf_trace_take(struct ajf_trace *t, struct ajf_traced *ret_taken)
{
    pthread_mutex_lock(&t->lock);
    int err = t->ring ? 0 : -ENODATA;
    if (!err) {
        size_t n = whole_locked(t, sizeof ret_taken->items);
        read_locked(t, 0, ret_taken->items, n);
        t->head = (t->head + n) % AJF_TRACE_BYTES;
        t->used -= n;
        ret_taken->lost = t->lost;
        ret_taken->bytes = (uint32_t)n;
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

void ajf_trace_end(struct ajf_trace *t)
{
    pthread_mutex_lock(&t->lock);
    end_locked(t);
    pthread_mutex_unlock(&t->lock);
}

static bool goes_on_locked(const struct ajf_trace *t, uint32_t recording)
{
    AJF_HELD(&t->lock);
    return t->ring && atomic_load_explicit(&t->recording, memory_order_relaxed) == recording;
}

int ajf_trace_add(struct ajf_trace *t, uint32_t recording, const void *first, size_t n, const void *second, size_t m)
{
    uint32_t length = (uint32_t)(n + m);
    int err = 0;
    pthread_mutex_lock(&t->lock);
    if (!goes_on_locked(t, recording))
        err = -ENODATA;
    else if (n + m > sizeof((struct ajf_traced *)0)->items - sizeof length)
        err = -EMSGSIZE;
    else if (n + m + sizeof length > AJF_TRACE_BYTES - t->used)
        err = -EAGAIN;
    if (!err) {
        write_locked(t, &length, sizeof length);
        write_locked(t, first, n);
        write_locked(t, second, m);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

void ajf_trace_lose(struct ajf_trace *t, uint32_t recording)
{
    pthread_mutex_lock(&t->lock);
    if (goes_on_locked(t, recording) && is_orphan_locked(t)) {
        end_locked(t);
    } else if (goes_on_locked(t, recording)) {
        t->lost++;
        AJF_COUNT(t->stats, trace_lost);
    }
    pthread_mutex_unlock(&t->lock);
}

void ajf_trace_put(struct ajf_trace *t, uint32_t recording, uint64_t nodeid)
{
    char *path = ajf_inode_path(t->inodes, nodeid, NULL, 0);
    if (!path || ajf_trace_add(t, recording, path, strlen(path), NULL, 0))
        ajf_trace_lose(t, recording);
    free(path);
}
