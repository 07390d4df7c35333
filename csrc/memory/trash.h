/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash.h - what is done with, and may take long to end: memory of files, descriptors that were lent, backing ids.
 *
 * To close a file of a network that is silent takes until that answers, and to free 20 GiB takes seconds. So nobody
 * does it under a lock. There it is thrown away, and the thread that gives the lock back disposes of it afterwards.
 *
 * Threads: a struct ajf_trash is guarded by the lock of its owner. ajf_trash_dispose is called without any.
 * Ownership: what is thrown away belongs to the trash. Out of memory for a note of it, it is disposed of at once.
 */
#ifndef AJF_MEMORY_TRASH_H
#define AJF_MEMORY_TRASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/types.h"
#include "memory/memfile.h"

struct ajf_waste;

struct ajf_trash {
    struct ajf_waste *first;
};

/* Leaves *mem empty: it has no descriptor and no mappings. */
void ajf_trash_memory(struct ajf_trash *t, struct ajf_memfile *mem);

/* The descriptors, and the array itself, which was allocated. */
void ajf_trash_extents(struct ajf_trash *t, struct ajf_extent *extents, size_t n);

/* A backing id that the kernel gave for the FUSE device `fd`, which must stay open until it is disposed of. */
void ajf_trash_backing_id(struct ajf_trash *t, int fd, uint32_t id);

/* Takes all out of the trash; the caller disposes of it. */
struct ajf_waste *ajf_trash_take(struct ajf_trash *t);

/* Both together; either may be NULL. */
struct ajf_waste *ajf_trash_join(struct ajf_waste *a, struct ajf_waste *b);

/* Disposes of the memory in the trash at once: its descriptors are needed. It is the mount's own, so nothing hangs. */
void ajf_trash_free_memory(struct ajf_trash *t);

#define AJF_DISPOSE_MS 1000 /* for lent files to be closed in, at least, when all ends */

/* Takes NULL. */
void ajf_trash_dispose(struct ajf_waste *first);

/*
 * The same within a time, for what may hang: 0, or -ETIMEDOUT; then a thread goes on with it that needs nothing of the
 * mount. Memory, which does not hang, takes as long as it takes.
 */
int ajf_trash_dispose_until(struct ajf_waste *first, uint64_t deadline_ns);

#endif
