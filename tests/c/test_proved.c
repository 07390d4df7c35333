/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens that wait for the first bytes of a file that is opened lazily (open.h), against a kernel that the test plays.
 */
#include "check.h"
#include <sched.h>

#include "fake_kernel.h"
#include "file.h"

#define SIZE 10000
#define MIB (UINT64_C(1) << 20)

static struct fake k;

static struct ajf_options options(void)
{
    struct ajf_options o = fake_options();
    o.max_threads = o.max_idle_threads = 1; /* what was sent later is answered after all that was sent before */
    o.cache_enabled = false;
    o.attr_timeout_ns = o.entry_timeout_ns = 3600 * AJF_NS_PER_S;
    return o;
}

static void start(void)
{
    struct ajf_options o = options();
    fake_start(&k, &o);
    ajf_open_lazily(k.m, MIB, 8); /* late, but nothing was asked yet */
}

static void fail_read(int err)
{
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, err);
    ajf_fetch_release(f);
}

static void it_is_answered_with_the_first_bytes(void)
{
    struct ajf_fetch_info info;
    start();
    uint64_t nodeid = fake_find(&k, "file", SIZE, 5), first = fake_open(&k, nodeid), second = fake_open(&k, nodeid);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    CHECK_EQ(info.lane, AJF_LANE_DEMAND);
    CHECK_EQ(info.offset, 0);
    CHECK_EQ(info.length, SIZE);
    CHECK(fake_is_parked(&k, first));
    CHECK(fake_no_fetch(&k));
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_progress(f, 100), 0); /* not a granule yet */
    CHECK(fake_is_parked(&k, first));
    CHECK_EQ(ajf_fetch_progress(f, 4096), 0);
    fake_expect_error(&k, first, 0);
    fake_expect_error(&k, second, 0);
    CHECK_EQ(ajf_fetch_done(f, SIZE), 0);
    ajf_fetch_release(f);
    fake_expect_bytes(&k, fake_read(&k, nodeid, 0, SIZE), 0, SIZE, 5);
    fake_release(&k, nodeid);
    fake_release(&k, nodeid);
    fake_end(&k);
}

static void of_another_version_it_is_stale(void)
{
    static const int lost[] = {ESTALE, ENOENT, ENOTDIR};
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
        start();
        uint64_t nodeid = fake_find(&k, "file", SIZE, 5), asked = fake_open(&k, nodeid);
        fail_read(lost[i]);
        fake_expect_error(&k, asked, ESTALE);
        fake_expect_error(&k, fake_open(&k, nodeid), ESTALE); /* until the name was looked up again, */
        uint64_t fresh = fake_find(&k, "file", 2 * SIZE, 6);  /* for which the source is asked */
        CHECK(fresh != nodeid);
        asked = fake_open(&k, fresh);
        fake_answer_read(&k);
        fake_expect_error(&k, asked, 0);
        fake_expect_bytes(&k, fake_read(&k, fresh, 0, 2 * SIZE), 0, 2 * SIZE, 6);
        fake_end(&k);
    }
}

static void what_else_fails_is_told_and_asked_again(void)
{
    start();
    uint64_t nodeid = fake_find(&k, "file", SIZE, 5);
    for (int err = EIO; err != EACCES; err = err == EIO ? EBADMSG : EACCES) {
        uint64_t asked = fake_open(&k, nodeid);
        fail_read(err);
        fake_expect_error(&k, asked, EIO);
        CHECK(fake_no_fetch(&k));
    }
    uint64_t asked = fake_open(&k, nodeid);
    fail_read(EACCES);
    fake_expect_error(&k, asked, EACCES);
    asked = fake_open(&k, nodeid);
    fake_answer_read(&k);
    fake_expect_error(&k, asked, 0);
    fake_end(&k);
}

static void a_file_that_was_read_is_opened_at_once(void)
{
    start();
    uint64_t nodeid = fake_find(&k, "file", SIZE, 5), asked = fake_open(&k, nodeid);
    fake_answer_read(&k);
    fake_expect_error(&k, asked, 0);
    fake_expect_error(&k, fake_open(&k, nodeid), 0); /* as is one that is open */
    fake_release(&k, nodeid);
    fake_expect_bytes(&k, fake_read(&k, nodeid, 0, SIZE), 0, SIZE, 5);
    fake_release(&k, nodeid);
    fake_expect_error(&k, fake_open(&k, nodeid), 0); /* the kernel may have all of it */
    CHECK(fake_no_fetch(&k));
    asked = fake_read(&k, nodeid, 4096, 4096); /* but it had not, and what it had may have been read */
    fail_read(ESTALE);
    fake_expect_error(&k, asked, EIO);
    fake_release(&k, nodeid);
    fake_end(&k);
}

static void an_empty_file_needs_no_bytes(void)
{
    start();
    uint64_t nodeid = fake_find(&k, "file", 0, 5);
    fake_expect_error(&k, fake_open(&k, nodeid), 0);
    CHECK(fake_no_fetch(&k));
    fake_end(&k);
}

static void a_fetch_that_was_given_back_is_made_again(void)
{
    start();
    uint64_t nodeid = fake_find(&k, "file", SIZE, 5), asked = fake_open(&k, nodeid);
    fail_read(ECANCELED);
    CHECK(fake_is_parked(&k, asked));
    fake_answer_read(&k);
    fake_expect_error(&k, asked, 0);
    fake_end(&k);
}

static void the_end_answers_it(void)
{
    start();
    uint64_t nodeid = fake_find(&k, "file", SIZE, 5), asked = fake_open(&k, nodeid);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    fake_stop(&k);
    fake_expect_error(&k, asked, ENOTCONN);
    ajf_fetch_fail(f, EIO);
    ajf_fetch_release(f);
    fake_end(&k);
}

static void a_source_that_hangs_does_not_keep_the_next_one(void)
{
    struct ajf_options o = options();
    o.read_timeout_ms = 3600000; /* it comes with fake_time_passes */
    for (int i = 0; i < 1; i++) {
        fake_start(&k, &o);
        ajf_open_lazily(k.m, MIB, 8);
        uint64_t nodeid = fake_find(&k, "file", SIZE, 5), asked = fake_open(&k, nodeid);
        struct ajf_fetch *hanging = fake_fetch(&k, AJF_FETCH_READ, NULL);
        CHECK(fake_is_parked(&k, asked));
        fake_time_passes(&k);
        fake_expect_error(&k, asked, EIO);
        uint64_t until = ajf_deadline_ns(FAKE_WAIT_MS); /* it is abandoned after the answer */
        while (!fake_stat(&k, "fetch_abandoned") && ajf_now_ns() < until)
            sched_yield();
        CHECK_EQ(fake_stat(&k, "fetch_abandoned"), 1);
        asked = fake_open(&k, nodeid);
        fake_answer_read(&k);
        fake_expect_error(&k, asked, 0);
        fake_expect_bytes(&k, fake_read(&k, nodeid, 0, SIZE), 0, SIZE, 5);
        ajf_fetch_fail(hanging, EIO);
        ajf_fetch_release(hanging);
        fake_release(&k, nodeid);
        fake_end(&k);
    }
}

int main(void)
{
    RUN(it_is_answered_with_the_first_bytes);
    RUN(of_another_version_it_is_stale);
    RUN(what_else_fails_is_told_and_asked_again);
    RUN(a_file_that_was_read_is_opened_at_once);
    RUN(an_empty_file_needs_no_bytes);
    RUN(a_fetch_that_was_given_back_is_made_again);
    RUN(the_end_answers_it);
    RUN(a_source_that_hangs_does_not_keep_the_next_one);
    CHECK_END();
}
