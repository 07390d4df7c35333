/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls about somebody's files that do not come back, as of a network that is silent, while other requests are served.
 * This program's own close, fstat, munmap, pread, writev and ioctl stand before those of libc, and hang where a test
 * wants it. writev is how replies are written; the ioctl gives backing ids.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/passthrough.h"
#include "check.h"
#include "fake_kernel.h"

#define LARGE (UINT64_C(3) << 20)

static struct fake k;

/* ------------------------------------------------------------------------------------------------ what hangs */

enum call { CLOSE, FSTAT, MUNMAP, PREAD, WRITEV, CALLS };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fd[CALLS];       /* lock; the call for this descriptor hangs, */
    size_t mapped;       /* lock; munmap of so many bytes; -1, 0: none */
    unsigned hanging;    /* lock; how many do */
} hang = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .fd = {-1, -1, -1, -1, -1}};

static void maybe_hang(enum call call, int fd, size_t bytes)
{
    pthread_mutex_lock(&hang.lock);
    bool hangs = call == MUNMAP ? hang.mapped && hang.mapped == bytes : fd >= 0 && hang.fd[call] == fd;
    hang.hanging += hangs;
    pthread_cond_broadcast(&hang.changed);
    while (hangs && (call == MUNMAP ? hang.mapped == bytes : hang.fd[call] == fd))
        pthread_cond_wait(&hang.changed, &hang.lock);
    hang.hanging -= hangs;
    pthread_cond_broadcast(&hang.changed);
    pthread_mutex_unlock(&hang.lock);
}

int close(int fd)
{
    maybe_hang(CLOSE, fd, 0);
    return (int)syscall(SYS_close, fd);
}

int fstat(int fd, struct stat *st)
{
    maybe_hang(FSTAT, fd, 0);
    return (int)syscall(SYS_fstat, fd, st);
}

int munmap(void *at, size_t bytes)
{
    maybe_hang(MUNMAP, -1, bytes);
    return (int)syscall(SYS_munmap, at, bytes);
}

ssize_t pread(int fd, void *buffer, size_t count, off_t offset)
{
    maybe_hang(PREAD, fd, 0);
    return syscall(SYS_pread64, fd, buffer, count, offset);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    maybe_hang(WRITEV, fd, 0);
    return syscall(SYS_writev, fd, iov, n);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *arg = va_arg(rest, void *);
    va_end(rest);
    return request == AJF_IOC_BACKING_OPEN ? 7 : (int)syscall(SYS_ioctl, fd, request, arg);
}

static void hangs_from_now_on(enum call call, int fd)
{
    pthread_mutex_lock(&hang.lock);
    hang.fd[call] = fd;
    pthread_mutex_unlock(&hang.lock);
}

static void wait_until_it_hangs(void)
{
    pthread_mutex_lock(&hang.lock);
    while (!hang.hanging)
        pthread_cond_wait(&hang.changed, &hang.lock);
    pthread_mutex_unlock(&hang.lock);
}

/* It comes back after all. */
static void goes_on(void)
{
    pthread_mutex_lock(&hang.lock);
    for (int i = 0; i < CALLS; i++)
        hang.fd[i] = -1;
    hang.mapped = 0;
    pthread_cond_broadcast(&hang.changed);
    while (hang.hanging)
        pthread_cond_wait(&hang.changed, &hang.lock);
    pthread_mutex_unlock(&hang.lock);
}

/* --------------------------------------------------------------------------------------------------- a mount */

static void start(bool cache)
{
    struct ajf_options o = fake_options();
    o.max_threads = 4; /* one that hangs, and others */
    o.max_idle_threads = 4;
    o.cache_enabled = cache;
    fake_start(&k, &o);
}

static struct ajf_extent a_lent_file(void)
{
    int fd = memfd_create("lent", MFD_CLOEXEC);
    NEED(fd >= 0 && !ftruncate(fd, 8192));
    return (struct ajf_extent){fd, 0, 8192};
}

/* Looks up, opens, and lends a file. */
static uint64_t lend(const char *name, const struct ajf_extent *extent)
{
    uint64_t id = fake_find(&k, name, 8192, 1), asked = fake_open(&k, id);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    CHECK_EQ(ajf_fetch_opened(f, 0, 1, 8192, extent, 1), 0);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, 0);
    return id;
}

