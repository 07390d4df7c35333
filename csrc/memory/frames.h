/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.h - memory for pages that come and go at the rate of a stream: handed on, not given back and cleared anew.
 *
 * A page of a transient window lives for a fraction of a second. To punch its hole and have the kernel clear 2 MiB for
 * the next page costs a sixth of what the daemon does for a byte. So such a page lies in a *frame* of a memory file of
 * their own, which is mapped at the page's place in its file's `map`: addresses stay what they were, a read or a fetch
 * may cross pages. When the page goes, the place shows the file's own (empty) memory again, and the frame is *spare*.
 *
 * Spare frames are memory: the owner counts them, and trims them when room is short or nothing came for a while.
 *
 * No locking: the owner serialises (cache.h). Nobody may use a place while a frame is laid there or taken away.
 */
#ifndef AJF_MEMORY_FRAMES_H
#define AJF_MEMORY_FRAMES_H

#include "memory/memfile.h"

#define AJF_FRAMES_MOST 8192 /* each is a mapping, of which a process may have 65,530 */

struct ajf_frames {
    struct ajf_memfile memory;
    size_t bytes;         /* of a frame: a page */
    uint32_t n;           /* of all frames */
    uint32_t *free;       /* a stack of those that are laid nowhere; NULL before the first was wanted */
    uint32_t n_free;
    uint32_t n_spare;     /* so many at its top have memory */
    uint64_t laid_ns;     /* when one was last */
};

/* For `n` frames, but no more than AJF_FRAMES_MOST. Takes no memory yet. */
void ajf_frames_init(struct ajf_frames *f, size_t bytes, size_t n);
void ajf_frames_done(struct ajf_frames *f);
/* Lays a frame at [offset, offset + bytes) of a file: its number, from 1, or 0 when that is not possible. */
uint32_t ajf_frames_lay(struct ajf_frames *f, const struct ajf_store *s, const struct ajf_memfile *mem, size_t offset);
/* Takes it away. False when that is not possible: it stays there, empty. */
bool ajf_frames_lift(struct ajf_frames *f, uint32_t frame, const struct ajf_memfile *mem, size_t offset);
/* The file that it was laid in goes: it is spare. */
void ajf_frames_keep(struct ajf_frames *f, uint32_t frame);
/* How many have memory, laid or spare. */
static inline uint32_t ajf_frames_resident(const struct ajf_frames *f)
{
    return f->free ? f->n - f->n_free + f->n_spare : 0;
}

/* Gives the memory of all but `most` spare frames back. */
void ajf_frames_trim(struct ajf_frames *f, uint32_t most);

#endif
