/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/frames.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/sync.h"

void ajf_frames_init(struct ajf_frames *f, size_t bytes, size_t n)
{
    uint32_t most = n < AJF_FRAMES_MOST ? (uint32_t)n : AJF_FRAMES_MOST;
    *f = (struct ajf_frames){.memory = {.fd = -1}, .bytes = bytes, .n = most};
}

void ajf_frames_done(struct ajf_frames *f)
{
    if (f->free)
        ajf_memfile_done(&f->memory);
    free(f->free);
}

static bool begin(struct ajf_frames *f, const struct ajf_store *s)
{
    uint32_t *numbers = calloc(f->n, sizeof *numbers);
    if (!numbers || ajf_memfile_init(&f->memory, s, "ajf-frames", f->n * f->bytes) < 0) {
        free(numbers);
        return false;
    }
    for (uint32_t i = 0; i < f->n; i++)
        numbers[i] = f->n - i;
    f->free = numbers;
    f->n_free = f->n;
    return true;
}

static size_t place_of(const struct ajf_frames *f, uint32_t frame)
{
    return (frame - 1) * f->bytes;
}

/* Shows `bytes` of a descriptor at a place that shows something else. */
static bool show(const struct ajf_memfile *mem, size_t offset, int fd, size_t from, size_t bytes)
{
    return mmap(mem->map + offset, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
                (off_t)from) != MAP_FAILED;
}

uint32_t ajf_frames_lay(struct ajf_frames *f, const struct ajf_store *s, const struct ajf_memfile *mem, size_t offset)
{
    if ((!f->free && !begin(f, s)) || !f->n_free || offset + f->bytes > mem->mapped)
        return 0;
    uint32_t frame = f->free[f->n_free - 1];
    if (!show(mem, offset, f->memory.fd, place_of(f, frame), f->bytes))
        return 0; /* there may be no more mappings */
    madvise(mem->map + offset, f->bytes, MADV_HUGEPAGE);
    f->laid_ns = ajf_now_ns();
    f->n_free--;
    f->n_spare -= f->n_spare > 0;
    return frame;
}

bool ajf_frames_lift(struct ajf_frames *f, uint32_t frame, const struct ajf_memfile *mem, size_t offset)
{
    if (show(mem, offset, mem->fd, offset, f->bytes)) {
        ajf_frames_keep(f, frame);
        return true;
    }
    ajf_memfile_punch(&f->memory, place_of(f, frame), f->bytes);
    return false;
}

void ajf_frames_keep(struct ajf_frames *f, uint32_t frame)
{
    f->free[f->n_free++] = frame;
    f->n_spare++;
}

void ajf_frames_trim(struct ajf_frames *f, uint32_t most)
{
    for (; f->n_spare > most; f->n_spare--)
        ajf_memfile_punch(&f->memory, place_of(f, f->free[f->n_free - f->n_spare]), f->bytes);
}
