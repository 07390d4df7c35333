/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens that wait for the first bytes of a file that is opened lazily (open.h), and open files that go on in the
 * version that they have grown to (file.h), against a kernel that the test plays.
 */
#include "check.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>

#include "fake_kernel.h"
#include "files/file.h"

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

/* The warm-up opens so: it reads the file in any case. */
static uint64_t open_unproved(uint64_t nodeid)
{
    struct fuse_open_in in = {.flags = O_RDONLY | O_NOATIME};
    return fake_send(&k, FUSE_OPEN, nodeid, &in, sizeof in);
}

static void one_that_does_not_wait_does_not_end_the_file(void)
{
    static const bool begun[] = {false, true};
    for (size_t i = 0; i < 2; i++) {
        struct ajf_fetch_info info;
        start();
        uint64_t nodeid = fake_find(&k, "file", SIZE, 5), asked = fake_open(&k, nodeid);
        struct ajf_fetch *f = begun[i] ? fake_fetch(&k, AJF_FETCH_READ, &info) : NULL;
        fake_expect_error(&k, open_unproved(nodeid), 0);
        fake_release(&k, nodeid);
        CHECK(fake_is_parked(&k, asked));
        if (!f)
            f = fake_fetch(&k, AJF_FETCH_READ, &info);
        fake_fill(&info, 0, info.length);
        CHECK_EQ(ajf_fetch_done(f, SIZE), 0);
        ajf_fetch_release(f);
        fake_expect_error(&k, asked, 0);
        fake_expect_bytes(&k, fake_read(&k, nodeid, 0, SIZE), 0, SIZE, 5);
        fake_release(&k, nodeid);
        CHECK(fake_no_fetch(&k));
        fake_end(&k);
    }
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

static void without_memory_for_its_bytes_it_fails(void)
{
    struct rlimit before, none;
    struct ajf_fetch *f;
    uint32_t missing;
    start();
    uint64_t nodeid = fake_find(&k, "file", SIZE, 5), asked = fake_open(&k, nodeid);
    CHECK(fake_is_parked(&k, asked));
    NEED(!getrlimit(RLIMIT_NOFILE, &before));
    none = (struct rlimit){0, before.rlim_max};
    NEED(!setrlimit(RLIMIT_NOFILE, &none)); /* memory for small files is a memfd */
    CHECK_EQ(ajf_fetch_next(k.m, 0, &f, &missing), -ETIMEDOUT);
    NEED(!setrlimit(RLIMIT_NOFILE, &before));
    fake_expect_error(&k, asked, EIO);
    asked = fake_open(&k, nodeid);
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

/* Asks for the attributes of a file, which expire at once. */
static uint64_t ask_attr(uint64_t nodeid)
{
    struct fuse_getattr_in in = {0};
    return fake_send(&k, FUSE_GETATTR, nodeid, &in, sizeof in);
}

static uint64_t size_of(uint64_t asked)
{
    struct fake_reply r = fake_reply(&k, asked);
    struct fuse_attr_out out = {0};
    CHECK_EQ(r.error, 0);
    if (r.length >= sizeof out)
        memcpy(&out, r.bytes, sizeof out);
    free(r.bytes);
    return out.attr.size;
}

static void answer_grown(uint64_t from, uint64_t version, uint64_t size)
{
    struct ajf_attr attr = fake_attr(size, version);
    struct ajf_fetch_info info;
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, &info);
    CHECK_EQ(info.version, from);
    CHECK_EQ(ajf_fetch_grown(f, &attr), 0);
    ajf_fetch_release(f);
}

static uint64_t open_growing(void)
{
    struct ajf_options o = fake_options();
    o.max_threads = o.max_idle_threads = 1;
    o.attr_timeout_ns = o.entry_timeout_ns = 0;
    fake_start(&k, &o);
    ajf_follow_growth(k.m);
    uint64_t nodeid = fake_find_and_open(&k, "log", SIZE, 1), asked = fake_read(&k, nodeid, 0, 4 * SIZE);
    fake_answer_read(&k);
    fake_expect_bytes(&k, asked, 0, SIZE, 1);
    fake_answer_close(&k, 101);
    return nodeid;
}

static void an_open_file_goes_on_in_what_it_has_grown_to(void)
{
    uint64_t nodeid = open_growing(), asked = 0;
    for (uint64_t version = 2; version < 5; version++) {
        asked = ask_attr(nodeid);
        answer_grown(version - 1, version, SIZE * version);
        CHECK_EQ(size_of(asked), SIZE * version);
        fake_answer_open(&k, 100 + version, version, SIZE * version);
        asked = fake_read(&k, nodeid, 0, (uint32_t)(4 * SIZE));
        fake_answer_read(&k);
        fake_expect_bytes(&k, asked, 0, SIZE * version, version);
        fake_answer_close(&k, 100 + version);
        CHECK_EQ(fake_find(&k, "log", SIZE * version, version), nodeid);
    }
    fake_release(&k, nodeid);
    asked = ask_attr(nodeid);
    struct ajf_fetch_info info;
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, &info);
    CHECK_EQ(info.version, 0); /* nobody has it open */
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, EIO);
    fake_end(&k);
}

