/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - what the kernel is told of names and attributes, and for how long it may rely on it.
 *
 * Threads: any; no lock of the core may be held, for replies are written here.
 */
#ifndef AJF_KERNEL_REPLY_H
#define AJF_KERNEL_REPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "kernel/fuse.h"
#include "names/inode.h"

struct ajf;
struct ajf_permissions;

/* The parts of a record that `st` and the kernel are told. */
void ajf_reply_fill_stat(const struct ajf *m, const struct ajf_inode_view *v, struct stat *ret_st);
void ajf_reply_fill_entry(const struct ajf *m, const struct ajf_inode_view *v, uint64_t now_ns,
                         struct fuse_entry_param *ret_e);

/* Whether the kernel is shown the same mode and owner of records that have these. */
bool ajf_reply_permits_same(const struct ajf *m, const struct ajf_permissions *a, const struct ajf_permissions *b);

/* The answers to LOOKUP and GETATTR. The look-up that the view carries is taken back when the kernel does not take it. */
void ajf_reply_entry(struct ajf *m, fuse_req_t req, const struct ajf_inode_view *v);
void ajf_reply_attr(struct ajf *m, fuse_req_t req, const struct ajf_inode_view *v);
/* There is no such name, and will be none until expires_ns. */
void ajf_reply_negative(fuse_req_t req, uint64_t expires_ns);

#endif
