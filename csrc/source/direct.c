/* SPDX-License-Identifier: Apache-2.0 */
#include "source/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mount.h"
#include "source/beneath.h"
#include "source/fetch_queue.h"
#include "source/local.h"

/* A FIFO that has taken the place of a file must not hang the thread; it means nothing to a file. */
#define FILE_FLAGS (O_RDONLY | O_NONBLOCK)
#define MOST_LISTED_BYTES (256 * 1024) /* entries and names, some 2,500: a worker is busy with them for some ms */
#define MOST_TARGET_BYTES 4096

void ajf_direct_init(struct ajf_direct *d, uint32_t max_threads)
{
    d->directory.fd = -1;
    d->most = max_threads / 2;
}

void ajf_direct_done(struct ajf_direct *d)
{
    if (d->directory.fd >= 0)
        close(d->directory.fd);
}

int ajf_direct_serve(struct ajf_direct *d, const struct ajf_directory *directory)
{
    if (d->on)
        return -EBUSY;
    int fd = fcntl(directory->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    d->directory = *directory;
    d->directory.fd = fd;
    atomic_store(&d->on, true);
    return 0;
}

bool ajf_direct_may(const struct ajf_direct *d, enum ajf_fetch_kind kind)
{
    if (!d->most || !atomic_load(&d->on))
        return false;
    switch (kind) {
    case AJF_FETCH_STAT:
    case AJF_FETCH_LIST:
    case AJF_FETCH_READLINK:
    case AJF_FETCH_STATFS:
        return true;
    case AJF_FETCH_OPEN:
        return !d->directory.pin_contents; /* its files are lent */
    default:
        return false;
    }
}

/* -------------------------------------------------------------------------- each kind: whether it was answered */

static void count(struct ajf_fetch *f)
{
    AJF_COUNT(&f->m->stats, fetch_direct);
}

static bool answer_stat(struct ajf_fetch *f, const struct ajf_directory *d, const char *path)
{
    struct ajf_attr attr;
    if (f->info.version) /* of an open file that may have grown: that takes a look at what was read of it */
        return false;
    int err = ajf_stat_local(d->fd, path, d->pin_contents, d->home_dev, d->hide_dev, &attr);
    if (err && (err != -ENOENT || !d->tells_absence))
        return false;
    count(f);
    if (err)
        ajf_fetch_fail(f, -err);
    else
        ajf_fetch_attr(f, &attr);
    return true;
}

static bool answer_list(struct ajf_fetch *f, const struct ajf_directory *d, const char *path)
{
    struct ajf_scan scan;
    struct stat st;
    bool ended = false;
    int fd = ajf_open_beneath(d->fd, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return false;
    if (!ajf_scan_begin(&scan, fd, d->pin_contents, d->home_dev, d->hide_dev)) {
        ended = !ajf_scan_more(&scan, MOST_LISTED_BYTES, &ended) && ended;
        if (ended && !scan.n) /* one that was removed is not empty */
            ended = !fstat(fd, &st) && st.st_nlink;
        if (ended) {
            count(f);
            ajf_fetch_list(f, scan.entries, scan.n, scan.names, scan.names_len);
        }
        ajf_scan_end(&scan);
    }
    close(fd);
    return ended;
}

static bool answer_link(struct ajf_fetch *f, const struct ajf_directory *d, const char *path)
{
    char target[MOST_TARGET_BYTES];
    const char *name;
    int parent;
    if (ajf_open_parent(d->fd, path, &parent, &name))
        return false;
    ssize_t n = readlinkat(parent, name, target, sizeof target);
    if (parent != d->fd)
        close(parent);
    if (n <= 0 || n == sizeof target)
        return false;
    count(f);
    ajf_fetch_link(f, target, (size_t)n);
    return true;
}

static bool answer_statfs(struct ajf_fetch *f, const struct ajf_directory *d)
{
    struct statvfs s;
    if (fstatvfs(d->fd, &s) < 0)
        return false;
    const struct ajf_statfs told = {.block_size = s.f_frsize,
                                    .blocks = s.f_blocks,
                                    .blocks_free = s.f_bfree,
                                    .blocks_available = s.f_bavail,
                                    .files = s.f_files,
                                    .files_free = s.f_ffree,
                                    .name_max = (uint32_t)s.f_namemax};
    count(f);
    ajf_fetch_statfs(f, &told);
    return true;
}

static bool answer_open(struct ajf_fetch *f, const struct ajf_directory *d, const char *path)
{
    struct ajf_attr attr;
    int fd = ajf_open_beneath(d->fd, path, FILE_FLAGS);
    if (fd < 0)
        return false;
    if (ajf_stat_local(fd, "", d->pin_contents, d->home_dev, 0, &attr) || attr.version != f->info.version ||
        !S_ISREG(attr.mode)) {
        close(fd);
        return false;
    }
    const struct ajf_extent whole = {.fd = fd, .fd_offset = 0, .length = attr.size};
    count(f);
    ajf_fetch_permissions(f, attr.mode, attr.uid, attr.gid);
    ajf_fetch_opened(f, 0, attr.version, attr.size, &whole, 1);
    return true;
}

static bool answer(struct ajf_fetch *f, const struct ajf_directory *d)
{
    const char *path = f->info.path + strspn(f->info.path, "/");
    switch (f->info.kind) {
    case AJF_FETCH_STAT:
        return answer_stat(f, d, path);
    case AJF_FETCH_LIST:
        return answer_list(f, d, path);
    case AJF_FETCH_READLINK:
        return answer_link(f, d, path);
    case AJF_FETCH_STATFS:
        return answer_statfs(f, d);
    default:
        return answer_open(f, d, path);
    }
}

/* ------------------------------------------------------------------------------------------------------ asking */

static bool enter(struct ajf_direct *d)
{
    if (atomic_fetch_add(&d->inside, 1) < d->most)
        return true;
    atomic_fetch_sub(&d->inside, 1);
    return false;
}

void ajf_direct_ask(struct ajf *m, struct ajf_fetch *f)
{
    struct ajf_direct *d = &m->direct;
    if (ajf_direct_may(d, f->info.kind) && enter(d)) {
        bool begun = ajf_fetch_begin(f);
        bool answered = begun && answer(f, &d->directory);
        atomic_fetch_sub(&d->inside, 1);
        if (answered)
            ajf_fetch_release(f);
        if (answered || !begun)
            return;
    }
    if (!ajf_queue_push(&m->queue, f)) {
        ajf_fetch_fail(f, ENOTCONN);
        ajf_fetch_release(f);
    }
}