static void so_does_one_whose_name_leads_to_the_new_version(void)
{
    uint64_t nodeid = open_growing(), other = fake_find(&k, "log", 2 * SIZE, 2), asked = ask_attr(nodeid);
    CHECK(other != nodeid);
    answer_grown(1, 2, 2 * SIZE);
    CHECK_EQ(size_of(asked), 2 * SIZE);
    fake_answer_open(&k, 102, 2, 2 * SIZE);
    CHECK_EQ(fake_find(&k, "log", 2 * SIZE, 2), other);
    asked = ask_attr(nodeid); /* the source knows of nothing to go on in */
    struct ajf_attr attr = fake_attr(3 * SIZE, 3);
    struct ajf_fetch_info info;
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, &info);
    CHECK_EQ(info.version, 2);
    CHECK_EQ(ajf_fetch_attr(f, &attr), 0);
    ajf_fetch_release(f);
    CHECK_EQ(size_of(asked), 2 * SIZE);
    fake_end(&k);
}

static void not_while_an_answer_is_under_way(void)
{
    uint64_t nodeid = open_growing(), asked = 0;
    uint64_t large = fake_find_and_open(&k, "large", 3 * MIB, 1), reader = fake_read(&k, large, 0, 4096);
    CHECK(fake_is_parked(&k, reader));
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    asked = ask_attr(large);
    answer_grown(1, 2, 4 * MIB);
    CHECK_EQ(size_of(asked), 3 * MIB);
    ajf_fetch_release(f);
    fake_expect_error(&k, reader, EIO);
    asked = ask_attr(nodeid);
    answer_grown(1, 2, SIZE - 1); /* shorter is something else */
    CHECK_EQ(size_of(asked), SIZE);
    fake_end(&k);
}

static bool has_state(uint64_t nodeid)
{
    pthread_mutex_lock(&k.m->cache.lock);
    bool has = ajf_file_of_locked(k.m, nodeid) != NULL;
    ajf_cache_unlock(&k.m->cache);
    return has;
}

static void one_that_the_source_does_not_confirm_leaves_nothing(void)
{
    struct fuse_open_in in = {.flags = O_RDONLY | O_NOATIME}; /* waits for no bytes */
    start();
    ajf_confirm_opens(k.m);
    uint64_t nodeid = fake_find(&k, "file", SIZE, 5);
    k.uid = 1000;
    for (unsigned times = 0; times < 2; times++) {
        uint64_t asked = fake_send(&k, FUSE_OPEN, nodeid, &in, sizeof in);
        struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
        struct ajf_attr attr = fake_attr(SIZE, 5);
        CHECK(!has_state(nodeid));
        if (times)
            CHECK_EQ(ajf_fetch_attr(f, &attr), 0);
        else
            ajf_fetch_fail(f, EACCES);
        ajf_fetch_release(f);
        fake_expect_error(&k, asked, times ? 0 : EACCES);
        CHECK_EQ(has_state(nodeid), times);
    }
    fake_release(&k, nodeid);
    fake_end(&k);
}

int main(void)
{
    RUN(it_is_answered_with_the_first_bytes);
    RUN(of_another_version_it_is_stale);
    RUN(what_else_fails_is_told_and_asked_again);
    RUN(a_file_that_was_read_is_opened_at_once);
    RUN(an_empty_file_needs_no_bytes);
    RUN(one_that_does_not_wait_does_not_end_the_file);
    RUN(a_fetch_that_was_given_back_is_made_again);
    RUN(without_memory_for_its_bytes_it_fails);
    RUN(the_end_answers_it);
    RUN(an_open_file_goes_on_in_what_it_has_grown_to);
    RUN(so_does_one_whose_name_leads_to_the_new_version);
    RUN(not_while_an_answer_is_under_way);
    RUN(a_source_that_hangs_does_not_keep_the_next_one);
    RUN(one_that_the_source_does_not_confirm_leaves_nothing);
    CHECK_END();
}
