/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "files/opens.h"
#include "kernel/reply.h"
#include "mount.h"
#include "ops/open.h"
#include "ops/read.h"
#include "ops/readdir.h"

/* The mount of a request, and the request, which is counted. */
#define ENTER(fuse, op, nodeid, what)                                                                                  \
    struct ajf *m = fuse_req_userdata(fuse);                                                                           \
    struct ajf_request req = ajf_request_begin(m, (fuse), (op), (nodeid), (what))

static void init(void *userdata, struct fuse_conn_info *conn)
{
    ajf_session_negotiate(userdata, conn);
}

static void lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    ENTER(fuse, AJF_OP_LOOKUP, parent, name);
    ajf_metadata_lookup(m, &req, parent, name);
}

static void forget(fuse_req_t fuse, fuse_ino_t nodeid, uint64_t nlookup)
{
    ENTER(fuse, AJF_OP_FORGET, nodeid, "");
    ajf_inode_forget(&m->inodes, nodeid, nlookup);
    ajf_reply_none(&req);
}

static void forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets)
{
    struct ajf *m = fuse_req_userdata(fuse);
    AJF_COUNT_ADD(&m->stats, op_forget, count);
    for (size_t i = 0; i < count; i++)
        ajf_inode_forget(&m->inodes, forgets[i].ino, forgets[i].nlookup);
    ajf_reply_none(&(struct ajf_request){.fuse = fuse});
}

static void getattr(fuse_req_t fuse, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
    (void)fi;
    ENTER(fuse, AJF_OP_GETATTR, nodeid, "");
    ajf_metadata_getattr(m, &req, nodeid);
}

static void readlink_(fuse_req_t fuse, fuse_ino_t nodeid)
{
    ENTER(fuse, AJF_OP_READLINK, nodeid, "");
    ajf_metadata_readlink(m, &req, nodeid);
}

static void open_(fuse_req_t fuse, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
    ENTER(fuse, AJF_OP_OPEN, nodeid, "");
    if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
        AJF_COUNT(&m->stats, op_refused);
        ajf_reply_err(m, &req, EROFS);
    } else {
        ajf_open(m, &req, nodeid, fi);
    }
}

static void read_(fuse_req_t fuse, fuse_ino_t nodeid, size_t size, off_t offset, struct fuse_file_info *fi)
{
    ENTER(fuse, AJF_OP_READ, nodeid, "");
    if (fi->fh)
        ajf_inode_settle(&m->inodes, nodeid, (uint32_t)fi->fh);
    AJF_COUNT_ADD(&m->stats, op_read_bytes, size);
    req.size = size;
    req.offset = (uint64_t)offset;
    ajf_read(m, &req);
}

static void release(fuse_req_t fuse, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
    ENTER(fuse, AJF_OP_RELEASE, nodeid, "");
    if (fi->fh)
        ajf_inode_settle(&m->inodes, nodeid, (uint32_t)fi->fh);
    ajf_file_release(m, nodeid);
    ajf_reply_err(m, &req, 0);
}

static void opendir_(fuse_req_t fuse, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
    struct fuse_file_info granted = *fi;
    enum ajf_dir_cache cache;
    ENTER(fuse, AJF_OP_OPENDIR, nodeid, "");
    int err = ajf_dir_open(m, nodeid, &cache, &granted.fh);
    granted.cache_readdir = !err && cache != AJF_DIR_UNSETTLED;
    granted.keep_cache = !err && cache != AJF_DIR_FRESH;
    if (err)
        ajf_reply_err(m, &req, -err);
    else
        ajf_reply_open(m, &req, &granted, ajf_dir_unopen);
}

static void list(struct ajf *m, struct ajf_request *req, const struct fuse_file_info *fi, size_t size, off_t offset)
{
    req->size = size;
    req->offset = (uint64_t)offset;
    if (!ajf_readdir(m, req, fi->fh, NULL))
        ajf_metadata_list(m, req, req->nodeid, fi);
}

static void readdir_(fuse_req_t fuse, fuse_ino_t nodeid, size_t size, off_t offset, struct fuse_file_info *fi)
{
    ENTER(fuse, AJF_OP_READDIR, nodeid, "");
    list(m, &req, fi, size, offset);
}

static void readdirplus(fuse_req_t fuse, fuse_ino_t nodeid, size_t size, off_t offset, struct fuse_file_info *fi)
{
    ENTER(fuse, AJF_OP_READDIRPLUS, nodeid, "");
    list(m, &req, fi, size, offset);
}

