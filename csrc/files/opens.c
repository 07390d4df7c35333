/* SPDX-License-Identifier: Apache-2.0 */
#include "files/opens.h"

#include <errno.h>

#include "base/check.h"
#include "files/fill.h"
#include "files/opens_waiting.h"
#include "files/readers.h"
#include "mount.h"

/* A fetch of it is taken back, or given up when a fetcher has it. The caller holds a reference. */
static void give_up_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    ajf_fill_cancel_locked(m, file);
    if (file->opening && ajf_queue_cancel(&m->queue, &file->opening->fetch)) {
        ajf_fetch_free(&file->opening->fetch);
        ajf_file_unref_locked(m, file);
    } else if (file->opening) {
        ajf_queue_uncount(&m->queue, &file->opening->fetch);
        AJF_COUNT(&m->stats, fetch_abandoned);
    }
    file->opening = NULL;
    AJF_LIST_FOR(f, &file->fetches)
    {
        ajf_queue_uncount(&m->queue, &AJF_CONTAINER(f, struct ajf_file_fetch, by_file)->fetch);
        AJF_COUNT(&m->stats, fetch_abandoned);
    }
}

/* A fresh, empty file takes the place of one that is in use. */
static int replace_locked(struct ajf *m, struct ajf_file *file, uint64_t version, uint64_t size)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_file *fresh = ajf_file_new(m, file->nodeid, version, size);
    if (!fresh || ajf_file_reopen_locked(m, fresh)) {
        if (fresh)
            ajf_file_unref_locked(m, fresh);
        return -ENOMEM;
    }
    fresh->opens = file->opens;
    fresh->mode = file->mode;
    if (!ajf_list_empty(&file->held)) {
        ajf_list_del(&file->held);
        ajf_list_add(&m->files.held.files, &fresh->held);
        fresh->held_ns = ajf_now_ns();
    }
    fresh->asker = file->asker;
    if (file->mode == AJF_MODE_PASSTHROUGH) { /* the kernel goes on with what it reads itself, to the last RELEASE */
        fresh->backing_id = file->backing_id;
        ajf_cache_shelve_locked(&m->cache, &file->pages, false);
    }
    fresh->place = AJF_PLACE_NONE;
    ajf_use_move_locked(&file->usage, &fresh->usage);
    struct ajf_list *l;
    while ((l = ajf_list_pop(&file->readers))) {
        struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        ajf_list_add(&fresh->readers, l);
        fresh->refs++;
        r->file = fresh;
        file->refs--;
    }
    while ((l = ajf_list_pop(&file->opens_waiting))) {
        ajf_list_add(&fresh->opens_waiting, l);
        AJF_CONTAINER(l, struct ajf_opener, link)->file = fresh;
        fresh->refs++;
        file->refs--;
    }
    give_up_locked(m, file);
    file->refs -= file->opens;
    fresh->refs += file->opens;
    file->opens = 0;
    ajf_file_retire_locked(m, file);
    m->files.by_node[fresh->nodeid] = fresh;
    return 0;
}

void ajf_file_abandon_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    if (file->abandoned)
        return;
    if (file->opens || !ajf_list_empty(&file->readers) || !ajf_list_empty(&file->opens_waiting)) {
        replace_locked(m, file, file->version, file->size); /* out of memory: the next read times out as this one did */
        return;
    }
    give_up_locked(m, file);
    ajf_file_retire_locked(m, file);
}

bool ajf_file_grow(struct ajf *m, uint64_t nodeid, uint64_t from, const struct ajf_attr *attr, uint64_t expires_ns)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    bool quiet = file && file->opens && file->refs == 1 + file->opens; /* the slot's, and theirs */
    bool grows = quiet && file->state == AJF_FILE_READY && file->version == from && attr->size >= file->size &&
                 file->place != AJF_PLACE_BORROWED && file->mode != AJF_MODE_PASSTHROUGH &&
                 !replace_locked(m, file, attr->version, attr->size);
    if (grows)
        ajf_inode_renew(&m->inodes, nodeid, attr, expires_ns);
    ajf_cache_unlock(&m->cache);
    return grows;
}

static int open_lazily_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    int err = ajf_file_begin(&m->cache, file);
    if (err)
        return err;
    file->state = AJF_FILE_READY;
    file->lazy = file->has_handle = true;
    return 0;
}

