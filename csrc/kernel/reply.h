/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - the one way out: every answer to a request of the kernel is written here.
 *
 * So each request is timed, from when a worker took it until its answer was written, parked or not; its errno is
 * counted; a slow one is logged; and if the kernel does not take an answer, the look-ups and the open that it carries
 * are taken back.
 *
 * With the answer the kernel may forget what the request is about, and its record may become another's. So the path of
 * a slow one is looked up before the answer is written; one that is slow only because of the writing is logged without.
 *
 * An answer ends the request: its `fuse` is gone afterwards.
 *
 * Threads: any; no lock of the core may be held, for replies are written here.
 */
#ifndef AJF_KERNEL_REPLY_H
#define AJF_KERNEL_REPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "kernel/fuse.h"
#include "kernel/request.h"
#include "names/inode.h"

struct ajf;
struct ajf_permissions;

/* Attributes of a record as the kernel is told them, and how long they and the name are good. */
void ajf_reply_fill_stat(const struct ajf *m, const struct ajf_inode_view *v, struct stat *ret_st);
void ajf_reply_fill_entry(const struct ajf *m, const struct ajf_inode_view *v, uint64_t now_ns,
                         struct fuse_entry_param *ret_e);

/* Whether the kernel is shown the same mode and owner for both; the options may replace them. */
bool ajf_reply_permits_same(const struct ajf *m, const struct ajf_permissions *a, const struct ajf_permissions *b);

/* Takes back the open that a reply carries, when the kernel did not take the reply. */
typedef void (*ajf_reply_undo)(struct ajf *m, uint64_t nodeid, uint64_t fh);

void ajf_reply_err(struct ajf *m, const struct ajf_request *req, int err);
/* For messages that are no struct ajf_request, such as other ioctls and writes. They are not timed. */
void ajf_reply_refuse(fuse_req_t fuse, int err);
/* For FORGET, which the kernel wants no answer to. */
void ajf_reply_none(const struct ajf_request *req);
/* LOOKUP: a record, with the look-up that the view carries; or that there is no such name until expires_ns. */
void ajf_reply_entry(struct ajf *m, const struct ajf_request *req, const struct ajf_inode_view *v);
void ajf_reply_negative(struct ajf *m, const struct ajf_request *req, uint64_t expires_ns);
void ajf_reply_attr(struct ajf *m, const struct ajf_request *req, const struct ajf_inode_view *v);
/* OPEN and OPENDIR. The open has been counted; `undo` takes it back. */
void ajf_reply_open(struct ajf *m, const struct ajf_request *req, const struct fuse_file_info *fi, ajf_reply_undo undo);
void ajf_reply_bytes(struct ajf *m, const struct ajf_request *req, const void *bytes, size_t n);
/* READ, from a pipe that holds `n` bytes. */
void ajf_reply_pipe(struct ajf *m, const struct ajf_request *req, int pipe, size_t n);
/* READDIR and READDIRPLUS; the latter carries a look-up of each of these records. */
void ajf_reply_names(struct ajf *m, const struct ajf_request *req, const char *packed, size_t n,
                     const uint64_t *nodeids, size_t n_nodeids);
void ajf_reply_statfs(struct ajf *m, const struct ajf_request *req, const struct statvfs *st);
/* With `n` bytes for the caller. */
void ajf_reply_ioctl(struct ajf *m, const struct ajf_request *req, const void *bytes, size_t n);

#endif
