/* SPDX-License-Identifier: Apache-2.0 */
#include "files/held.h"

#include "base/check.h"
#include "files/opens.h"
#include "mount.h"

bool ajf_held_is_on(const struct ajf *m)
{
    return m->options.asks_no_open;
}

static bool is_held(const struct ajf_file *file)
{
    return !ajf_list_empty(&file->held);
}

static struct ajf_file *file_of(struct ajf_list *held)
{
    return AJF_CONTAINER(held, struct ajf_file, held);
}

static void end_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    AJF_MUST(file->opens);
    ajf_list_del(&file->held);
    m->files.held.n--;
    if (!--file->opens)
        ajf_file_last_release_locked(m, file); /* the slot's reference may go; the hold's is there still */
    ajf_file_unref_locked(m, file);
}

static bool is_waited_for(const struct ajf_file *file)
{
    return file->state != AJF_FILE_READY || !ajf_list_empty(&file->readers) || !ajf_list_empty(&file->fetches);
}

/* At the alarm: ends the holds of files that nobody reads any more. */
static struct ajf_waste *rest(struct ajf *m)
{
    struct ajf_held *h = &m->files.held;
    uint64_t now = ajf_now_ns(), next = AJF_FOREVER;
    pthread_mutex_lock(&m->cache.lock);
    AJF_LIST_FOR_SAFE(l, &h->files)
    {
        struct ajf_file *file = file_of(l);
        if (file->held_ns + h->hold_ns > now) {
            next = file->held_ns + h->hold_ns;
            break;
        }
        if (is_waited_for(file))
            next = now + h->hold_ns;
        else
            end_locked(m, file);
    }
    ajf_alarm_set(&h->rest, next);
    return ajf_cache_unlock_first(&m->cache);
}

void ajf_held_init(struct ajf *m)
{
    struct ajf_held *h = &m->files.held;
    *h = (struct ajf_held){.hold_ns = AJF_HOLD_NS, .rest = {.at_ns = AJF_FOREVER, .ring = rest}};
    ajf_list_init(&h->files);
}

bool ajf_held_close_idle_locked(struct ajf *m)
{
    AJF_HELD(&m->cache.lock);
    AJF_LIST_FOR(l, &m->files.held.files)
    {
        if (!is_waited_for(file_of(l)) && !file_of(l)->pages.pins) {
            end_locked(m, file_of(l));
            return true;
        }
    }
    return false;
}

int ajf_held_open_locked(struct ajf *m, const struct ajf_request *req, const struct ajf_caller *caller,
                         struct ajf_file **ret_file, struct ajf_fetch **ret_ask)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_held *h = &m->files.held;
    struct ajf_inode_view v;
    struct ajf_file *file;
    int err = ajf_inode_get(&m->inodes, req->nodeid, &v);
    if (!err)
        err = ajf_file_make_locked(m, &v, &file, ret_ask);
    if (err)
        return err;
    if (h->n >= AJF_HELD_MOST)
        ajf_held_close_idle_locked(m);
    ajf_file_leave_ahead_locked(m, file);
    file->mode = AJF_MODE_CACHED;
    if (file->asker == AJF_DESCRIPTORS_NOBODY)
        file->asker = caller->uid;
    file->opens = 1;
    file->refs++;
    file->handed = 0;
    file->failed = false;
    file->held_ns = ajf_now_ns();
    ajf_list_add(&h->files, &file->held);
    h->n++;
    if (atomic_load(&h->rest.at_ns) == AJF_FOREVER) /* else it rings early enough */
        ajf_alarm_set(&h->rest, file->held_ns + h->hold_ns);
    ajf_use_open_locked(m, &file->usage, caller, true);
    AJF_COUNT(&m->stats, open_by_read);
    *ret_file = file;
    return 0;
}

void ajf_held_settle_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    bool nothing = !file->has_handle && !file->extents && !file->pages.n_have;
    if (is_held(file) && (nothing || file->failed || file->handed >= file->size) && !is_waited_for(file))
        end_locked(m, file);
}

void ajf_held_settle(struct ajf *m, struct ajf_file *file)
{
    if (!ajf_held_is_on(m))
        return;
    pthread_mutex_lock(&m->cache.lock);
    ajf_held_settle_locked(m, file);
    ajf_cache_unlock(&m->cache);
}
