/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way out (reply.h): each answer is timed from when its request came, parked or not, and counted once. So is
 * each fetch that led to it.
 */
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "check.h"
#include "fake_kernel.h"

static struct fake k;

static void (*_Atomic once_written)(void); /* what happens as soon as the next reply has been written */

/* Stands before that of libc; replies are written with it. */
ssize_t writev(int fd, const struct iovec *iov, int n)
{
    ssize_t written = syscall(SYS_writev, fd, iov, n);
    void (*then)(void) = atomic_exchange(&once_written, NULL);
    if (then)
        then();
    return written;
}

static struct ajf_times_sum told(enum ajf_timed what)
{
    struct ajf_times_sum sum;
    ajf_times_read(k.m, what, &sum);
    return sum;
}

static uint64_t noted(enum ajf_timed what)
{
    return told(what).n;
}

/* How many took so long or longer; `us` begins a range. */
static uint64_t as_long_as(enum ajf_timed what, uint64_t us)
{
    struct ajf_times_sum sum = told(what);
    uint64_t n = 0;
    for (unsigned range = ajf_histogram_range(us); range < AJF_HISTOGRAM_RANGES; range++)
        n += sum.range[range];
    return n;
}

static void start(uint32_t slow_ms)
{
    struct ajf_options o = fake_options();
    o.attr_timeout_ns = o.entry_timeout_ns = 3600 * AJF_NS_PER_S;
    o.slow_ms = slow_ms;
    fake_start(&k, &o);
}

static void each_answer_is_counted_once(void)
{
    start(0);
    uint64_t id = fake_find_and_open(&k, "f", 4096, 1);
    CHECK_EQ(noted(AJF_TIMED_op_lookup), 1);
    CHECK_EQ(noted(AJF_TIMED_op_open), 1);
    uint64_t parked = fake_read(&k, id, 0, 4096);
    CHECK(fake_is_parked(&k, parked));
    CHECK_EQ(noted(AJF_TIMED_op_read), 0);
    fake_answer_read(&k);
    fake_expect_bytes(&k, parked, 0, 4096, 1);
    fake_expect_bytes(&k, fake_read(&k, id, 0, 4096), 0, 4096, 1); /* at once */
    free(fake_reply(&k, fake_lookup(&k, 1, "f")).bytes);
    fake_stop(&k); /* whoever has written an answer has counted it */
    CHECK_EQ(noted(AJF_TIMED_op_read), 2);
    CHECK_EQ(noted(AJF_TIMED_op_lookup), 2);
    fake_end(&k);
}

static void failures_are_counted_by_their_errno(void)
{
    start(0);
    fake_miss(&k, 1, "absent");
    uint64_t asked = fake_lookup(&k, 1, "closed");
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    ajf_fetch_fail(f, EACCES);
    ajf_fetch_fail(f, EIO); /* the first answer counts */
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, EACCES);
    fake_stop(&k);
    struct ajf_times_sum lookups = told(AJF_TIMED_op_lookup), stats = told(AJF_TIMED_source_stat);
    CHECK_EQ(lookups.n, 2);
    for (unsigned err = 0; err < AJF_ERRNO_COUNT; err++) {
        bool expected = err == AJF_ERRNO_ENOENT || err == AJF_ERRNO_EACCES;
        CHECK_EQ(lookups.failed[err], expected);
        CHECK_EQ(stats.failed[err], expected);
    }
    CHECK_EQ(strcmp(ajf_errno_name(AJF_ERRNO_EACCES), "EACCES"), 0);
    CHECK_EQ(strcmp(ajf_errno_name(AJF_ERRNO_OTHER), "other"), 0);
    CHECK(!ajf_errno_name(AJF_ERRNO_COUNT) && !ajf_times_name(AJF_TIMED_COUNT) && !ajf_times_help(AJF_TIMED_COUNT));
    fake_end(&k);
}

static void fetches_without_a_reader_have_times_of_their_own(void)
{
    struct ajf_fetch f = {.info = {.kind = AJF_FETCH_READ, .lane = AJF_LANE_DEMAND}};
    CHECK_EQ(ajf_fetch_timed(&f, AJF_TIMED_source_stat), AJF_TIMED_source_read);
    f.info.lane = AJF_LANE_PREFETCH;
    CHECK_EQ(ajf_fetch_timed(&f, AJF_TIMED_source_stat), AJF_TIMED_source_prefetch);
    f.info.lane = AJF_LANE_AHEAD;
    CHECK_EQ(ajf_fetch_timed(&f, AJF_TIMED_queue_stat), AJF_TIMED_queue_ahead);
    f.info.kind = AJF_FETCH_OPEN;
    CHECK_EQ(ajf_fetch_timed(&f, AJF_TIMED_queue_stat), AJF_TIMED_queue_open);
}

