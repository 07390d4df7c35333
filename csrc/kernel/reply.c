/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mount.h"

/* Nanoseconds count forwards before the epoch, too. */
static struct timespec timespec_of(int64_t ns)
{
    int64_t s = ns / (int64_t)AJF_NS_PER_S, rest = ns % (int64_t)AJF_NS_PER_S;
    return rest < 0 ? (struct timespec){s - 1, rest + (int64_t)AJF_NS_PER_S} : (struct timespec){s, rest};
}

void ajf_reply_fill_stat(const struct ajf *m, const struct ajf_inode_view *v, struct stat *ret_st)
{
    const struct ajf_attr *a = &v->attr;
    const struct ajf_options *o = &m->options;
    *ret_st = (struct stat){.st_ino = a->ino,
                            .st_mode = a->mode,
                            .st_nlink = a->nlink ? a->nlink : 1,
                            .st_uid = o->uid >= 0 ? (uid_t)o->uid : a->uid,
                            .st_gid = o->gid >= 0 ? (gid_t)o->gid : a->gid,
                            .st_size = (off_t)a->size,
                            .st_blksize = 4096,
                            .st_blocks = (blkcnt_t)(a->blocks == UINT64_MAX ? (a->size + 511) / 512 : a->blocks)};
    ret_st->st_mtim = timespec_of(a->mtime_ns);
    ret_st->st_ctim = timespec_of(a->ctime_ns);
    ret_st->st_atim = timespec_of(a->atime_ns);
    if (o->umask >= 0 && !S_ISLNK(a->mode))
        ret_st->st_mode = (a->mode & S_IFMT) | (0777 & ~(mode_t)o->umask);
}

bool ajf_reply_permits_same(const struct ajf *m, const struct ajf_permissions *a, const struct ajf_permissions *b)
{
    const struct ajf_options *o = &m->options;
    return (o->umask >= 0 || a->mode == b->mode) && (o->uid >= 0 || a->uid == b->uid) &&
           (o->gid >= 0 || a->gid == b->gid);
}

static double seconds_left(uint64_t expires_ns, uint64_t now_ns)
{
    return expires_ns > now_ns ? (double)(expires_ns - now_ns) / (double)AJF_NS_PER_S : 0;
}

void ajf_reply_fill_entry(const struct ajf *m, const struct ajf_inode_view *v, uint64_t now_ns,
                         struct fuse_entry_param *ret_e)
{
    uint64_t asked_ns = v->expires_ns - m->options.attr_timeout_ns; /* when the source was asked */
    *ret_e = (struct fuse_entry_param){.ino = v->nodeid, .generation = v->generation};
    ajf_reply_fill_stat(m, v, &ret_e->attr);
    ret_e->attr_timeout = seconds_left(v->expires_ns, now_ns);
    if (v->expires_ns) /* else the answer is good for this once */
        ret_e->entry_timeout = seconds_left(asked_ns + m->options.entry_timeout_ns, now_ns);
}

/* ------------------------------------------------------------------------------------------------- the one way out */

/* The path of a request that is slow by now, or that is logged in any case; NULL: it is neither. To be freed. */
static char *path_if_told(struct ajf *m, const struct ajf_request *req)
{
    uint64_t slow_ns = m->options.slow_ms * AJF_NS_PER_MS;
    bool slow = slow_ns && ajf_now_coarse_ns() + AJF_COARSE_NS >= req->started_ns + slow_ns;
    return slow || m->options.debug ? ajf_inode_path(&m->inodes, req->nodeid, NULL, 0) : NULL;
}

static void warn(struct ajf *m, const struct ajf_request *req, const char *path, long result, uint64_t took_ms)
{
    ajf_log(&m->log, AJF_LOG_WARN, "Fuse.%s(path=%s,fd=%llu,size=%zu,offset=%llu) returned %ld in %llu ms (>=%llu ms)",
            ajf_request_name(req->op), path ? path : "?", (unsigned long long)req->nodeid, req->size,
            (unsigned long long)req->offset, result, (unsigned long long)took_ms,
            (unsigned long long)m->options.slow_ms);
}

static void leave(struct ajf *m, const struct ajf_request *req, const char *path, long result, uint64_t took_ms)
{
    ajf_log(&m->log, AJF_LOG_DEBUG, "Exit (%ld): Fuse.%s(path=%s,fd=%llu,size=%zu,offset=%llu) in %llu ms", result,
            ajf_request_name(req->op), path ? path : "?", (unsigned long long)req->nodeid, req->size,
            (unsigned long long)req->offset, (unsigned long long)took_ms);
}