static void releasedir(fuse_req_t fuse, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
    ENTER(fuse, AJF_OP_RELEASEDIR, nodeid, "");
    ajf_dir_release(m, nodeid, fi->fh);
    ajf_reply_err(m, &req, 0);
}

static void statfs_(fuse_req_t fuse, fuse_ino_t nodeid)
{
    ENTER(fuse, AJF_OP_STATFS, nodeid, "");
    ajf_metadata_statfs(m, &req);
}

static bool is_of_trace(unsigned command)
{
    return command == AJF_IOC_TRACE || command == AJF_IOC_TRACE_USES || command == AJF_IOC_TRACED ||
           command == AJF_IOC_TRACE_REST || command == AJF_IOC_TRACE_END;
}

/* A recording tells names of files that its reader may not see; root and the owner of this process may. */
static void trace(struct ajf *m, struct ajf_request *req, unsigned command)
{
    const struct fuse_ctx *caller = fuse_req_ctx(req->fuse);
    struct ajf_traced *taken = NULL;
    int err = 0;
    if (caller->uid && caller->uid != geteuid())
        err = -EPERM;
    else if (command == AJF_IOC_TRACE || command == AJF_IOC_TRACE_USES)
        err = ajf_trace_begin(&m->trace, command == AJF_IOC_TRACE ? AJF_TRACE_OPENS : AJF_TRACE_USES, caller->pid);
    else if (command == AJF_IOC_TRACE_REST)
        err = ajf_files_tell(m) ? 0 : -EAGAIN;
    else if (command == AJF_IOC_TRACE_END)
        ajf_trace_end(&m->trace);
    else if (!(taken = malloc(sizeof *taken)))
        err = -ENOMEM;
    else
        err = ajf_trace_take(&m->trace, taken);
    if (err)
        ajf_reply_err(m, req, -err);
    else
        ajf_reply_ioctl(m, req, taken, taken ? offsetof(struct ajf_traced, items) + taken->bytes : 0);
    free(taken);
}

static void ioctl_(fuse_req_t fuse, fuse_ino_t nodeid, unsigned command, void *arg, struct fuse_file_info *fi,
                   unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    const struct ajf_refresh *refresh = in;
    const bool traces = is_of_trace(command);
    (void)arg, (void)fi, (void)out_size;
    if (!(traces || command == AJF_IOC_REFRESH) || !(flags & FUSE_IOCTL_DIR)) {
        ajf_reply_refuse(fuse, ENOTTY); /* any program that asks whether it writes to a terminal comes here */
        return;
    }
    if (traces) {
        ENTER(fuse, AJF_OP_TRACE, nodeid, "");
        trace(m, &req, command);
        return;
    }
    ENTER(fuse, AJF_OP_REFRESH, nodeid, "");
    if (in_size < sizeof *refresh || !memchr(refresh->name, '\0', sizeof refresh->name) || strchr(refresh->name, '/'))
        ajf_reply_err(m, &req, EINVAL);
    else
        ajf_metadata_refresh(m, &req, nodeid, refresh->name);
}

/* ---------------------------------------------------------------------------------- read-only: nothing changes */

static void refuse(fuse_req_t req)
{
    struct ajf *m = fuse_req_userdata(req);
    AJF_COUNT(&m->stats, op_refused);
    ajf_reply_refuse(req, EROFS);
}

static void setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
    refuse(req);
}

static void mknod_(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    refuse(req);
}

static void mkdir_(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    refuse(req);
}

static void unlink_(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    refuse(req);
}

static void symlink_(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    refuse(req);
}

static void rename_(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *to_name,
                    unsigned flags)
{
    refuse(req);
}

static void link_(fuse_req_t req, fuse_ino_t ino, fuse_ino_t to, const char *name)
{
    refuse(req);
}

static void write_(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
    refuse(req);
}

static void create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    refuse(req);
}

static void fallocate_(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
    refuse(req);
}

const struct fuse_lowlevel_ops ajf_ops = {
    .init = init,
    .lookup = lookup,
    .forget = forget,
    .forget_multi = forget_multi,
    .getattr = getattr,
    .readlink = readlink_,
    .open = open_,
    .read = read_,
    .release = release,
    .opendir = opendir_,
    .readdir = readdir_,
    .readdirplus = readdirplus,
    .releasedir = releasedir,
    .statfs = statfs_,
    .ioctl = ioctl_,
    .setattr = setattr,
    .mknod = mknod_,
    .mkdir = mkdir_,
    .unlink = unlink_,
    .rmdir = unlink_,
    .symlink = symlink_,
    .rename = rename_,
    .link = link_,
    .write = write_,
    .create = create,
    .fallocate = fallocate_,
};