static void a_fetch_is_timed_in_the_queue_and_at_the_source(void)
{
    start(0);
    uint64_t id = fake_find_and_open(&k, "f", 4096, 1);
    uint64_t parked = fake_read(&k, id, 0, 4096);
    CHECK(fake_is_parked(&k, parked));
    CHECK_EQ(noted(AJF_TIMED_queue_read), 0);
    fake_answer_read(&k);
    fake_expect_bytes(&k, parked, 0, 4096, 1);
    CHECK_EQ(noted(AJF_TIMED_queue_stat), 1);
    CHECK_EQ(noted(AJF_TIMED_source_stat), 1);
    CHECK_EQ(noted(AJF_TIMED_source_open), 1);
    CHECK_EQ(noted(AJF_TIMED_queue_read), 1);
    CHECK_EQ(noted(AJF_TIMED_source_read), 1);
    CHECK_EQ(noted(AJF_TIMED_source_ahead) + noted(AJF_TIMED_source_prefetch), 0);
    fake_end(&k);
}

static bool is_told(const char *what)
{
    struct ajf_log_entry entry;
    bool told = false;
    while (!ajf_log_next(k.m, 0, &entry))
        told = told || strstr(entry.text, what);
    return told;
}

/* It waited for 20 ms or more since it was taken, and is counted and told as such. */
static void the_time_of_a_parked_one_begins_when_it_came(void)
{
    start(10);
    uint64_t id = fake_find_and_open(&k, "f", 8192, 1);
    uint64_t parked = fake_read(&k, id, 0, 4096);
    CHECK(fake_is_parked(&k, parked));
    uint64_t until = ajf_deadline_ns(20);
    while (ajf_now_ns() < until)
        usleep(1000);
    fake_answer_read(&k);
    free(fake_reply(&k, parked).bytes);
    fake_stop(&k);
    CHECK_EQ(as_long_as(AJF_TIMED_op_read, 1 << 14), 1);
    CHECK(told(AJF_TIMED_op_read).sum_ns >= 20 * AJF_NS_PER_MS);
    CHECK_EQ(as_long_as(AJF_TIMED_queue_read, 1 << 14), 1); /* nobody took the fetch meanwhile */
    CHECK(is_told("Fuse.Read(path=/f,"));
    fake_end(&k);
}

static uint64_t forgotten;

static void the_kernel_forgets(void)
{
    struct ajf_inode_view v;
    struct ajf_attr attr = fake_attr(4096, 2);
    ajf_inode_forget(&k.m->inodes, forgotten, 1);
    CHECK_EQ(ajf_inode_bind(&k.m->inodes, 1, "other", 5, &attr, AJF_FOREVER, true, &v), 0);
    CHECK_EQ(v.nodeid, forgotten); /* its record is another's */
}

static void a_slow_one_is_told_with_the_name_that_it_had(void)
{
    start(10);
    uint64_t id = fake_find(&k, "f", 4096, 1);
    ajf_inode_expire(&k.m->inodes, id);
    struct fuse_getattr_in in = {0};
    uint64_t parked = fake_send(&k, FUSE_GETATTR, id, &in, sizeof in);
    CHECK(fake_is_parked(&k, parked));
    uint64_t until = ajf_deadline_ns(20);
    while (ajf_now_ns() < until)
        usleep(1000);
    forgotten = id;
    atomic_store(&once_written, the_kernel_forgets);
    fake_time_passes(&k);
    fake_expect_error(&k, parked, EIO);
    fake_stop(&k);
    CHECK(is_told("Fuse.Getattr(path=/f,"));
    fake_end(&k);
}

int main(void)
{
    RUN(each_answer_is_counted_once);
    RUN(failures_are_counted_by_their_errno);
    RUN(fetches_without_a_reader_have_times_of_their_own);
    RUN(a_fetch_is_timed_in_the_queue_and_at_the_source);
    RUN(the_time_of_a_parked_one_begins_when_it_came);
    RUN(a_slow_one_is_told_with_the_name_that_it_had);
    CHECK_END();
}
