/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/read.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "files/ahead.h"
#include "files/fill.h"
#include "files/held.h"
#include "files/lent.h"
#include "files/opens.h"
#include "files/readers.h"
#include "kernel/reply.h"
#include "mount.h"

/* The deadline passed, the caller was killed, or the session ends: `w` is about to be answered. */
static struct ajf_waste *drop_read(struct ajf *m, struct ajf_wait *w, int err)
{
    struct ajf_read *r = AJF_CONTAINER(w, struct ajf_read, wait);
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = r->file;
    ajf_list_del(&r->link);
    ajf_use_waited_locked(&file->usage, &w->request, err != EINTR);
    if (err == EIO && ajf_fill_is_stuck_locked(m, file, r->offset, r->offset + r->length))
        ajf_file_abandon_locked(m, file);
    ajf_file_unref_locked(m, file);
    struct ajf_waste *waste = ajf_cache_unlock_first(&m->cache);
    free(r);
    return waste;
}

/* The thread that the kernel names: 0 where that lives in a namespace that is not ours. */
static uint32_t reader_of(const struct ajf_request *req)
{
    return (uint32_t)fuse_req_ctx(req->fuse)->pid;
}

static int park_locked(struct ajf *m, struct ajf_file *file, const struct ajf_request *req, uint64_t offset,
                       size_t length)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_read *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->wait = (struct ajf_wait){.request = *req, .class = AJF_WAIT_DATA, .drop = drop_read};
    r->wait.request.size = length;
    r->file = file;
    r->offset = offset;
    r->length = length;
    ajf_list_add(&file->readers, &r->link);
    int err = ajf_wait_park(m, &r->wait);
    if (!err && file->state == AJF_FILE_READY) {
        err = file->has_handle && file->pages.have ? 0 : ajf_file_reopen_locked(m, file);
        if (!err && file->lazy && !file->pages.n_have && !ajf_list_empty(&file->held))
            err = ajf_fill_first_locked(m, file); /* as its first open would: one call to the source, not two */
        if (!err && file->state == AJF_FILE_READY)
            err = ajf_fill_want_locked(m, file, reader_of(req), offset, length, false);
        if (err && !ajf_wait_unpark(m, &r->wait)) {
            file->refs++;
            return 0; /* somebody else answered it meanwhile */
        }
    }
    if (err) {
        ajf_list_del(&r->link);
        free(r);
        return err;
    }
    file->refs++;
    return 0;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static size_t clamp(const struct ajf_file *file, size_t size, uint64_t offset)
{
    return offset >= file->size ? 0 : (size_t)min_u64(size, file->size - offset);
}

void ajf_read(struct ajf *m, const struct ajf_request *req)
{
    const uint64_t nodeid = req->nodeid, offset = req->offset;
    const size_t size = req->size;
    bool armed = false, hit = false, borrowed = false, noted = false;
    struct ajf_fetch *ask = NULL;
    int err = 0;
    size_t length = 0;
    struct ajf_caller caller = ajf_caller_of(req);
    bool looked_up = false;
again:
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    bool unasked = (!file || !file->opens) && ajf_held_is_on(m);
    if (file && !unasked && !looked_up && ajf_use_is_due_locked(m, &file->usage)) {
        ajf_cache_unlock(&m->cache);
        caller = ajf_use_caller(m, req);
        looked_up = true;
        goto again;
    }
    if (unasked && armed)
        err = ajf_held_open_locked(m, req, &caller, &file, &ask); /* another hold may end for it */
    if (err) {
        file = NULL;
    } else if (unasked && !armed) {
        ajf_cache_unlock(&m->cache);
        caller = ajf_use_caller(m, req);
        ajf_wait_arm(m, req);
        armed = true;
        goto again;
    } else if (!file) {
        err = -ESTALE;
    } else if (file->place == AJF_PLACE_BORROWED && file->extents) {
        file->refs++;
        borrowed = true;
        ajf_file_hand_locked(m, file, clamp(file, size, offset));
    } else if ((length = clamp(file, size, offset)) == 0) {
        hit = true;
    } else if (file->pages.have && ajf_pages_have(&file->pages, offset, length)) {
        hit = true;
        file->refs++;
        ajf_cache_pin_locked(&file->pages, offset, length, &m->cache);
        if (!file->pages.complete && file->has_handle)
            ajf_fill_want_locked(m, file, reader_of(req), offset, length, true); /* out of memory: no prefetch */
        ajf_cache_touch_locked(&m->cache, &file->pages, offset, length);
        ajf_file_hand_locked(m, file, length);
    } else if (!armed) {
        ajf_cache_unlock(&m->cache);
        ajf_wait_arm(m, req);
        armed = true;
        goto again;
    } else {
        AJF_COUNT_ADD(&m->stats, read_miss_bytes, length);
        err = park_locked(m, file, req, offset, length);
    }
    if (file && !err)
        ajf_use_read_locked(m, &file->usage, &caller, offset, borrowed ? clamp(file, size, offset) : length,
                            hit || borrowed);
    if (file && !err)
        noted = !offset && ajf_ahead_is_news_locked(m, file);
    if (file && !file->read) {
        file->read = true;
        ajf_inode_was_read(&m->inodes, nodeid);
    }
    struct ajf_waste *waste = ajf_cache_unlock_first(&m->cache);
    if (unasked) /* nothing but this READ says that the file was opened */
        ajf_trace_note(&m->trace, nodeid);
    if (err) {
        ajf_reply_err(m, req, -err);
    } else if (borrowed) {
        ajf_lent_reply(m, req, file, size, offset); /* the reference keeps its descriptors */
        ajf_held_settle(m, file);
        ajf_file_unref(m, file);
    } else if (hit && !length) {
        ajf_reply_bytes(m, req, NULL, 0);
    } else if (hit) {
        AJF_COUNT_ADD(&m->stats, read_hit_bytes, length);
        ajf_readers_reply_pages(m, req, file, offset, length);
        ajf_held_settle(m, file);
        ajf_readers_unpin(m, file, offset, length);
    }
    if (ask)
        ajf_direct_ask(m, ask);
    ajf_trash_dispose(waste);
    if (noted)
        ajf_ahead_note(m, nodeid);
}