static uint64_t release_without_waiting(uint64_t id)
{
    struct fuse_release_in in = {0};
    return fake_send(&k, FUSE_RELEASE, id, &in, sizeof in);
}

/* Another file is found, opened, read and closed, and what is not answered in time is an error. */
static void check_that_others_go_on(void)
{
    uint64_t id = fake_find_and_open(&k, "other", 8192, 2);
    uint64_t read = fake_read(&k, id, 0, 4096);
    fake_answer_read(&k);
    fake_expect_bytes(&k, read, 0, 4096, 2);
    fake_release(&k, id);
    fake_answer_close(&k, 102);
    uint64_t late = fake_lookup(&k, 1, "late");
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    fake_time_passes(&k);
    fake_expect_error(&k, late, EIO);
    ajf_fetch_fail(f, ENOENT);
    ajf_fetch_release(f);
}

/* ----------------------------------------------------------------------------------------------------- cases */

static void a_lent_file_that_cannot_be_closed_holds_nobody_up(void)
{
    struct ajf_extent extent = a_lent_file();
    start(true);
    uint64_t id = lend("a", &extent);
    hangs_from_now_on(CLOSE, extent.fd);
    uint64_t released = release_without_waiting(id);
    wait_until_it_hangs();
    check_that_others_go_on();
    goes_on();
    fake_expect_error(&k, released, 0);
    fake_end(&k);
}

static void *answer_open(void *extent)
{
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    CHECK_EQ(ajf_fetch_opened(f, 0, 1, 8192, extent, 1), 0);
    ajf_fetch_release(f);
    return NULL;
}

/* Lets one call that hangs come back. */
static void lets_go(enum call call)
{
    pthread_mutex_lock(&hang.lock);
    hang.fd[call] = -1;
    pthread_cond_broadcast(&hang.changed);
    pthread_mutex_unlock(&hang.lock);
}

/* Two callers run out of time at once. While the first is answered the other one's file comes, and is nobody's. */
static struct ajf_extent give_up_a_file_that_cannot_be_closed(uint64_t ret_asked[2])
{
    struct ajf_extent extent = a_lent_file();
    uint64_t id = fake_find(&k, "a", 8192, 1);
    ret_asked[0] = fake_lookup(&k, 1, "b");
    CHECK(fake_is_parked(&k, ret_asked[0]));
    ret_asked[1] = fake_open(&k, id);
    CHECK(fake_is_parked(&k, ret_asked[1]));
    struct ajf_fetch *first = fake_fetch(&k, AJF_FETCH_STAT, NULL), *open = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    hangs_from_now_on(WRITEV, fuse_session_fd(k.m->session.se));
    fake_time_passes(&k);
    wait_until_it_hangs();
    CHECK_EQ(ajf_fetch_opened(open, 0, 1, 8192, &extent, 1), 0);
    hangs_from_now_on(CLOSE, extent.fd);
    ajf_fetch_release(open);
    ajf_fetch_fail(first, EIO);
    ajf_fetch_release(first);
    lets_go(WRITEV);
    return extent;
}

static void a_caller_without_time_waits_for_no_file_to_be_closed(void)
{
    uint64_t asked[2];
    start(true);
    give_up_a_file_that_cannot_be_closed(asked);
    fake_expect_error(&k, asked[0], EIO);
    fake_expect_error(&k, asked[1], EIO);
    wait_until_it_hangs();
    check_that_others_go_on();
    goes_on();
    fake_end(&k);
}

static void a_mount_ends_though_what_was_given_up_cannot_be_closed(void)
{
    uint64_t asked[2];
    start(true);
    give_up_a_file_that_cannot_be_closed(asked);
    fake_expect_error(&k, asked[1], EIO);
    wait_until_it_hangs();
    k.m->session.device = 1; /* as fake_stop */
    CHECK_EQ(ajf_stop(k.m, 0), -ETIMEDOUT);
    ajf_free(k.m); /* frees nothing that the thread may use */
    goes_on();
    close(k.fd);
}

/* The kernel reads it itself, so the descriptor is closed as soon as the open is granted. */
static void an_open_waits_for_no_file_to_be_closed(void)
{
    struct ajf_extent extent = a_lent_file();
    pthread_t fetcher;
    start(true);
    atomic_store(&k.m->session.passthrough, true);
    uint64_t id = fake_find(&k, "a", 8192, 1), asked = fake_open(&k, id);
    hangs_from_now_on(CLOSE, extent.fd);
    NEED(!pthread_create(&fetcher, NULL, answer_open, &extent));
    fake_expect_error(&k, asked, 0);
    wait_until_it_hangs();
    check_that_others_go_on();
    goes_on();
    NEED(!pthread_join(fetcher, NULL));
    fake_release(&k, id);
    fake_end(&k);
}

