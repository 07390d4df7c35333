/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse does the splicing, and silently does the worst of all instead (allocate, read, write) when a reply does not
 * fit its pipe. So what is given to it is what it is known to manage. Nothing is mapped: faults cost more than the
 * copy they would save, and mapped pages would count as ours (docs/decisions/0007).
 */
#include "lent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount.h"

#define SPLICE_MIN_BYTES (32u << 10) /* measured: below, a pipe costs as much as the copy that it saves */
#define SPLICE_MOST_PIECES 4         /* a READ of 1 MiB meets more only where blocks are smaller than that */
#define PIPE_BYTES (UINT64_C(2) << 20) /* the next power of two after the largest READ and its header */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Several extents end where the file ends; a single one where it ends by now. */
static size_t clamp(const struct ajf_file *file, size_t size, uint64_t offset)
{
    if (file->n_extents == 1)
        return size;
    return offset >= file->size ? 0 : (size_t)min_u64(size, file->size - offset);
}

/* -------------------------------------------------------------------------------------------------------- copied */

static uint8_t *scratch(struct ajf *m, size_t bytes)
{
    uint8_t *buffer = pthread_getspecific(m->scratch);
    if (buffer || bytes > AJF_SCRATCH_BYTES)
        return bytes > AJF_SCRATCH_BYTES ? NULL : buffer;
    buffer = mmap(NULL, AJF_SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return NULL;
    pthread_setspecific(m->scratch, buffer);
    return buffer;
}

/* A short read is the file's own end. */
static ssize_t read_extents(const struct ajf_extent *extents, size_t n, uint8_t *to, size_t size, uint64_t offset)
{
    size_t done = 0;
    uint64_t start = 0;
    for (size_t i = 0; i < n && done < size; i++) {
        const struct ajf_extent *e = &extents[i];
        bool last = i + 1 == n;
        while (done < size && (last || offset + done < start + e->length) && offset + done >= start) {
            uint64_t within = offset + done - start;
            size_t want = last ? size - done : (size_t)min_u64(size - done, e->length - within);
            ssize_t got = pread(e->fd, to + done, want, (off_t)(e->fd_offset + within));
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                return done ? (ssize_t)done : -errno;
            if (!got)
                return (ssize_t)done;
            done += (size_t)got;
        }
        start += e->length;
    }
    return (ssize_t)done;
}

void ajf_lent_copy(struct ajf *m, fuse_req_t req, const struct ajf_file *file, size_t size, uint64_t offset)
{
    size = clamp(file, size, offset);
    uint8_t *buffer = scratch(m, size);
    ssize_t n = buffer ? read_extents(file->extents, file->n_extents, buffer, size, offset) : -ENOMEM;
    if (n >= 0 && (size_t)n < size && file->n_extents > 1)
        n = -EIO; /* not what was lent: zeros in its place would be wrong bytes */
    if (n < 0) {
        ajf_log(&m->log, AJF_LOG_ERROR, "%s at %llu+%zu: %s", file->path, (unsigned long long)offset, size,
                strerror((int)-n));
        fuse_reply_err(req, (int)-n);
    } else {
        AJF_COUNT_ADD(&m->stats, read_borrowed_bytes, n);
        fuse_reply_buf(req, (const char *)buffer, (size_t)n);
    }
}

/* ------------------------------------------------------------------------------------------------------- spliced */

/* struct fuse_bufvec with room. */
struct pieces {
    struct fuse_bufvec vec;
    struct fuse_buf more[SPLICE_MOST_PIECES - 1];
};

size_t ajf_lent_most_spliced(void)
{
    int ends[2], got = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return 0;
    for (size_t bytes = PIPE_BYTES; got < 0 && bytes > SPLICE_MIN_BYTES; bytes /= 2)
        got = fcntl(ends[0], F_SETPIPE_SZ, (int)bytes);
    close(ends[0]);
    close(ends[1]);
    /* libfuse wants a page for each piece and two more, and has to put its header somewhere. */
    size_t extra = (size_t)sysconf(_SC_PAGESIZE) * (SPLICE_MOST_PIECES + 3);
    return got > 0 && (size_t)got > extra ? (size_t)got - extra : 0;
}

static bool is_within(int fd, uint64_t end)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= end;
}

/* The range as pieces of files, all of them there; false when it cannot be had so. */
static bool cut(const struct ajf_file *file, size_t size, uint64_t offset, struct fuse_bufvec *ret_vec)
{
    uint64_t start = 0;
    const enum fuse_buf_flags flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY;
    bool single = file->n_extents == 1; /* and may have grown */
    for (size_t i = 0; i < file->n_extents && size; start += file->extents[i++].length) {
        const struct ajf_extent *e = &file->extents[i];
        if (!single && offset >= start + e->length)
            continue;
        size_t length = single ? size : (size_t)min_u64(size, start + e->length - offset);
        uint64_t at = e->fd_offset + (offset - start);
        if (ret_vec->count == SPLICE_MOST_PIECES || !is_within(e->fd, at + length))
            return false;
        ret_vec->buf[ret_vec->count++] =
            (struct fuse_buf){.size = length, .flags = flags, .fd = e->fd, .pos = (off_t)at};
        offset += length;
        size -= length;
    }
    return true;
}

void ajf_lent_reply(struct ajf *m, fuse_req_t req, const struct ajf_file *file, size_t size, uint64_t offset)
{
    struct pieces pieces = {.vec = {.count = 0}};
    size_t length = clamp(file, size, offset);
    size_t most = atomic_load_explicit(&m->session.most_spliced, memory_order_relaxed);
    if (length < SPLICE_MIN_BYTES || length > most || !cut(file, length, offset, &pieces.vec)) {
        ajf_lent_copy(m, req, file, size, offset);
        return;
    }
    AJF_COUNT_ADD(&m->stats, read_borrowed_bytes, length);
    AJF_COUNT_ADD(&m->stats, read_spliced_bytes, length);
    fuse_reply_data(req, &pieces.vec, 0);
}
