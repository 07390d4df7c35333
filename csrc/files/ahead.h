/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead.h - small files fetched before they are asked for, when a directory is read in the order of its listing.
 *
 * A small file of a source that opens lazily (ajf_open_lazily) is one call to the source, most of which is waiting.
 * A reader that takes them in the order of the listing (a copy, a checksum, an unshuffled epoch) need not wait for
 * each: the next ones are fetched in a lane of their own. Nothing is fetched ahead in any other order (run.h), nor what
 * was asked for before, nor without a listing.
 *
 * A file that was fetched ahead has its place in files->by_node like any other, but nothing is open: it is in
 * ahead->files until it is opened, or dropped: when it could not be fetched, when its memory is wanted, or when it has
 * been there for long as others come. At most ahead->limit bytes are there for nobody.
 *
 * Threads: any. Lock: cache->lock guards struct ajf_ahead; dirs->lock, the run of a listing.
 */
#ifndef AJF_FILES_AHEAD_H
#define AJF_FILES_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

struct ajf;
struct ajf_file;

void ajf_ahead_init(struct ajf *m);
/*
 * A reader has come to the start of a file that is opened lazily, by READ or by an OPEN that waits for its bytes:
 * whether that is news. Then its record is referenced for ajf_ahead_note, which the caller calls without the lock.
 */
bool ajf_ahead_is_news_locked(struct ajf *m, struct ajf_file *file);
/* Fetches what is likely to be read after this file, and drops the reference. Takes locks. */
void ajf_ahead_note(struct ajf *m, uint64_t nodeid);

#endif