static void a_lent_file_that_cannot_be_looked_at_holds_nobody_up(void)
{
    struct ajf_extent extent = a_lent_file();
    pthread_t fetcher;
    start(true);
    uint64_t id = fake_find(&k, "a", 8192, 1), asked = fake_open(&k, id);
    hangs_from_now_on(FSTAT, extent.fd);
    NEED(!pthread_create(&fetcher, NULL, answer_open, &extent));
    wait_until_it_hangs();
    check_that_others_go_on();
    goes_on();
    NEED(!pthread_join(fetcher, NULL));
    fake_expect_error(&k, asked, EIO); /* its time has passed, too */
    fake_end(&k);
}

static void memory_that_takes_long_to_free_holds_nobody_up(void)
{
    struct ajf_fetch *ahead;
    start(false);
    uint64_t id = fake_find_and_open(&k, "large", LARGE, 1), read = fake_read(&k, id, 0, 4096);
    fake_answer_read(&k);
    fake_expect_bytes(&k, read, 0, 4096, 1);
    while (fake_fetch_all(&k, &ahead, 1)) {
        ajf_fetch_fail(ahead, EIO);
        ajf_fetch_release(ahead);
    }
    pthread_mutex_lock(&hang.lock);
    hang.mapped = (LARGE + AJF_HUGE_BYTES - 1) & ~(AJF_HUGE_BYTES - 1);
    pthread_mutex_unlock(&hang.lock);
    uint64_t released = release_without_waiting(id);
    wait_until_it_hangs();
    fake_answer_close(&k, 101);
    check_that_others_go_on();
    goes_on();
    fake_expect_error(&k, released, 0);
    fake_end(&k);
}

static void a_mount_ends_though_a_lent_file_is_silent(void)
{
    struct ajf_extent extent = a_lent_file();
    start(true);
    uint64_t id = lend("a", &extent);
    hangs_from_now_on(PREAD, extent.fd);
    fake_read(&k, id, 0, 4096);
    wait_until_it_hangs();
    k.m->session.device = 1; /* as fake_stop */
    CHECK_EQ(ajf_stop(k.m, 0), -ETIMEDOUT);
    CHECK_EQ(ajf_stop(k.m, 0), -ETIMEDOUT);
    ajf_free(k.m); /* frees nothing that the thread may use */
    goes_on();
    close(k.fd);
}

static void who_waits_for_a_file_to_be_closed_waits_no_longer_than_told(void)
{
    struct ajf_trash trash = {0};
    struct ajf_extent extent = a_lent_file(), *extents = malloc(sizeof extent);
    NEED(extents);
    *extents = extent;
    ajf_trash_extents(&trash, extents, 1);
    hangs_from_now_on(CLOSE, extent.fd);
    CHECK_EQ(ajf_trash_dispose_until(ajf_trash_take(&trash), ajf_now_ns()), -ETIMEDOUT);
    wait_until_it_hangs();
    goes_on();
    CHECK_EQ(ajf_trash_dispose_until(NULL, ajf_now_ns()), 0);
    extent = a_lent_file();
    extents = malloc(sizeof extent);
    NEED(extents);
    *extents = extent;
    ajf_trash_extents(&trash, extents, 1);
    CHECK_EQ(ajf_trash_dispose_until(ajf_trash_take(&trash), AJF_FOREVER), 0);
    CHECK_EQ(fcntl(extent.fd, F_GETFD), -1);
}

int main(void)
{
    RUN(a_lent_file_that_cannot_be_closed_holds_nobody_up);
    RUN(a_lent_file_that_cannot_be_looked_at_holds_nobody_up);
    RUN(a_caller_without_time_waits_for_no_file_to_be_closed);
    RUN(an_open_waits_for_no_file_to_be_closed);
    RUN(memory_that_takes_long_to_free_holds_nobody_up);
    RUN(a_mount_ends_though_a_lent_file_is_silent);
    RUN(a_mount_ends_though_what_was_given_up_cannot_be_closed);
    RUN(who_waits_for_a_file_to_be_closed_waits_no_longer_than_told);
    CHECK_END();
}
