/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readdir.h - READDIR and READDIRPLUS, answered from a snapshot.
 *
 * Offsets are positions in the snapshot, behind "." and "..". READDIRPLUS makes an inode record of each entry that it
 * hands over, and counts a look-up; when the kernel does not take the reply, they are taken back.
 *
 * Threads: any; the caller holds no lock.
 */
#ifndef AJF_OPS_READDIR_H
#define AJF_OPS_READDIR_H

#include "kernel/request.h"
#include "names/listing.h"

struct ajf;

/*
 * Answers `req`. False: there is no snapshot (any more); a LIST is needed, and `listed` is what it brought (else NULL),
 * however short its life.
 */
bool ajf_readdir(struct ajf *m, const struct ajf_request *req, uint64_t fh, struct ajf_listing *listed);

#endif