/* The answer was written: `result` is what the caller sees, a length or -errno. Frees the path. */
static void written(struct ajf *m, const struct ajf_request *req, char *path, long result)
{
    uint64_t took_ns = ajf_now_ns() - req->started_ns, took_ms = took_ns / AJF_NS_PER_MS;
    enum ajf_timed timed = ajf_request_timed(req->op);
    ajf_times_note(&m->times, timed, took_ns);
    if (result < 0)
        ajf_times_failed(&m->times, timed, (int)-result);
    if (m->options.slow_ms && took_ms >= m->options.slow_ms)
        warn(m, req, path, result, took_ms);
    if (m->options.debug)
        leave(m, req, path, result, took_ms);
    free(path);
}

void ajf_reply_err(struct ajf *m, const struct ajf_request *req, int err)
{
    char *path = path_if_told(m, req);
    fuse_reply_err(req->fuse, err);
    written(m, req, path, -err);
}

void ajf_reply_refuse(fuse_req_t fuse, int err)
{
    fuse_reply_err(fuse, err);
}

void ajf_reply_none(const struct ajf_request *req)
{
    fuse_reply_none(req->fuse);
}

static void undo_lookups(struct ajf *m, const uint64_t *nodeids, size_t n)
{
    AJF_COUNT_ADD(&m->stats, lookup_undone, n);
    for (size_t i = 0; i < n; i++)
        ajf_inode_forget(&m->inodes, nodeids[i], 1);
}

void ajf_reply_entry(struct ajf *m, const struct ajf_request *req, const struct ajf_inode_view *v)
{
    char *path = path_if_told(m, req);
    struct fuse_entry_param e;
    ajf_reply_fill_entry(m, v, ajf_now_ns(), &e);
    if (fuse_reply_entry(req->fuse, &e) < 0)
        undo_lookups(m, &v->nodeid, 1);
    written(m, req, path, 0);
}

/* An entry with inode 0 and a timeout has the kernel remember for so long that there is no such name. */
void ajf_reply_negative(struct ajf *m, const struct ajf_request *req, uint64_t expires_ns)
{
    char *path = path_if_told(m, req);
    struct fuse_entry_param e = {.entry_timeout = seconds_left(expires_ns, ajf_now_ns())};
    if (e.entry_timeout > 0)
        fuse_reply_entry(req->fuse, &e);
    else
        fuse_reply_err(req->fuse, ENOENT);
    written(m, req, path, -ENOENT);
}

void ajf_reply_attr(struct ajf *m, const struct ajf_request *req, const struct ajf_inode_view *v)
{
    char *path = path_if_told(m, req);
    struct stat st;
    ajf_reply_fill_stat(m, v, &st);
    fuse_reply_attr(req->fuse, &st, seconds_left(v->expires_ns, ajf_now_ns()));
    written(m, req, path, 0);
}

void ajf_reply_open(struct ajf *m, const struct ajf_request *req, const struct fuse_file_info *fi, ajf_reply_undo undo)
{
    char *path = path_if_told(m, req);
    if (fuse_reply_open(req->fuse, fi) < 0) /* the kernel no longer waits, and will send no RELEASE */
        undo(m, req->nodeid, fi->fh);
    written(m, req, path, 0);
}

void ajf_reply_bytes(struct ajf *m, const struct ajf_request *req, const void *bytes, size_t n)
{
    char *path = path_if_told(m, req);
    long result = fuse_reply_buf(req->fuse, bytes, n) < 0 ? -EIO : (long)n;
    written(m, req, path, result);
}

void ajf_reply_pipe(struct ajf *m, const struct ajf_request *req, int pipe, size_t n)
{
    char *path = path_if_told(m, req);
    struct fuse_bufvec vec = FUSE_BUFVEC_INIT(n);
    vec.buf[0].flags = FUSE_BUF_IS_FD;
    vec.buf[0].fd = pipe;
    fuse_reply_data(req->fuse, &vec, 0);
    written(m, req, path, (long)n);
}

void ajf_reply_names(struct ajf *m, const struct ajf_request *req, const char *packed, size_t n,
                     const uint64_t *nodeids, size_t n_nodeids)
{
    char *path = path_if_told(m, req);
    if (fuse_reply_buf(req->fuse, packed, n) < 0)
        undo_lookups(m, nodeids, n_nodeids);
    written(m, req, path, (long)n);
}

void ajf_reply_statfs(struct ajf *m, const struct ajf_request *req, const struct statvfs *st)
{
    char *path = path_if_told(m, req);
    fuse_reply_statfs(req->fuse, st);
    written(m, req, path, 0);
}

void ajf_reply_ioctl(struct ajf *m, const struct ajf_request *req, const void *bytes, size_t n)
{
    char *path = path_if_told(m, req);
    fuse_reply_ioctl(req->fuse, 0, bytes, n);
    written(m, req, path, 0);
}
