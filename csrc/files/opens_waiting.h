/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opens_waiting.h - the OPENs that are parked on a file, and how they are answered.
 *
 * Threads: any. Lock: cache->lock guards the lists; requests are answered without it.
 */
#ifndef AJF_FILES_OPENS_WAITING_H
#define AJF_FILES_OPENS_WAITING_H

#include "files/file.h"
#include "kernel/wait.h"

struct ajf_opener {
    struct ajf_wait wait;
    struct ajf_list link;  /* cache->lock; file->opens_waiting */
    struct ajf_file *file; /* a reference */
    struct fuse_file_info fi;
};

/* Answers an OPEN that was granted; takes it back if the kernel does not take the reply. */
void ajf_openers_reply(struct ajf *m, const struct ajf_request *req, const struct fuse_file_info *fi);
/*
 * Ends OPENING: takes the openers that wait for it, for ajf_openers_answer; `failed`: with an error. The caller holds a
 * reference.
 */
void ajf_openers_take_locked(struct ajf *m, struct ajf_file *file, struct ajf_list *ret_openers, bool failed);
/* And grants them what they wait for. */
void ajf_openers_grant_locked(struct ajf *m, struct ajf_file *file, struct ajf_list *ret_openers);
void ajf_openers_answer(struct ajf *m, struct ajf_list *openers, int err);
/* The first bytes of a file will not come (`err`, positive): answers the opens that wait for them. */
void ajf_openers_refused(struct ajf *m, struct ajf_file *file, int err);

#endif
