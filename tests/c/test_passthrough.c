/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that the kernel reads itself (file.h), against a kernel that the test plays (fake_kernel.h). This program's own
 * ioctl stands before that of libc: it gives backing ids, and notes those that are given back.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/passthrough.h"
#include "check.h"
#include "fake_kernel.h"

#define LARGE (UINT64_C(2) << 20) /* no small file: the memory is its own */
#define PIECE 65536
#define HELD 64

static struct fake k;
static atomic_int last_id;
static atomic_uint ids_alive;       /* a bit each */
static atomic_uint closed_in_vain;  /* ids that were not alive */

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *arg = va_arg(rest, void *);
    va_end(rest);
    if (request == AJF_IOC_BACKING_OPEN) {
        int id = atomic_fetch_add(&last_id, 1) + 1;
        atomic_fetch_or(&ids_alive, 1u << id);
        return id;
    }
    if (request != AJF_IOC_BACKING_CLOSE)
        return (int)syscall(SYS_ioctl, fd, request, arg);
    unsigned bit = 1u << *(uint32_t *)arg;
    if (!(atomic_fetch_and(&ids_alive, ~bit) & bit))
        atomic_fetch_add(&closed_in_vain, 1);
    return 0;
}

static void start(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    atomic_store(&k.m->session.passthrough, true);
    atomic_store(&last_id, 0);
}

static void end(void)
{
    fake_end(&k);
    CHECK_EQ(atomic_load(&ids_alive), 0);
    CHECK_EQ(atomic_load(&closed_in_vain), 0);
}

/* The backing id that an open was granted with; 0: with none. */
static uint32_t granted(uint64_t asked)
{
    struct fake_reply r = fake_reply(&k, asked);
    uint32_t flags, id;
    CHECK_EQ(r.error, 0);
    NEED(r.length == 16); /* struct fuse_open_out: fh, open_flags, backing_id */
    memcpy(&flags, r.bytes + 8, sizeof flags);
    memcpy(&id, r.bytes + 12, sizeof id);
    free(r.bytes);
    return flags & (1u << 7) /* FOPEN_PASSTHROUGH */ ? id : 0;
}

static void lend_with(uint64_t handle)
{
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    int fd = memfd_create("lent", MFD_CLOEXEC);
    NEED(fd >= 0 && !ftruncate(fd, 8192));
    CHECK_EQ(ajf_fetch_opened(f, handle, 1, 8192, &(struct ajf_extent){fd, 0, 8192}, 1), 0);
    ajf_fetch_release(f);
}

static void lend(void)
{
    lend_with(0);
}

/* Nobody knows why the kernel would ask for its bytes. But then the source hangs. */
static void one_that_is_opened_anew_keeps_its_backing_id(void)
{
    start();
    uint64_t id = fake_find(&k, "a", 8192, 1), opened = fake_open(&k, id);
    lend();
    CHECK_EQ(granted(opened), 1);
    uint64_t read = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *hangs = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    fake_time_passes(&k);
    fake_expect_error(&k, read, EIO);
    lend();
    CHECK_EQ(granted(fake_open(&k, id)), 1); /* another one would be an error for the kernel */
    ajf_fetch_fail(hangs, EIO);
    ajf_fetch_release(hangs);
    fake_release(&k, id);
    CHECK_EQ(atomic_load(&ids_alive), 2); /* the bit of 1 */
    fake_release(&k, id);
    end();
}

/* It may live longer than the mount, and so would what it keeps. */
static void a_fetcher_that_answers_a_read_keeps_nothing(void)
{
    start();
    uint64_t id = fake_find(&k, "a", 8192, 1), opened = fake_open(&k, id);
    lend();
    CHECK_EQ(granted(opened), 1);
    uint64_t read = fake_read(&k, id, 4096, 8192);
    lend();
    struct fake_reply r = fake_reply(&k, read);
    CHECK_EQ(r.length, 4096);
    free(r.bytes);
    CHECK(!pthread_getspecific(k.m->lent_tools));
    fake_release(&k, id);
    end();
}

