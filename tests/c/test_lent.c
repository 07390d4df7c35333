/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of lent files that are copied (lent.h), against a kernel that the test plays (fake_kernel.h). */
#include <fcntl.h>
#include <sys/mman.h>

#include "check.h"
#include "fake_kernel.h"

static struct fake k;

/* A file in memory with the bytes [from, from + length) of version 1, behind `skip` others. */
static struct ajf_extent lent(uint64_t from, uint64_t length, uint64_t skip)
{
    int fd = memfd_create("lent", MFD_CLOEXEC);
    NEED(fd >= 0);
    for (uint64_t i = 0; i < skip + length; i++) {
        uint8_t byte = i < skip ? 0xEE : fake_byte(from + i - skip, 1);
        NEED(pwrite(fd, &byte, 1, (off_t)i) == 1);
    }
    return (struct ajf_extent){fd, skip, length};
}

static uint64_t find_and_lend(uint64_t size, const struct ajf_extent *extents, size_t n)
{
    uint64_t id = fake_find(&k, "a", size, 1), opened = fake_open(&k, id);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    CHECK_EQ(ajf_fetch_opened(f, 0, 1, size, extents, n), 0);
    ajf_fetch_release(f);
    fake_expect_error(&k, opened, 0);
    return id;
}

static void lent_pieces_are_read_as_one_file(void)
{
    struct ajf_options o = fake_options();
    const uint64_t size = 20000 + 1 + 9000;
    fake_start(&k, &o);
    const struct ajf_extent extents[] = {lent(0, 20000, 0), lent(20000, 1, 4096), lent(20001, 9000, 777)};
    uint64_t id = find_and_lend(size, extents, 3);
    for (uint64_t at = 0; at <= size; at += 1999)
        for (uint32_t length = 1; length <= 40000; length = length * 3 + 1)
            fake_expect_bytes(&k, fake_read(&k, id, at, length), at, length < size - at ? length : size - at, 1);
    fake_expect_bytes(&k, fake_read(&k, id, UINT64_C(1) << 40, 4096), 0, 0, 1);
    CHECK(fake_no_fetch(&k));
    fake_release(&k, id);
    fake_end(&k);
}

static void a_lent_piece_that_became_shorter_is_an_error(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    const struct ajf_extent extents[] = {lent(0, 8192, 0), lent(8192, 8192, 0)};
    uint64_t id = find_and_lend(16384, extents, 2);
    NEED(!ftruncate(extents[0].fd, 5000));
    fake_expect_error(&k, fake_read(&k, id, 4096, 4096), EIO);
    fake_expect_error(&k, fake_read(&k, id, 0, 16384), EIO);
    fake_expect_bytes(&k, fake_read(&k, id, 0, 5000), 0, 5000, 1);
    fake_expect_bytes(&k, fake_read(&k, id, 8192, 65536), 8192, 8192, 1);
    fake_release(&k, id);
    fake_end(&k);
}

/* What comes before it would look like the end of the file. */
static void an_error_in_the_middle_of_lent_bytes_is_one_of_the_whole_read(void)
{
    struct ajf_options o = fake_options();
    char path[40];
    fake_start(&k, &o);
    struct ajf_extent extents[] = {lent(0, 8192, 0), lent(8192, 8192, 0)};
    snprintf(path, sizeof path, "/proc/self/fd/%d", extents[1].fd);
    int unreadable = open(path, O_WRONLY | O_CLOEXEC);
    close(extents[1].fd);
    extents[1].fd = unreadable;
    uint64_t id = find_and_lend(16384, extents, 2);
    fake_expect_error(&k, fake_read(&k, id, 0, 16384), EBADF);
    fake_expect_bytes(&k, fake_read(&k, id, 0, 8192), 0, 8192, 1);
    fake_release(&k, id);
    fake_end(&k);
}

