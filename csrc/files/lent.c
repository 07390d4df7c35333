/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to be spliced are put into a pipe of the worker first, all of them, and then given to libfuse as that pipe: a
 * file that fails or ends in the middle is noticed before anything is answered, and read the other way, which says so.
 * libfuse has another pipe, and silently does the worst of all (allocate, read, write) when a reply does not fit it. So
 * what is given to it is what it is known to manage. Nothing is mapped: faults cost more than the copy they would save,
 * and mapped pages would count as ours (docs/decisions/0007).
 */
#include "files/lent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/reply.h"
#include "mount.h"

#define SPLICE_MIN_BYTES (32u << 10) /* measured: below, a pipe costs as much as the copy that it saves */
#define SPLICE_MOST_PIECES 4         /* a READ of 1 MiB meets more only where blocks are smaller than that */
#define EXTRA_PAGES (2 * SPLICE_MOST_PIECES + 3) /* of a pipe: both ends of each piece, and what libfuse puts in it */
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

/* The tools of a worker; both are made when they are needed. */
struct tools {
    uint8_t *scratch;
    int pipe[2];         /* -1: none */
    size_t pipe_carries; /* bytes of a READ */
};

static struct tools *tools_of_worker(struct ajf *m)
{
    struct tools *t = pthread_getspecific(m->lent_tools);
    if (t || !(t = calloc(1, sizeof *t)))
        return t;
    t->pipe[0] = t->pipe[1] = -1;
    pthread_setspecific(m->lent_tools, t);
    return t;
}

static void close_pipe(struct tools *t)
{
    if (t->pipe[0] >= 0) {
        close(t->pipe[0]);
        close(t->pipe[1]);
    }
    t->pipe[0] = t->pipe[1] = -1;
}

void ajf_lent_tools_free(void *tools)
{
    struct tools *t = tools;
    if (t->scratch)
        munmap(t->scratch, AJF_SCRATCH_BYTES);
    close_pipe(t);
    free(t);
}

/* -------------------------------------------------------------------------------------------------------- copied */

static uint8_t *scratch(struct ajf *m, size_t bytes)
{
    struct tools *t = bytes <= AJF_SCRATCH_BYTES ? tools_of_worker(m) : NULL;
    if (!t || t->scratch)
        return t ? t->scratch : NULL;
    void *map = mmap(NULL, AJF_SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    t->scratch = map == MAP_FAILED ? NULL : map;
    return t->scratch;
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
                return -errno; /* what came before it would look like the file's end */
            if (!got)
                return (ssize_t)done;
            done += (size_t)got;
        }
        start += e->length;
    }
    return (ssize_t)done;
}

/* By way of a buffer of `size` bytes; NULL: there is no memory. */
static void copy(struct ajf *m, const struct ajf_request *req, const struct ajf_file *file, size_t size,
                 uint64_t offset, uint8_t *buffer)
{
    ssize_t n = buffer ? read_extents(file->extents, file->n_extents, buffer, size, offset) : -ENOMEM;
    if (n >= 0 && (size_t)n < size && file->n_extents > 1)
        n = -EIO; /* not what was lent: zeros in its place would be wrong bytes */
    if (n < 0) {
        char *path = ajf_inode_path(&m->inodes, file->nodeid, NULL, 0);
        ajf_log(&m->log, AJF_LOG_ERROR, "%s at %llu+%zu: %s", path ? path : "?", (unsigned long long)offset, size,
                strerror((int)-n));
        free(path);
        ajf_reply_err(m, req, (int)-n);
    } else {
        AJF_COUNT_ADD(&m->stats, read_borrowed_bytes, n);
        ajf_reply_bytes(m, req, buffer, (size_t)n);
    }
}

void ajf_lent_copy(struct ajf *m, const struct ajf_request *req, const struct ajf_file *file, size_t size,
                   uint64_t offset)
{
    size = clamp(file, size, offset);
    uint8_t *buffer = malloc(size + 1);
    copy(m, req, file, size, offset, buffer);
    free(buffer);
}

