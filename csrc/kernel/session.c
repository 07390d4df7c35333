/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mount.h"

extern char **environ;

void ajf_session_init(struct ajf_session *s)
{
    pthread_mutex_init(&s->lock, NULL);
    ajf_cond_init(&s->ready);
}

void ajf_session_done(struct ajf_session *s)
{
    free(s->mountpoint);
    pthread_cond_destroy(&s->ready);
    pthread_mutex_destroy(&s->lock);
}

void ajf_session_unmount(struct ajf *m)
{
    struct ajf_session *s = &m->session;
    unsigned major = 0, minor = 0;
    /* libfuse would unmount any mount that is at the path now; after a lazy unmount that is another one. */
    if (!s->device || (ajf_device(m, &major, &minor) == 0 && makedev(major, minor) == s->device))
        fuse_session_unmount(s->se);
}

void ajf_session_close(struct ajf *m)
{
    if (m->session.se)
        fuse_session_destroy(m->session.se);
    m->session.se = NULL;
}

/* Without CAP_SYS_RESOURCE a pipe has 256 pages, one too few for a READ of 1 MiB and its header: 512 KiB fit. */
static uint32_t choose_max_read(const struct ajf_options *o, size_t most_spliced)
{
    bool half = !o->io_uring && most_spliced >= AJF_SCRATCH_BYTES / 2 && most_spliced < AJF_SCRATCH_BYTES;
    return o->max_read || !half ? o->max_read : AJF_SCRATCH_BYTES / 2;
}

int ajf_session_mount(struct ajf *m, const struct fuse_lowlevel_ops *ops, size_t most_spliced, const char *mountpoint,
                      const char *options)
{
    struct ajf_session *s = &m->session;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    bool uring = m->options.io_uring && AJF_HAVE_IO_URING;
    char max_read[32];
    int err = -ENOMEM;
    if (mountpoint[0] != '/')
        return -EINVAL; /* libfuse resolves a relative path against the wrong directory */
    atomic_store(&s->most_spliced, most_spliced);
    s->max_read = choose_max_read(&m->options, most_spliced);
    snprintf(max_read, sizeof max_read, "-omax_read=%u", s->max_read); /* libfuse wants it here and in INIT */
    s->mountpoint = strdup(mountpoint);
    if (!s->mountpoint || fuse_opt_add_arg(&args, "alluxio-fuse") ||
        (*options && (fuse_opt_add_arg(&args, "-o") || fuse_opt_add_arg(&args, options))) ||
        (s->max_read && fuse_opt_add_arg(&args, max_read)) || (uring && fuse_opt_add_arg(&args, "-oio_uring")))
        goto out;
    err = -EINVAL;
    s->se = fuse_session_new(&args, ops, sizeof *ops, m);
    if (!s->se)
        goto out;
    errno = 0;
    err = fuse_session_mount(s->se, mountpoint) ? -(errno ? errno : EIO) : 0;
out:
    fuse_opt_free_args(&args);
    return err;
}

static unsigned grant(struct fuse_conn_info *conn, uint64_t capability, unsigned feature)
{
    return ajf_want(conn, capability) ? feature : 0;
}

