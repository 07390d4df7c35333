/* SPDX-License-Identifier: Apache-2.0 */
/*
 * held.h - files that READs open, where the kernel opens without asking.
 *
 * An OPEN that is answered with ENOSYS is the last one: from then on the kernel opens every file of the mount by
 * itself, keeps its pages, and sends neither OPEN nor RELEASE. So the first one is answered so, or none is: the kernel
 * sends no RELEASE either of what was open before, and refuses (EIO) to open what is open in passthrough.
 *
 * It saves each open a round trip, which is most of what a small file costs that is read again. The first that is heard
 * of a file is a READ then, of pages that the kernel has not. That READ opens it for the mount itself: the file is
 * *held*, which is one open in file->opens like any other.
 * It ends
 *   - when the kernel was handed as many bytes as the file has: it keeps them, and will not ask again;
 *   - when a READ of it failed: the next one asks the source for it anew;
 *   - when nobody has read the file for AJF_HOLD_NS;
 *   - when descriptors are short, or AJF_HELD_MOST files are held: the one that was read least recently goes.
 * A later READ opens the file anew. So a file of which another version has come in its place meanwhile, or that was
 * deleted, can no longer be read by a program that has it open (EIO, ESTALE), once it is not held any more.
 *
 * The kernel misses what the answer to an OPEN tells it: passthrough, direct_io, to drop pages, and that the name means
 * another file. It learns of the last two when its attributes expire.
 *
 * Threads: workers open; any thread that has handed over bytes, or ends a fetch, may end a hold; the alarm is rung by
 * the thread that watches the time. Lock: cache->lock guards all of struct ajf_held.
 */
#ifndef AJF_FILES_HELD_H
#define AJF_FILES_HELD_H

#include "files/file.h"
#include "kernel/request.h"

struct ajf;

void ajf_held_init(struct ajf *m);
/* Whether READs open files. */
bool ajf_held_is_on(const struct ajf *m);
/*
 * Opens and holds the file of a READ, of which nothing is open. 0, -ESTALE, -ENOMEM; `*ret_ask` as of
 * ajf_file_make_locked.
 */
int ajf_held_open_locked(struct ajf *m, const struct ajf_request *req, const struct ajf_caller *caller,
                         struct ajf_file **ret_file, struct ajf_fetch **ret_ask);
/*
 * Ends the hold of a file that was handed over (ajf_file_hand_locked), or that could not be opened, unless a request
 * waits for it.
 */
void ajf_held_settle_locked(struct ajf *m, struct ajf_file *file);
/* The same, with a reference. Takes the lock. */
void ajf_held_settle(struct ajf *m, struct ajf_file *file);
/* Ends the hold of the file that was read least recently. False: every file that is held is being read. */
bool ajf_held_close_idle_locked(struct ajf *m);

#endif
