/* SPDX-License-Identifier: Apache-2.0 */
#include "files/readers.h"

#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "files/lent.h"
#include "kernel/reply.h"
#include "mount.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Writes the bytes to the kernel from the pages, which the caller has pinned. No lock is held. */
void ajf_readers_reply_pages(struct ajf *m, const struct ajf_request *req, const struct ajf_file *file, uint64_t offset,
                             size_t length)
{
    ajf_reply_bytes(m, req, ajf_cache_at(&m->cache, &file->pages, offset), length);
}

void ajf_readers_unpin(struct ajf *m, struct ajf_file *file, uint64_t offset, size_t length)
{
    pthread_mutex_lock(&m->cache.lock);
    ajf_cache_unpin_locked(m, &file->pages, offset, length);
    ajf_file_unref_locked(m, file);
    ajf_cache_unlock(&m->cache);
}

/* Takes from `file` the readers for which `pick` says yes; they are the caller's to answer. */
static void take_locked(struct ajf *m, struct ajf_file *file, struct ajf_list *ret_readers,
                                bool (*pick)(const struct ajf_file *, const struct ajf_read *, const uint64_t *range),
                                const uint64_t *range)
{
    AJF_HELD(&m->cache.lock);
    AJF_LIST_FOR_SAFE(l, &file->readers)
    {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        if (pick(file, r, range) && ajf_wait_take(m, &r->wait)) {
            ajf_list_del(&r->link);
            ajf_list_add(ret_readers, &r->link);
        }
    }
}

static bool is_ready(const struct ajf_file *file, const struct ajf_read *r, const uint64_t *range)
{
    (void)range;
    return ajf_pages_have(&file->pages, r->offset, r->length);
}

void ajf_readers_wake(struct ajf *m, struct ajf_file *file)
{
    struct ajf_list ready, *l;
    ajf_list_init(&ready);
    pthread_mutex_lock(&m->cache.lock);
    take_locked(m, file, &ready, is_ready, NULL);
    AJF_LIST_FOR(n, &ready)
    {
        struct ajf_read *r = AJF_CONTAINER(n, struct ajf_read, link);
        ajf_cache_pin_locked(&file->pages, r->offset, r->length, &m->cache);
        ajf_cache_touch_locked(&m->cache, &file->pages, r->offset, r->length);
        ajf_file_hand_locked(m, file, r->length);
        ajf_use_waited_locked(&file->usage, &r->wait.request, false);
    }
    ajf_cache_unlock(&m->cache);
    while ((l = ajf_list_pop(&ready))) {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        ajf_readers_reply_pages(m, &r->wait.request, file, r->offset, r->length);
        ajf_wait_answered(m, &r->wait);
        ajf_readers_unpin(m, file, r->offset, r->length);
        free(r);
    }
}

/* Nothing was or will be read, or there is nobody to read it: overlaps `range` and lacks something there. */
static bool is_hopeless(const struct ajf_file *file, const struct ajf_read *r, const uint64_t *range)
{
    uint64_t from = r->offset > range[0] ? r->offset : range[0], to = min_u64(r->offset + r->length, range[1]);
    return from < to && (!file->pages.have || !ajf_pages_have(&file->pages, from, to - from));
}

void ajf_readers_answer(struct ajf *m, struct ajf_file *file, struct ajf_list *readers, int err)
{
    struct ajf_list *l;
    while ((l = ajf_list_pop(readers))) {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        ajf_reply_err(m, &r->wait.request, err);
        ajf_wait_answered(m, &r->wait);
        free(r);
        ajf_file_unref(m, file);
    }
}

void ajf_readers_take_hopeless_locked(struct ajf *m, struct ajf_file *file, uint64_t from, uint64_t to,
                                   struct ajf_list *ret_readers)
{
    AJF_HELD(&m->cache.lock);
    const uint64_t range[2] = {from, to};
    take_locked(m, file, ret_readers, is_hopeless, range);
    AJF_LIST_FOR(l, ret_readers)
        ajf_use_waited_locked(&file->usage, &AJF_CONTAINER(l, struct ajf_read, link)->wait.request, true);
}

void ajf_readers_fail(struct ajf *m, struct ajf_file *file, uint64_t from, uint64_t to, int err)
{
    struct ajf_list failed;
    ajf_list_init(&failed);
    pthread_mutex_lock(&m->cache.lock);
    ajf_readers_take_hopeless_locked(m, file, from, to, &failed);
    ajf_cache_unlock(&m->cache);
    ajf_readers_answer(m, file, &failed, err);
}

static bool is_any(const struct ajf_file *file, const struct ajf_read *r, const uint64_t *range)
{
    (void)file, (void)r, (void)range;
    return true;
}

void ajf_readers_serve_borrowed(struct ajf *m, struct ajf_file *file)
{
    struct ajf_list readers, *l;
    ajf_list_init(&readers);
    pthread_mutex_lock(&m->cache.lock);
    take_locked(m, file, &readers, is_any, NULL);
    AJF_LIST_FOR(n, &readers)
    {
        struct ajf_read *r = AJF_CONTAINER(n, struct ajf_read, link);
        ajf_file_hand_locked(m, file, r->length);
        ajf_use_waited_locked(&file->usage, &r->wait.request, false);
    }
    ajf_cache_unlock(&m->cache);
    while ((l = ajf_list_pop(&readers))) {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        ajf_lent_copy(m, &r->wait.request, file, r->length, r->offset);
        ajf_file_unref(m, file);
        ajf_wait_answered(m, &r->wait);
        free(r);
    }
}
