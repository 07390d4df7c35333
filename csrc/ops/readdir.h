/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readdir.h - the answer to one READDIR or READDIRPLUS, from a snapshot.
 *
 * Offsets are positions in the snapshot, behind "." and "..". READDIRPLUS makes an inode record of each entry that it
 * hands over, and counts a look-up; when the kernel does not take the reply, they are taken back.
 *
 * Threads: any; the caller holds a reference to the snapshot, and no lock.
 */
#ifndef AJF_OPS_READDIR_H
#define AJF_OPS_READDIR_H

#include "kernel/fuse.h"
#include "names/listing.h"

struct ajf;

/* 0: the request was answered. -ENOMEM, -ESTALE: it was not. */
int ajf_readdir_reply(struct ajf *m, fuse_req_t req, const struct ajf_listing *l, size_t size, uint64_t offset,
                      bool plus);

#endif