void ajf_session_negotiate(struct ajf *m, struct fuse_conn_info *conn)
{
    struct ajf_session *s = &m->session;
    const struct ajf_options *o = &m->options;
    unsigned granted = m->cache.store.huge ? AJF_FEATURE_HUGE_PAGES : 0;
    conn->max_read = s->max_read;
    conn->max_write = o->max_write;
    conn->max_readahead = o->max_readahead;
    conn->max_background = o->max_background;
    conn->congestion_threshold = o->congestion_threshold;
    if (o->sync_read)
        ajf_unwant(conn, FUSE_CAP_ASYNC_READ);
    ajf_unwant(conn, FUSE_CAP_SPLICE_READ); /* what the kernel sends is small */
    if (!ajf_want(conn, FUSE_CAP_SPLICE_WRITE))
        atomic_store(&s->most_spliced, 0);
    ajf_want(conn, FUSE_CAP_IOCTL_DIR);
    granted |= grant(conn, FUSE_CAP_PARALLEL_DIROPS, AJF_FEATURE_PARALLEL_DIROPS);
    granted |= grant(conn, FUSE_CAP_CACHE_SYMLINKS, AJF_FEATURE_CACHE_SYMLINKS);
    granted |= grant(conn, FUSE_CAP_READDIRPLUS, AJF_FEATURE_READDIRPLUS);
    ajf_unwant(conn, FUSE_CAP_READDIRPLUS_AUTO); /* with it the kernel asks for names alone until a name is looked up */
    atomic_store(&m->dirs.tells, (granted & AJF_FEATURE_READDIRPLUS) != 0);
    /* The kernel drops pages when attributes change; kernel_cache promises to keep them. */
    if (o->cache_mode == AJF_CACHE_KERNEL)
        ajf_unwant(conn, FUSE_CAP_AUTO_INVAL_DATA);
    /* A kernel that does not ask before it opens would take O_TRUNC for granted, and show an empty file. */
    if (o->asks_no_open)
        ajf_unwant(conn, FUSE_CAP_ATOMIC_O_TRUNC);
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
    if (o->cache_mode == AJF_CACHE_DIRECT)
        ajf_want(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
#endif
#if AJF_HAVE_PASSTHROUGH
    /* The kernel stacks two file systems at most: a mount that may lie over an overlay cannot lie under one. */
    if (o->passthrough && o->stack_depth && o->cache_mode != AJF_CACHE_DIRECT) {
        granted |= grant(conn, FUSE_CAP_PASSTHROUGH, AJF_FEATURE_PASSTHROUGH);
        conn->max_backing_stack_depth = o->stack_depth > 1 ? FUSE_BACKING_STACKED_OVER : FUSE_BACKING_STACKED_UNDER;
    }
#endif
#if AJF_HAVE_IO_URING
    if (o->io_uring)
        granted |= grant(conn, FUSE_CAP_OVER_IO_URING, AJF_FEATURE_IO_URING);
    else
        ajf_unwant(conn, FUSE_CAP_OVER_IO_URING);
#endif
    if (granted & AJF_FEATURE_IO_URING)
        atomic_store(&s->most_spliced, 0); /* a ring carries memory, and no pipes */
    atomic_store(&s->granted, granted);
    atomic_store(&s->passthrough, (granted & AJF_FEATURE_PASSTHROUGH) != 0);
    pthread_mutex_lock(&s->lock);
    s->initialised = true;
    pthread_cond_broadcast(&s->ready);
    pthread_mutex_unlock(&s->lock);
}

int ajf_session_wait_ready(struct ajf *m, int timeout_ms)
{
    struct ajf_session *s = &m->session;
    uint64_t deadline = ajf_deadline_ns(timeout_ms);
    bool more = true;
    pthread_mutex_lock(&s->lock);
    while (!s->initialised && !s->over && more)
        more = ajf_cond_wait_until(&s->ready, &s->lock, deadline);
    int err = s->initialised ? 0 : s->over ? -EPROTO : -ETIMEDOUT;
    pthread_mutex_unlock(&s->lock);
    unsigned major, minor;
    if (!err && !ajf_device(m, &major, &minor))
        s->device = makedev(major, minor);
    return err;
}

void ajf_session_over(struct ajf *m)
{
    struct ajf_session *s = &m->session;
    pthread_mutex_lock(&s->lock);
    s->over = true;
    pthread_cond_broadcast(&s->ready);
    pthread_mutex_unlock(&s->lock);
}

unsigned ajf_features_granted(const struct ajf *m)
{
    return atomic_load(&m->session.granted);
}

unsigned ajf_features_compiled(void)
{
    unsigned features = AJF_FEATURE_READDIRPLUS | AJF_FEATURE_CACHE_SYMLINKS | AJF_FEATURE_PARALLEL_DIROPS;
    if (AJF_HAVE_PASSTHROUGH)
        features |= AJF_FEATURE_PASSTHROUGH;
    if (AJF_HAVE_IO_URING)
        features |= AJF_FEATURE_IO_URING;
    return features | AJF_FEATURE_HUGE_PAGES;
}

const char *ajf_libfuse_version(void)
{
    return fuse_pkgversion();
}

/* Replaces the octal escapes of mountinfo (\040 for a space ...) in place. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

int ajf_device(const struct ajf *m, unsigned *ret_major, unsigned *ret_minor)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0;
    int err = -ENOENT;
    if (!file)
        return -errno;
    while (m->session.mountpoint && getline(&line, &size, file) > 0) {
        unsigned id, parent, major, minor;
        int at = 0;
        char *where = NULL, *rest;
        if (sscanf(line, "%u %u %u:%u %*s %n", &id, &parent, &major, &minor, &at) != 4 || !at)
            continue;
        where = strtok_r(line + at, " ", &rest);
        if (!where)
            continue;
        unescape(where);
        if (!strcmp(where, m->session.mountpoint)) { /* the last line is that of the topmost mount */
            *ret_major = major;
            *ret_minor = minor;
            err = 0;
        }
    }
    free(line);
    fclose(file);
    return err;
}

static int run_fusermount(const char *mountpoint, bool lazy)
{
    char helper[PATH_MAX];
    const char *argv[] = {helper, "-u", "-q", lazy ? "-z" : "--", mountpoint, NULL};
    pid_t pid;
    int status, err = ENOENT;
    if (access("/etc/mtab", F_OK) < 0)
        return -ENOENT; /* without it fusermount3 unmounts nothing */
    for (const char *at = AJF_HELPER_PATH; err && *at; at += *at == ':') {
        size_t length = strcspn(at, ":");
        snprintf(helper, sizeof helper, "%.*s/fusermount3", (int)length, at);
        err = posix_spawn(&pid, helper, NULL, NULL, (char *const *)argv, environ);
        at += length;
    }
    if (err)
        return -EPERM;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int ajf_unmount(const char *mountpoint, bool lazy)
{
    if (umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    return errno == EPERM ? run_fusermount(mountpoint, lazy) : -errno;
}
