/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opens.h - who has a file open: it is made, released, given up, and goes on as a longer one.
 *
 * Threads: any. Lock: cache->lock.
 */
#ifndef AJF_FILES_OPENS_H
#define AJF_FILES_OPENS_H

#include "files/file.h"

struct ajf;

/* RELEASE of one handle; the last one ends the mode. */
void ajf_file_release(struct ajf *m, uint64_t nodeid);
/* Whether the kernel is known to have this nodeid open. Takes the lock. */
bool ajf_file_is_open(struct ajf *m, uint64_t nodeid);
/* The version of a file that is open; 0: none is. Takes the lock. */
uint64_t ajf_file_open_version(struct ajf *m, uint64_t nodeid);
/*
 * The file in the slot, or a new one in it. 0, -ESTALE, -ENOMEM. If the source is to be asked, the file is OPENING, and
 * the caller has `*ret_ask` answered without the lock (ajf_direct_ask), whatever else fails.
 */
int ajf_file_make_locked(struct ajf *m, const struct ajf_inode_view *v, struct ajf_file **ret_file,
                         struct ajf_fetch **ret_ask);
/* Nothing is open any more: ends the mode, and the file unless it has bytes worth keeping. */
void ajf_file_last_release_locked(struct ajf *m, struct ajf_file *file);
/*
 * Takes a file out of its slot whose fetch is lost, or whose bytes are wrong; when somebody uses it, a fresh, empty one
 * takes its place. Needs a reference.
 */
void ajf_file_abandon_locked(struct ajf *m, struct ajf_file *file);
/*
 * The source says that version `from` of an open file has become `attr`, which begins with all that was read of it: a
 * fresh, empty file of that version takes its place under those who have it open, and its record says so. The kernel
 * drops its pages when it is told of another size. False: it stays what it is, because another version is open, the
 * kernel reads it itself, or an answer is under way, which would end a page where the old version ended.
 */
bool ajf_file_grow(struct ajf *m, uint64_t nodeid, uint64_t from, const struct ajf_attr *attr, uint64_t expires_ns);

/* Tells the uses that have not ended (use.h). False: some found no room. Takes the lock. */
bool ajf_files_tell(struct ajf *m);

#endif