/* ------------------------------------------------------------------------------------------------------- spliced */

/* Makes a pipe for READs of up to `bytes`, or of half that ...; returns how many it carries. */
static size_t make_pipe(int ret_ends[2], size_t bytes)
{
    size_t extra = (size_t)sysconf(_SC_PAGESIZE) * EXTRA_PAGES;
    int got = -1;
    if (pipe2(ret_ends, O_CLOEXEC) < 0) {
        ret_ends[0] = ret_ends[1] = -1;
        return 0;
    }
    for (; got < 0 && bytes > SPLICE_MIN_BYTES; bytes /= 2)
        got = fcntl(ret_ends[0], F_SETPIPE_SZ, (int)bytes);
    return got > 0 && (size_t)got > extra ? (size_t)got - extra : 0;
}

size_t ajf_lent_most_spliced(void)
{
    struct tools t;
    size_t carries = make_pipe(t.pipe, PIPE_BYTES);
    close_pipe(&t);
    return carries;
}

/* The worker's pipe, if a READ of `bytes` fits it. */
static struct tools *pipe_for(struct ajf *m, size_t bytes)
{
    size_t most = atomic_load_explicit(&m->session.most_spliced, memory_order_relaxed);
    struct tools *t = bytes >= SPLICE_MIN_BYTES && bytes <= most ? tools_of_worker(m) : NULL;
    /* It may be smaller than the first one: there are limits for all pipes of a user. */
    if (t && t->pipe[0] < 0)
        t->pipe_carries = make_pipe(t->pipe, PIPE_BYTES);
    return t && bytes <= t->pipe_carries ? t : NULL;
}

/* Reads of a file that is lent as it is go to its end as of now; that is not known of a pipe. */
static bool is_within(int fd, uint64_t end)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (uint64_t)st.st_size >= end;
}

static bool put(int pipe, int fd, uint64_t at, size_t length)
{
    loff_t pos = (loff_t)at;
    while (length) {
        ssize_t n = splice(fd, &pos, pipe, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        length -= (size_t)n;
    }
    return true;
}

/* The whole range, by reference. */
static bool put_range(const struct ajf_file *file, int pipe, size_t size, uint64_t offset)
{
    uint64_t start = 0;
    unsigned pieces = 0;
    if (file->n_extents == 1) {
        const struct ajf_extent *e = &file->extents[0];
        return is_within(e->fd, e->fd_offset + offset + size) && put(pipe, e->fd, e->fd_offset + offset, size);
    }
    for (size_t i = 0; i < file->n_extents && size; start += file->extents[i++].length) {
        const struct ajf_extent *e = &file->extents[i];
        if (offset >= start + e->length)
            continue;
        size_t length = (size_t)min_u64(size, start + e->length - offset);
        if (++pieces > SPLICE_MOST_PIECES || !put(pipe, e->fd, e->fd_offset + (offset - start), length))
            return false;
        offset += length;
        size -= length;
    }
    return !size;
}

void ajf_lent_reply(struct ajf *m, const struct ajf_request *req, const struct ajf_file *file, size_t size,
                    uint64_t offset)
{
    size_t length = clamp(file, size, offset);
    struct tools *t = pipe_for(m, length);
    if (!t || !put_range(file, t->pipe[1], length, offset)) {
        if (t)
            close_pipe(t); /* with what may be in it */
        copy(m, req, file, length, offset, scratch(m, length));
        return;
    }
    int left = 0;
    AJF_COUNT_ADD(&m->stats, read_borrowed_bytes, length);
    AJF_COUNT_ADD(&m->stats, read_spliced_bytes, length);
    ajf_reply_pipe(m, req, t->pipe[0], length);
    if (ioctl(t->pipe[0], FIONREAD, &left) < 0 || left)
        close_pipe(t); /* the reply was not taken: the next one must not begin with it */
}