static void a_single_lent_file_ends_where_it_ends_by_now(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    const struct ajf_extent extent = lent(0, 20000, 0);
    int fd = dup(extent.fd);
    uint64_t id = find_and_lend(10000, &(struct ajf_extent){extent.fd, 0, 10000}, 1); /* it has grown already */
    fake_expect_bytes(&k, fake_read(&k, id, 8192, 65536), 8192, 20000 - 8192, 1);
    NEED(!ftruncate(fd, 9000));
    fake_expect_bytes(&k, fake_read(&k, id, 8192, 65536), 8192, 9000 - 8192, 1);
    fake_expect_bytes(&k, fake_read(&k, id, 9000, 4096), 0, 0, 1);
    close(fd);
    fake_release(&k, id);
    fake_end(&k);
}

static struct fuse_open_out opened(uint64_t asked)
{
    struct fuse_open_out out = {0};
    struct fake_reply r = fake_reply(&k, asked);
    CHECK_EQ(r.error, 0);
    NEED(r.length >= sizeof out);
    memcpy(&out, r.bytes, sizeof out);
    free(r.bytes);
    return out;
}

static bool keeps(const struct fuse_open_out *o)
{
    return o->open_flags & FOPEN_KEEP_CACHE;
}

static void end(uint64_t id, const struct fuse_open_out *o)
{
    struct fuse_release_in in = {.fh = o->fh};
    fake_expect_error(&k, fake_send(&k, FUSE_RELEASE, id, &in, sizeof in), 0);
}

/* Whoever opens it has the kernel drop the pages it has, which happens some time after the answer. */
static void no_open_keeps_pages_of_a_file_that_was_written_in_place(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    struct ajf_extent extent = lent(0, 8192, 0);
    int again = dup(extent.fd);
    uint64_t id = fake_find(&k, "a", 8192, 1), first = fake_open(&k, id);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    CHECK_EQ(ajf_fetch_opened(f, 0, 1, 8192, &extent, 1), 0);
    ajf_fetch_release(f);
    struct fuse_open_out a = opened(first);
    end(id, &a);
    NEED(!ftruncate(again, 12288)); /* another size: another stamp, whatever the clock */
    first = fake_open(&k, id);
    uint64_t second = fake_open(&k, id);
    f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    extent = (struct ajf_extent){again, 0, 12288};
    CHECK_EQ(ajf_fetch_opened(f, 0, 1, 12288, &extent, 1), 0);
    ajf_fetch_release(f);
    a = opened(first);
    struct fuse_open_out b = opened(second), c = opened(fake_open(&k, id));
    CHECK(!keeps(&a) && !keeps(&b) && !keeps(&c));
    struct fuse_read_in in = {.fh = a.fh, .size = 4096};
    fake_expect_bytes(&k, fake_send(&k, FUSE_READ, id, &in, sizeof in), 0, 4096, 1);
    struct fuse_open_out d = opened(fake_open(&k, id)); /* by now it has happened */
    CHECK(keeps(&d));
    end(id, &a);
    end(id, &b);
    end(id, &c);
    end(id, &d);
    fake_end(&k);
}

/* What fails is told as what it is. */
static void an_open_at_the_end_of_the_session_is_refused_as_such(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find(&k, "a", 8192, 1);
    ajf_queue_stop(&k.m->queue);
    fake_expect_error(&k, fake_open(&k, id), ENOTCONN);
    fake_end(&k);
}

int main(void)
{
    RUN(no_open_keeps_pages_of_a_file_that_was_written_in_place);
    RUN(an_open_at_the_end_of_the_session_is_refused_as_such);
    RUN(lent_pieces_are_read_as_one_file);
    RUN(a_lent_piece_that_became_shorter_is_an_error);
    RUN(an_error_in_the_middle_of_lent_bytes_is_one_of_the_whole_read);
    RUN(a_single_lent_file_ends_where_it_ends_by_now);
    CHECK_END();
}
