/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of the fetchers, handed to the modules that asked. */
#include <errno.h>
#include <unistd.h>

#include "mount.h"
#include "source/fetch_queue.h"

int ajf_fetch_misfit(struct ajf_fetch *f)
{
    if (!f->answered)
        ajf_log(&f->m->log, AJF_LOG_ERROR, "%s: the source gave a malformed answer; EIO", f->path);
    ajf_fetch_fail(f, EIO);
    return -EINVAL;
}

int ajf_fetch_wanted(struct ajf_fetch *f)
{
    return !f->ops->wanted || f->ops->wanted(f) ? 0 : -ECANCELED;
}

int ajf_fetch_attr(struct ajf_fetch *f, const struct ajf_attr *attr)
{
    return f->ops->attr ? f->ops->attr(f, attr) : ajf_fetch_misfit(f);
}

int ajf_fetch_grown(struct ajf_fetch *f, const struct ajf_attr *attr)
{
    return f->ops->grown ? f->ops->grown(f, attr) : ajf_fetch_misfit(f);
}

int ajf_fetch_list(struct ajf_fetch *f, const struct ajf_entry *entries, size_t n, const char *names, size_t names_len)
{
    return f->ops->list ? f->ops->list(f, entries, n, names, names_len) : ajf_fetch_misfit(f);
}

int ajf_fetch_link(struct ajf_fetch *f, const char *target, size_t len)
{
    return f->ops->link ? f->ops->link(f, target, len) : ajf_fetch_misfit(f);
}

int ajf_fetch_statfs(struct ajf_fetch *f, const struct ajf_statfs *s)
{
    return f->ops->statfs ? f->ops->statfs(f, s) : ajf_fetch_misfit(f);
}

void ajf_fetch_permissions(struct ajf_fetch *f, uint32_t mode, uint32_t uid, uint32_t gid)
{
    f->permissions = (struct ajf_permissions){.mode = mode, .uid = uid, .gid = gid};
    f->has_permissions = true;
}

int ajf_fetch_opened(struct ajf_fetch *f, uint64_t handle, uint64_t version, uint64_t size,
                     const struct ajf_extent *extents, size_t n)
{
    if (!f->ops->opened || !ajf_fetch_claim(f)) {
        for (size_t i = 0; i < n; i++)
            close(extents[i].fd);
        ajf_fetch_fail(f, EIO);
        return -EINVAL;
    }
    return f->ops->opened(f, handle, version, size, extents, n);
}

int ajf_fetch_progress(struct ajf_fetch *f, size_t filled)
{
    return f->ops->progress && !f->answered ? f->ops->progress(f, filled) : -EINVAL;
}

int ajf_fetch_done(struct ajf_fetch *f, size_t filled)
{
    if (f->ops->done) {
        int err = f->ops->done(f, filled);
        f->came = !err && f->info.kind == AJF_FETCH_READ && filled == f->info.length;
        return err;
    }
    if (ajf_fetch_claim(f) && f->ops->failed)
        f->ops->failed(f, EIO);
    return -EINVAL;
}

void ajf_fetch_fail(struct ajf_fetch *f, int err)
{
    if (!ajf_fetch_claim(f))
        return;
    if (err <= 0)
        err = EIO;
    if (f->begun && f->queued_ns)
        ajf_times_failed(&f->m->times, ajf_fetch_timed(f, AJF_TIMED_source_stat), err);
    if (err == ECANCELED && f->info.lane == AJF_LANE_METADATA)
        AJF_COUNT(&f->m->stats, fetch_cancelled);
    else if (err != ENOENT)
        AJF_COUNT(&f->m->stats, fetch_failed);
    if (f->ops->failed)
        f->ops->failed(f, err);
}

void ajf_fetch_release(struct ajf_fetch *f)
{
    ajf_fetch_fail(f, EIO);
    ajf_queue_ended(&f->m->queue, f);
    if (f->ops->end)
        f->ops->end(f);
    ajf_fetch_free(f);
}

void ajf_fetch_info(const struct ajf_fetch *f, struct ajf_fetch_info *ret_info)
{
    *ret_info = f->info;
}