static void one_that_is_opened_anew_leaves_no_handle_open(void)
{
    start();
    uint64_t id = fake_find(&k, "a", 8192, 1), opened = fake_open(&k, id);
    lend_with(55);
    CHECK_EQ(granted(opened), 1);
    uint64_t read = fake_read(&k, id, 0, 4096);
    lend_with(56);
    free(fake_reply(&k, read).bytes);
    fake_answer_close(&k, 55);
    fake_release(&k, id);
    fake_answer_close(&k, 56);
    end();
}

/* Opens a large file, reads all of it, and closes it. Its fetches are not answered. */
static uint64_t read_all(struct ajf_fetch **held, unsigned *ret_n)
{
    uint64_t id = fake_find_and_open(&k, "large", LARGE, 1);
    unsigned n = 0;
    for (uint64_t at = 0; at < LARGE; at += PIECE) {
        uint64_t read = fake_read(&k, id, at, PIECE);
        bool parked = fake_is_parked(&k, read);
        for (unsigned more = fake_fetch_all(&k, held + n, HELD - n); more; more--, n++) {
            struct ajf_fetch_info info;
            ajf_fetch_info(held[n], &info);
            NEED(info.kind == AJF_FETCH_READ);
            fake_fill(&info, 0, info.length);
            CHECK_EQ(ajf_fetch_progress(held[n], info.length), 0);
        }
        if (parked)
            fake_expect_bytes(&k, read, at, PIECE, 1);
    }
    fake_release(&k, id);
    *ret_n = n;
    return id;
}

static void one_in_memory_is_given_to_the_kernel_when_its_fetches_are_answered(void)
{
    struct ajf_fetch *held[HELD];
    unsigned n;
    start();
    uint64_t id = read_all(held, &n);
    for (unsigned i = 0; i < n; i++) {
        struct ajf_fetch_info info;
        ajf_fetch_info(held[i], &info);
        CHECK_EQ(ajf_fetch_done(held[i], info.length), 0);
    }
    CHECK_EQ(granted(fake_open(&k, id)), 1);
    CHECK_EQ(k.m->cache.shelved, LARGE);
    for (unsigned i = 0; i < n; i++)
        ajf_fetch_release(held[i]);
    fake_answer_close(&k, 101);
    fake_release(&k, id);
    CHECK_EQ(k.m->cache.shelved, 0);
    end();
}

/* Nobody can take back bytes that it has read itself. */
static void one_whose_fetch_may_yet_say_that_it_is_wrong_is_not(void)
{
    struct ajf_fetch *held[HELD];
    unsigned n;
    start();
    uint64_t id = read_all(held, &n);
    CHECK_EQ(granted(fake_open(&k, id)), 0);
    ajf_fetch_fail(held[0], EBADMSG);
    for (unsigned i = 0; i < n; i++)
        ajf_fetch_release(held[i]);
    uint64_t read = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    CHECK_EQ(ajf_fetch_opened(f, 102, 1, LARGE, NULL, 0), 0);
    ajf_fetch_release(f);
    fake_answer_close(&k, 101); /* of the file that is abandoned */
    fake_answer_read(&k);
    fake_expect_bytes(&k, read, 0, 4096, 1);
    CHECK_EQ(k.m->cache.shelved, 0);
    fake_release(&k, id);
    end();
}

int main(void)
{
    RUN(one_that_is_opened_anew_keeps_its_backing_id);
    RUN(one_that_is_opened_anew_leaves_no_handle_open);
    RUN(a_fetcher_that_answers_a_read_keeps_nothing);
    RUN(one_in_memory_is_given_to_the_kernel_when_its_fetches_are_answered);
    RUN(one_whose_fetch_may_yet_say_that_it_is_wrong_is_not);
    CHECK_END();
}
