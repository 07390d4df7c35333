/* SPDX-License-Identifier: Apache-2.0 */
/* Replies about names and attributes, and for how long the kernel may rely on them. */
#include "kernel/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mount.h"

/* Also before the epoch the nanoseconds count forwards. */
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
    uint64_t asked_ns = v->expires_ns - m->options.attr_timeout_ns; /* when the source said so */
    *ret_e = (struct fuse_entry_param){.ino = v->nodeid, .generation = v->generation};
    ajf_reply_fill_stat(m, v, &ret_e->attr);
    ret_e->attr_timeout = seconds_left(v->expires_ns, now_ns);
    if (v->expires_ns) /* else it is true for this once */
        ret_e->entry_timeout = seconds_left(asked_ns + m->options.entry_timeout_ns, now_ns);
}

void ajf_reply_entry(struct ajf *m, fuse_req_t req, const struct ajf_inode_view *v)
{
    struct fuse_entry_param e;
    ajf_reply_fill_entry(m, v, ajf_now_ns(), &e);
    if (fuse_reply_entry(req, &e) < 0) {
        AJF_COUNT(&m->stats, lookup_undone);
        ajf_inode_forget(&m->inodes, v->nodeid, 1);
    }
}

/* With a timeout the kernel remembers that there is nothing: an entry with inode 0 says for how long. */
void ajf_reply_negative(fuse_req_t req, uint64_t expires_ns)
{
    struct fuse_entry_param e = {.entry_timeout = seconds_left(expires_ns, ajf_now_ns())};
    if (e.entry_timeout > 0)
        fuse_reply_entry(req, &e);
    else
        fuse_reply_err(req, ENOENT);
}

void ajf_reply_attr(struct ajf *m, fuse_req_t req, const struct ajf_inode_view *v)
{
    struct stat st;
    ajf_reply_fill_stat(m, v, &st);
    fuse_reply_attr(req, &st, seconds_left(v->expires_ns, ajf_now_ns()));
}