int ajf_file_make_locked(struct ajf *m, const struct ajf_inode_view *v, struct ajf_file **ret_file,
                         struct ajf_fetch **ret_ask)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, v->nodeid);
    int err = 0;
    if (v->stale)
        return -ESTALE; /* the kernel looks the name up again */
    if (!file) {
        if (!(file = ajf_file_new(m, v->nodeid, v->attr.version, v->attr.size)))
            return -ENOMEM;
        /* Attributes that are true for this once (ajf.h) are no reason not to ask. */
        bool lazy = m->lazy_open_bytes && v->attr.nlink && v->attr.size <= m->lazy_open_bytes;
        err = lazy ? open_lazily_locked(m, file) : ajf_file_ask_locked(m, file, ret_ask);
        if (err)
            ajf_file_unref_locked(m, file);
        else
            m->files.by_node[file->nodeid] = file;
    } else if (file->state == AJF_FILE_READY && !ajf_file_usable(file)) {
        err = ajf_file_ask_locked(m, file, ret_ask);
    }
    if (!err)
        *ret_file = file;
    return err;
}

void ajf_file_last_release_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    ajf_use_end_locked(m, &file->usage, file->size, file->mode);
    if (file->mode == AJF_MODE_PASSTHROUGH) {
        ajf_trash_backing_id(&m->cache.trash, fuse_session_fd(m->session.se), (uint32_t)file->backing_id);
        AJF_COUNT(&m->stats, backing_ids_died);
        file->backing_id = 0;
        ajf_cache_shelve_locked(&m->cache, &file->pages, false);
    }
    file->mode = AJF_MODE_NONE;
    file->noted = false;
    file->read = false; /* noted anew: the kernel may forget the record now */
    if (file->prefetch)
        *file->prefetch = (struct ajf_prefetch){.clock = 0}; /* another program reads it in another way */
    if (!ajf_list_empty(&file->opens_waiting))
        return; /* an OPEN waits for the bytes still; what was released had O_NOATIME, and did not wait for them */
    ajf_fill_cancel_locked(m, file);
    if (file->place == AJF_PLACE_BORROWED || m->cache.transient || !file->pages.n_have) {
        if (file->state == AJF_FILE_READY)
            ajf_file_retire_locked(m, file);
    } else if (ajf_list_empty(&file->fetches)) {
        ajf_file_close_handle_locked(m, file);
    }
}

void ajf_file_release(struct ajf *m, uint64_t nodeid)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    if (file && file->opens) {
        file->refs++;
        if (!--file->opens)
            ajf_file_last_release_locked(m, file);
        file->refs--;
        ajf_file_unref_locked(m, file);
        ajf_fill_feed_locked(m);
    }
    ajf_cache_unlock(&m->cache);
}

bool ajf_file_is_open(struct ajf *m, uint64_t nodeid)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    bool open = file && file->opens > !ajf_list_empty(&file->held);
    ajf_cache_unlock(&m->cache);
    return open;
}

uint64_t ajf_file_open_version(struct ajf *m, uint64_t nodeid)
{
    pthread_mutex_lock(&m->cache.lock);
    struct ajf_file *file = ajf_file_of_locked(m, nodeid);
    uint64_t version = file && file->opens ? file->version : 0;
    ajf_cache_unlock(&m->cache);
    return version;
}

/* Tells the use of a file, and how long the requests that wait for it have waited so far. */
static bool tell_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    uint64_t parked_ns = 0, longest_ns = 0, waited;
    AJF_LIST_FOR(l, &file->readers)
    {
        waited = ajf_use_wait_locked(&file->usage, &AJF_CONTAINER(l, struct ajf_read, link)->wait.request);
        parked_ns += waited;
        longest_ns = waited > longest_ns ? waited : longest_ns;
    }
    AJF_LIST_FOR(l, &file->opens_waiting)
    {
        waited = ajf_use_wait_locked(&file->usage, &AJF_CONTAINER(l, struct ajf_opener, link)->wait.request);
        parked_ns += waited;
        longest_ns = waited > longest_ns ? waited : longest_ns;
    }
    return ajf_use_tell_locked(m, &file->usage, file->size, file->mode, parked_ns, longest_ns);
}

bool ajf_files_tell(struct ajf *m)
{
    bool told = true;
    pthread_mutex_lock(&m->cache.lock);
    AJF_LIST_FOR_SAFE(l, &m->uses.list)
    {
        told = tell_locked(m, AJF_CONTAINER(l, struct ajf_file, usage.link));
        if (!told)
            break;
    }
    ajf_cache_unlock(&m->cache);
    return told;
}
