/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing and stat of local files for a source that lends them: in C, because a listing of 100,000 entries in Python
 * would hold the interpreter for the better part of a second.
 *
 * A directory is first asked for its type and device with AT_STATX_DONT_SYNC: that does not send a request to a FUSE
 * mount, which the mount itself, shown inside its own directory, could not answer.
 */
#include "source/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/number.h"
#include "source/beneath.h"

#define STAT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 31;
}

static int64_t ns_of(const struct statx_timestamp *t)
{
    return t->tv_sec * INT64_C(1000000000) + t->tv_nsec;
}

/* Inode numbers are those of one device: a file of another one could have the same. */
static uint64_t number_of(uint64_t dev, uint64_t ino, uint64_t home_dev)
{
    return dev == home_dev ? ino : ajf_number_of(ajf_number_mix(ajf_number_mix(0, dev), ino));
}

static void fill(const struct statx *sx, bool pin_contents, uint64_t home_dev, struct ajf_attr *a)
{
    uint64_t dev = makedev(sx->stx_dev_major, sx->stx_dev_minor);
    *a = (struct ajf_attr){.ino = number_of(dev, sx->stx_ino, home_dev),
                           .size = sx->stx_size,
                           .blocks = sx->stx_blocks,
                           .mtime_ns = ns_of(&sx->stx_mtime),
                           .ctime_ns = ns_of(&sx->stx_ctime),
                           .atime_ns = ns_of(&sx->stx_atime),
                           .mode = sx->stx_mode,
                           .nlink = sx->stx_nlink,
                           .uid = sx->stx_uid,
                           .gid = sx->stx_gid};
    a->version = mix(mix(1, dev), sx->stx_ino);
    /* A symlink is its target, which the kernel caches: it is never written in place. */
    if (pin_contents || !S_ISREG(sx->stx_mode))
        a->version = mix(mix(mix(a->version, sx->stx_size), (uint64_t)a->mtime_ns), (uint64_t)a->ctime_ns);
}

static bool is_shown(uint32_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
}

static int stat_name(int dirfd, const char *path, bool pin_contents, uint64_t home_dev, uint64_t hide_dev,
                     struct ajf_attr *ret_attr)
{
    struct statx sx;
    if (hide_dev) {
        if (statx(dirfd, path, STAT_FLAGS | AT_STATX_DONT_SYNC, STATX_TYPE, &sx) < 0)
            return -errno;
        if (S_ISDIR(sx.stx_mode) && makedev(sx.stx_dev_major, sx.stx_dev_minor) == hide_dev)
            return -ENOENT;
    }
    if (statx(dirfd, path, STAT_FLAGS, STATX_BASIC_STATS, &sx) < 0)
        return -errno;
    if (!is_shown(sx.stx_mode))
        return -ENOENT;
    fill(&sx, pin_contents, home_dev, ret_attr);
    return 0;
}

int ajf_stat_local(int dirfd, const char *path, bool pin_contents, uint64_t home_dev, uint64_t hide_dev,
                   struct ajf_attr *ret_attr)
{
    const char *name;
    int parent, err = ajf_open_parent(dirfd, path, &parent, &name);
    if (err)
        return err;
    err = stat_name(parent, name, pin_contents, home_dev, hide_dev, ret_attr);
    if (parent != dirfd)
        close(parent);
    return err;
}

static int grow(void **memory, size_t *room, size_t need, size_t item)
{
    if (need <= *room)
        return 0;
    size_t more = *room ? *room * 2 : 256;
    while (more < need)
        more *= 2;
    void *grown = realloc(*memory, more * item);
    if (!grown)
        return -ENOMEM;
    *memory = grown;
    *room = more;
    return 0;
}

static int append(struct ajf_scan *g, const char *name, const struct ajf_attr *attr)
{
    size_t len = strlen(name);
    if (g->names_len + len > UINT32_MAX)
        return -EOVERFLOW;
    if (grow((void **)&g->entries, &g->room, g->n + 1, sizeof *g->entries) ||
        grow((void **)&g->names, &g->names_room, g->names_len + len, 1))
        return -ENOMEM;
    g->entries[g->n++] = (struct ajf_entry){*attr, (uint32_t)g->names_len, (uint32_t)len};
    memcpy(g->names + g->names_len, name, len);
    g->names_len += len;
    return 0;
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

int ajf_scan_begin(struct ajf_scan *s, int dirfd, bool pin_contents, uint64_t home_dev, uint64_t hide_dev)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    *s = (struct ajf_scan){.dir = dir, .pin_contents = pin_contents, .home_dev = home_dev, .hide_dev = hide_dev};
    if (dir)
        return 0;
    int err = errno;
    if (fd >= 0)
        close(fd);
    return -err;
}

size_t ajf_scan_bytes(const struct ajf_scan *s)
{
    return s->n * sizeof *s->entries + s->names_len;
}

int ajf_scan_more(struct ajf_scan *s, size_t most, bool *ret_ended)
{
    DIR *dir = s->dir;
    struct stat st;
    *ret_ended = false;
    if (fstat(dirfd(dir), &st) < 0)
        return -errno;
    while (ajf_scan_bytes(s) < most) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (!d) {
            *ret_ended = !errno;
            return -errno;
        }
        if (is_dot(d->d_name))
            continue;
        struct ajf_attr attr;
        bool maybe_dir = d->d_type == DT_DIR || d->d_type == DT_UNKNOWN;
        int err = stat_name(dirfd(dir), d->d_name, s->pin_contents, s->home_dev, maybe_dir ? s->hide_dev : 0, &attr);
        if (err == -ENOENT)
            continue; /* hidden, or gone meanwhile */
        if (err) /* no permission, a dead mount: the name is there, and asking for more will say why not */
            attr = (struct ajf_attr){.ino = number_of(st.st_dev, d->d_ino, s->home_dev), .mode = DTTOIF(d->d_type)};
        err = append(s, d->d_name, &attr);
        if (err)
            return err;
    }
    return 0;
}

void ajf_scan_end(struct ajf_scan *s)
{
    if (s->dir)
        closedir(s->dir);
    free(s->entries);
    free(s->names);
    *s = (struct ajf_scan){0};
}
