/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that wait, against a kernel that the test plays (fake_kernel.h): single flight, deadlines and late writers,
 * interrupts, cancelled fetches, the end of a session with everything still under way.
 */
#include "check.h"
#include "fake_kernel.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define DEADLINE_MS 3600000 /* it comes with fake_time_passes */
#define DEAD_PID 4194304u /* pid_max is at most 2^22, so nobody has it */

static struct fake k;

/* -------------------------------------------------------------------------------------------------- reading */

static void a_read_waits_for_its_bytes_and_gets_them(void)
{
    struct ajf_options o = fake_options();
    struct ajf_fetch_info info;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), r = fake_read(&k, id, 8192, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    CHECK(info.offset <= 8192 && info.offset + info.length >= 12288);
    CHECK_EQ(info.handle, 101);
    CHECK_EQ(info.version, 1);
    CHECK_EQ(info.size, 3 * MIB);
    CHECK(fake_is_parked(&k, r));
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    CHECK_EQ(ajf_fetch_done(f, info.length), -EINVAL); /* once only */
    ajf_fetch_release(f);
    fake_expect_bytes(&k, r, 8192, 4096, 1);
    fake_expect_bytes(&k, fake_read(&k, id, 8192, 4096), 8192, 4096, 1); /* and from the cache */
    CHECK(fake_no_fetch(&k));
    fake_release(&k, id);
    fake_answer_close(&k, 101);
    fake_end(&k);
}

static void progress_wakes_readers_as_it_goes(void)
{
    struct ajf_options o = fake_options();
    struct ajf_fetch_info info;
    o.prefetch_bytes = MIB;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 60000, 1), r0 = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    CHECK_EQ(info.length, 60000); /* small files are fetched whole */
    uint64_t r1 = fake_read(&k, id, 40960, 19040), last = fake_read(&k, id, 57344, 4096);
    uint64_t r2 = fake_read(&k, id, 4096, 4096);
    CHECK(fake_is_parked(&k, r2));
    CHECK(fake_no_fetch(&k));
    fake_fill(&info, 0, 4096);
    CHECK_EQ(ajf_fetch_progress(f, 4096), 0);
    fake_expect_bytes(&k, r0, 0, 4096, 1);
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_progress(f, 8191), 0);
    CHECK(fake_is_parked(&k, r2));
    CHECK_EQ(ajf_fetch_progress(f, 8000), -EINVAL); /* backwards */
    CHECK_EQ(ajf_fetch_progress(f, info.length + 1), -EINVAL);
    CHECK_EQ(ajf_fetch_progress(f, 8192), 0);
    fake_expect_bytes(&k, r2, 4096, 4096, 1);
    CHECK(fake_is_parked(&k, r1));
    CHECK_EQ(ajf_fetch_progress(f, info.length), 0);
    fake_expect_bytes(&k, r1, 40960, 19040, 1);
    fake_expect_bytes(&k, last, 57344, 60000 - 57344, 1);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
    fake_end(&k);
}

static void equal_reads_share_one_fetch(void)
{
    struct ajf_options o = fake_options();
    uint64_t reads[20];
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1);
    for (int i = 0; i < 20; i++)
        reads[i] = fake_read(&k, id, MIB, 65536);
    struct ajf_fetch_info info;
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    for (int i = 0; i < 20; i++)
        CHECK(fake_is_parked(&k, reads[i]));
    CHECK(fake_no_fetch(&k));
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
    for (int i = 0; i < 20; i++)
        fake_expect_bytes(&k, reads[i], MIB, 65536, 1);
    fake_end(&k);
}

static void a_failed_fetch_fails_its_readers_and_can_be_tried_again(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), r = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, ETIMEDOUT);
    ajf_fetch_fail(f, EIO); /* once only */
    fake_expect_error(&k, r, ETIMEDOUT);
    ajf_fetch_release(f);
    r = fake_read(&k, id, 0, 4096);
    f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_release(f); /* not answered at all */
    fake_expect_error(&k, r, EIO);
    r = fake_read(&k, id, 0, 4096);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 4096, 1);
    fake_end(&k);
}

/* The storage finds out at the end that what it sent was not what it has. */
static void contents_that_are_disowned_are_dropped_and_asked_for_again(void)
{
    struct ajf_options o = fake_options();
    o.prefetch_bytes = 0;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 131072, 1), r = fake_read(&k, id, 0, 65536);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 65536, 1);
    r = fake_read(&k, id, 65536, 65536);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, EBADMSG);
    ajf_fetch_release(f);
    fake_expect_error(&k, r, EIO);
    while (k.dropped != id)
        NEED(fake_receive(&k, FAKE_WAIT_MS));
    r = fake_read(&k, id, 0, 65536);
    CHECK(fake_is_parked(&k, r));
    fake_answer_open(&k, 102, 1, 131072);
    fake_answer_close(&k, 101);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 65536, 1);
    fake_release(&k, id);
    fake_end(&k);
}

static void *disown(void *fetch)
{
    ajf_fetch_fail(fetch, EBADMSG);
    ajf_fetch_release(fetch);
    return NULL;
}

/* Many are told, with a pause when few of them have heard it; the first asks at once for what came before. */
static void who_is_told_that_contents_are_wrong_gets_none_of_them(void)
{
    enum { MANY = 200 };
    struct ajf_options o = fake_options();
    uint64_t reads[MANY];
    pthread_t thread;
    int room = 8192;
    o.prefetch_bytes = 0;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 131072, 1), r = fake_read(&k, id, 0, 65536);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 65536, 1);
    for (unsigned i = 0; i < MANY; i++)
        reads[i] = fake_read(&k, id, 65536, 4096);
    CHECK(fake_is_parked(&k, reads[MANY - 1]));
    NEED(!setsockopt(fuse_session_fd(k.m->session.se), SOL_SOCKET, SO_SNDBUF, &room, sizeof room));
    NEED(!pthread_create(&thread, NULL, disown, fake_fetch(&k, AJF_FETCH_READ, NULL)));
    NEED(fake_receive(&k, FAKE_WAIT_MS));
    r = fake_read(&k, id, 0, 4096);
    CHECK(fake_is_parked(&k, r));
    for (unsigned i = 0; i < MANY; i++)
        fake_expect_error(&k, reads[i], EIO);
    pthread_join(thread, NULL);
    fake_answer_open(&k, 102, 1, 131072);
    fake_answer_close(&k, 101);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 4096, 1);
    fake_release(&k, id);
    fake_end(&k);
}

static void a_short_answer_serves_who_has_enough(void)
{
    struct ajf_options o = fake_options();
    struct ajf_fetch_info info;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), whole = fake_read(&k, id, 0, 131072);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    uint64_t near = fake_read(&k, id, 0, 4096), far = fake_read(&k, id, 90112, 4096);
    CHECK(fake_is_parked(&k, near) && fake_is_parked(&k, far));
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, 5000), 0);
    fake_expect_bytes(&k, near, 0, 4096, 1);
    fake_expect_error(&k, far, EIO);
    fake_expect_error(&k, whole, EIO);
    ajf_fetch_release(f);
    fake_end(&k);
}

/* Its reader left, another came: the second must not be failed for the first one's going. */
static void a_cancelled_fetch_fails_nobody(void)
{
    struct ajf_options o = fake_options();
    struct ajf_fetch_info info;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), kept = fake_read(&k, id, MIB, 4096);
    fake_answer_read(&k);
    fake_expect_bytes(&k, kept, MIB, 4096, 1); /* so that the file stays when nobody has it open */
    k.pid = DEAD_PID;
    uint64_t gone = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    fake_interrupt(&k, gone);
    fake_expect_error(&k, gone, EINTR);
    fake_release(&k, id);
    k.pid = (uint32_t)getpid();
    CHECK_EQ(ajf_fetch_progress(f, 0), -ECANCELED);
    fake_expect_error(&k, fake_open(&k, id), 0);
    uint64_t r = fake_read(&k, id, 0, 4096);
    CHECK(fake_is_parked(&k, r));
    CHECK_EQ(ajf_fetch_done(f, 0), 0); /* ends it with what there is */
    ajf_fetch_release(f);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 4096, 1);
    fake_end(&k);
}

static void a_source_that_keeps_nothing_can_be_read(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find(&k, "a", 3 * MIB, 1), opened = fake_open(&k, id);
    fake_answer_open(&k, 0, 1, 3 * MIB);
    fake_expect_error(&k, opened, 0);
    uint64_t r = fake_read(&k, id, 0, 4096);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 4096, 1);
    fake_release(&k, id);
    CHECK(fake_no_fetch(&k)); /* no CLOSE of nothing */
    fake_end(&k);
}

static void reads_at_and_beyond_the_end_are_short(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 5000, 1), r = fake_read(&k, id, 4096, 65536);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 4096, 904, 1);
    fake_expect_bytes(&k, fake_read(&k, id, 5000, 4096), 5000, 0, 1);
    fake_expect_bytes(&k, fake_read(&k, id, UINT64_C(1) << 40, 4096), 0, 0, 1);
    uint64_t empty = fake_find_and_open(&k, "empty", 0, 2);
    fake_expect_bytes(&k, fake_read(&k, empty, 0, 4096), 0, 0, 1);
    fake_end(&k);
}

/* --------------------------------------------------------------------------------- deadlines and late writers */

static struct ajf_options with_deadlines(void)
{
    struct ajf_options o = fake_options();
    o.read_timeout_ms = o.metadata_timeout_ms = DEADLINE_MS;
    return o;
}

/* A request that has been parked by now is answered when its deadline comes. */
static void expect_late(uint64_t asked)
{
    CHECK(fake_is_parked(&k, asked));
    fake_time_passes(&k);
    fake_expect_error(&k, asked, EIO);
}

/* The one who hangs keeps its buffer and may write there; the next reader is served from elsewhere. */
static void a_late_writer_does_no_harm(void)
{
    struct ajf_options o = with_deadlines();
    struct ajf_fetch_info late, info;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), r = fake_read(&k, id, 0, 65536);
    struct ajf_fetch *hung = fake_fetch(&k, AJF_FETCH_READ, &late);
    expect_late(r);
    r = fake_read(&k, id, 0, 65536);
    fake_answer_open(&k, 7, 1, 3 * MIB); /* a fresh start */
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    CHECK_EQ(info.handle, 7);
    CHECK((uint8_t *)info.buffer + info.length <= (uint8_t *)late.buffer ||
          (uint8_t *)late.buffer + late.length <= (uint8_t *)info.buffer);
    fake_fill(&info, 0, info.length);
    memset(late.buffer, 0xEE, late.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
    fake_expect_bytes(&k, r, 0, 65536, 1);
    CHECK_EQ(ajf_fetch_progress(hung, 4096), -ECANCELED);
    CHECK_EQ(ajf_fetch_done(hung, late.length), 0);
    memset(late.buffer, 0xEE, late.length);
    fake_expect_bytes(&k, fake_read(&k, id, 4096, 4096), 4096, 4096, 1);
    ajf_fetch_release(hung);
    fake_answer_close(&k, 101);
    fake_expect_bytes(&k, fake_read(&k, id, 0, 65536), 0, 65536, 1);
    CHECK_EQ(fake_stat(&k, "op_timed_out"), 1);
    fake_end(&k);
}

/* After a hang the source cannot even be opened: that is an error for each read, and nothing worse. */
static void opening_anew_may_fail_too(void)
{
    struct ajf_options o = with_deadlines();
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), r = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *hung = fake_fetch(&k, AJF_FETCH_READ, NULL);
    expect_late(r);
    for (int i = 0; i < 3; i++) {
        r = fake_read(&k, id, 0, 4096);
        CHECK(fake_is_parked(&k, r)); /* the first of these OPENs is older than the read */
        struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
        ajf_fetch_fail(f, EACCES);
        ajf_fetch_release(f);
        fake_expect_error(&k, r, EACCES);
    }
    r = fake_read(&k, id, 0, 4096);
    fake_answer_open(&k, 8, 1, 3 * MIB);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 4096, 1);
    ajf_fetch_release(hung);
    fake_end(&k);
}

/* Sixteen readers time out together: one fresh start for all of them, not one each. */
static void readers_that_time_out_together_start_afresh_once(void)
{
    struct ajf_options o = with_deadlines();
    uint64_t reads[16];
    unsigned opens = 0;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 8 * MIB, 1);
    for (unsigned i = 0; i < 16; i++)
        reads[i] = fake_read(&k, id, i * 4096, 4096);
    struct ajf_fetch *hung = fake_fetch(&k, AJF_FETCH_READ, NULL), *f;
    CHECK(fake_is_parked(&k, reads[15]));
    uint64_t born = fake_stat(&k, "fetches_born");
    fake_time_passes(&k);
    for (unsigned i = 0; i < 16; i++)
        fake_expect_error(&k, reads[i], EIO);
    uint32_t missing;
    struct ajf_fetch_info info;
    while (!ajf_fetch_next(k.m, 20, &f, &missing)) {
        ajf_fetch_info(f, &info);
        opens += info.kind == AJF_FETCH_OPEN;
        ajf_fetch_release(f);
    }
    CHECK(opens <= 1);
    CHECK(fake_stat(&k, "fetches_born") - born <= 4);
    ajf_fetch_release(hung);
    fake_end(&k);
}

static void an_open_that_hangs_is_given_up_and_asked_anew(void)
{
    struct ajf_options o = with_deadlines();
    fake_start(&k, &o);
    uint64_t id = fake_find(&k, "a", 3 * MIB, 1), opened = fake_open(&k, id);
    struct ajf_fetch *hung = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    expect_late(opened);
    opened = fake_open(&k, id);
    fake_answer_open(&k, 9, 1, 3 * MIB);
    fake_expect_error(&k, opened, 0);
    CHECK_EQ(ajf_fetch_opened(hung, 10, 1, 3 * MIB, NULL, 0), 0); /* comes back after all */
    ajf_fetch_release(hung);
    fake_answer_close(&k, 10); /* what it opened is closed */
    uint64_t r = fake_read(&k, id, 0, 4096);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 4096, 1);
    fake_end(&k);
}

static void a_stat_that_hangs_times_out_and_its_late_answer_is_harmless(void)
{
    struct ajf_options o = with_deadlines();
    struct ajf_attr attr = fake_attr(10, 1);
    fake_start(&k, &o);
    uint64_t l = fake_lookup(&k, 1, "a");
    struct ajf_fetch *hung = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    expect_late(l);
    CHECK_EQ(ajf_fetch_attr(hung, &attr), 0);
    ajf_fetch_release(hung);
    CHECK(fake_find(&k, "a", 10, 1) > 1);
    fake_end(&k);
}

/* --------------------------------------------------------------------------------------------------- metadata */

static uint64_t blocks_of(uint64_t unique)
{
    struct fake_reply r = fake_reply(&k, unique);
    struct fuse_statfs_out out = {0};
    CHECK_EQ(r.error, 0);
    NEED(r.length >= sizeof out);
    memcpy(&out, r.bytes, sizeof out);
    free(r.bytes);
    return out.st.blocks;
}

/* Who watches mounts asks for figures and attributes of their roots, and must not hang with a source. */
static void a_source_that_is_silent_does_not_keep_a_watcher_waiting(void)
{
    struct ajf_options o = with_deadlines();
    struct fuse_getattr_in in = {0};
    struct ajf_statfs figures = {.block_size = 4096, .blocks = 1000, .name_max = 255};
    fake_start(&k, &o);
    for (uint64_t told = 0; told <= 1000; told += 1000) { /* nothing was told before; something was */
        uint64_t asked = fake_send(&k, FUSE_STATFS, 1, NULL, 0);
        struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STATFS, NULL);
        CHECK(fake_is_parked(&k, asked));
        fake_time_passes(&k);
        CHECK_EQ(blocks_of(asked), told);
        CHECK_EQ(blocks_of(fake_send(&k, FUSE_STATFS, 1, NULL, 0)), told); /* at once, while nobody knows better */
        CHECK(fake_no_fetch(&k));
        CHECK_EQ(ajf_fetch_statfs(f, &figures), 0);
        ajf_fetch_release(f);
    }
    uint64_t asked = fake_send(&k, FUSE_STATFS, 1, NULL, 0);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STATFS, NULL);
    ajf_fetch_fail(f, EACCES); /* that is an answer */
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, EACCES);
    asked = fake_send(&k, FUSE_GETATTR, 1, &in, sizeof in);
    f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    fake_time_passes(&k);
    fake_expect_error(&k, asked, 0);
    fake_expect_error(&k, fake_send(&k, FUSE_GETATTR, 1, &in, sizeof in), 0);
    CHECK(fake_no_fetch(&k));
    ajf_fetch_release(f);
    asked = fake_send(&k, FUSE_GETATTR, 1, &in, sizeof in);
    f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    ajf_fetch_fail(f, EACCES);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, EACCES);
    CHECK_EQ(fake_stat(&k, "op_timed_out"), 0);
    fake_end(&k);
}

static void equal_questions_share_a_fetch_until_it_is_taken(void)
{
    struct ajf_options o = fake_options();
    struct ajf_attr attr = fake_attr(10, 1);
    fake_start(&k, &o);
    uint64_t a = fake_lookup(&k, 1, "a"), b = fake_lookup(&k, 1, "a"), other = fake_lookup(&k, 1, "b");
    CHECK(fake_is_parked(&k, a) && fake_is_parked(&k, b) && fake_is_parked(&k, other));
    struct ajf_fetch *f[3] = {fake_fetch(&k, AJF_FETCH_STAT, NULL), fake_fetch(&k, AJF_FETCH_STAT, NULL), NULL};
    CHECK(fake_no_fetch(&k));
    uint64_t late = fake_lookup(&k, 1, "a"); /* the answer might be older than this question */
    f[2] = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(ajf_fetch_attr(f[i], &attr), 0);
        ajf_fetch_release(f[i]);
    }
    uint64_t id = fake_entry(&k, a);
    CHECK(id > 1);
    CHECK_EQ(fake_entry(&k, b), id);
    CHECK_EQ(fake_entry(&k, late), id);
    CHECK(fake_entry(&k, other) != id);
    fake_end(&k);
}

static void a_missing_name_is_remembered_as_long_as_said(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t l = fake_lookup(&k, 1, "a");
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    ajf_fetch_fail(f, ENOENT);
    ajf_fetch_release(f);
    fake_expect_error(&k, l, ENOENT);
    CHECK(fake_find(&k, "a", 10, 1) > 1); /* timeout 0: asked again */
    fake_end(&k);
    o.negative_timeout_ns = UINT64_C(3600) * 1000000000;
    fake_start(&k, &o);
    l = fake_lookup(&k, 1, "a");
    f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    ajf_fetch_fail(f, ENOENT);
    ajf_fetch_release(f);
    CHECK_EQ(fake_entry(&k, l), 0);
    CHECK_EQ(fake_entry(&k, fake_lookup(&k, 1, "a")), 0);
    CHECK(fake_no_fetch(&k));
    fake_end(&k);
}

static void another_version_at_open_is_stale_and_the_name_is_asked_for_again(void)
{
    struct ajf_options o = fake_options();
    o.entry_timeout_ns = o.attr_timeout_ns = UINT64_C(3600) * 1000000000;
    fake_start(&k, &o);
    uint64_t id = fake_find(&k, "a", 10, 1), opened = fake_open(&k, id);
    fake_answer_open(&k, 3, 2, 20);
    fake_expect_error(&k, opened, ESTALE);
    fake_answer_close(&k, 3);
    uint64_t new = fake_find(&k, "a", 20, 2); /* in spite of the long timeout */
    CHECK(new != id);
    fake_end(&k);
}

static void malformed_answers_are_errors_of_the_caller_and_of_the_request(void)
{
    struct ajf_options o = fake_options();
    struct ajf_attr attr = fake_attr(10, 1);
    struct ajf_entry entry = {attr, 5, 10};
    fake_start(&k, &o);
    uint64_t l = fake_lookup(&k, 1, "a");
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    attr.mode = S_IFIFO;
    CHECK_EQ(ajf_fetch_attr(f, &attr), -EINVAL);
    ajf_fetch_release(f);
    fake_expect_error(&k, l, EIO);
    l = fake_lookup(&k, 1, "a");
    f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    CHECK_EQ(ajf_fetch_link(f, "x", 1), -EINVAL); /* another question's answer */
    ajf_fetch_release(f);
    fake_expect_error(&k, l, EIO);
    struct fuse_read_in in = {.size = 4096};
    l = fake_send(&k, FUSE_READDIR, 1, &in, sizeof in);
    f = fake_fetch(&k, AJF_FETCH_LIST, NULL);
    CHECK_EQ(ajf_fetch_list(f, &entry, 1, "short", 5), -EINVAL);
    ajf_fetch_release(f);
    fake_expect_error(&k, l, EIO);
    fake_end(&k);
}

/* ------------------------------------------------------------------------------------------------- interrupts */

static void a_killed_reader_is_let_go_and_a_living_one_waits_on(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), living = fake_read(&k, id, 0, 4096);
    k.pid = DEAD_PID;
    uint64_t killed = fake_read(&k, id, 0, 4096), opened = 0;
    CHECK(fake_is_parked(&k, living) && fake_is_parked(&k, killed));
    fake_interrupt(&k, living);
    fake_interrupt(&k, killed);
    fake_expect_error(&k, killed, EINTR);
    CHECK(fake_is_parked(&k, living));
    fake_answer_read(&k);
    fake_expect_bytes(&k, living, 0, 4096, 1);
    CHECK_EQ(fake_stat(&k, "op_interrupted"), 1);
    /* Killed while the source opens: the last one to want it is gone, so nothing stays open. */
    uint64_t other = fake_find(&k, "b", 3 * MIB, 2);
    opened = fake_open(&k, other);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    fake_interrupt(&k, opened);
    fake_expect_error(&k, opened, EINTR);
    CHECK_EQ(ajf_fetch_opened(f, 55, 2, 3 * MIB, NULL, 0), 0);
    ajf_fetch_release(f);
    fake_answer_close(&k, 55);
    fake_end(&k);
}

/* The interrupt may overtake its request. */
static void an_interrupt_that_comes_first_counts(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1);
    k.pid = DEAD_PID;
    fake_interrupt(&k, k.unique + 4); /* of the request after this one */
    uint64_t r = fake_read(&k, id, 0, 4096);
    struct fake_reply reply;
    struct ajf_fetch *f = NULL;
    uint32_t missing;
    while (!fake_reply_within(&k, r, 100, &reply)) /* libfuse may answer the interrupt EAGAIN: the kernel repeats it */
        fake_interrupt(&k, r);
    CHECK_EQ(reply.error, EINTR);
    free(reply.bytes);
    if (!ajf_fetch_next(k.m, 0, &f, &missing))
        ajf_fetch_release(f);
    fake_end(&k);
}

/* --------------------------------------------------------------------------------------------------- the end */

static void the_stop_answers_everything_and_late_answers_leave_nothing(void)
{
    struct ajf_options o = fake_options();
    struct ajf_attr attr = fake_attr(10, 1);
    struct fuse_read_in in = {.size = 4096};
    struct ajf_fetch_info info;
    o.negative_timeout_ns = o.attr_timeout_ns = o.entry_timeout_ns = UINT64_C(3600) * 1000000000;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), b = fake_find(&k, "b", 3 * MIB, 1), asked[6];
    asked[0] = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *read = fake_fetch(&k, AJF_FETCH_READ, &info);
    asked[1] = fake_open(&k, b);
    struct ajf_fetch *open = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    asked[2] = fake_send(&k, FUSE_READDIR, 1, &in, sizeof in);
    struct ajf_fetch *list = fake_fetch(&k, AJF_FETCH_LIST, NULL);
    asked[3] = fake_lookup(&k, 1, "found");
    struct ajf_fetch *stat = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    asked[4] = fake_lookup(&k, 1, "missing");
    struct ajf_fetch *missing = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    asked[5] = fake_lookup(&k, 1, "never taken");
    for (int i = 0; i < 6; i++)
        CHECK(fake_is_parked(&k, asked[i]));
    fake_stop(&k);
    for (int i = 0; i < 6; i++)
        fake_expect_error(&k, asked[i], ENOTCONN);
    memset(info.buffer, 0xEE, info.length); /* still ours to write */
    ajf_fetch_done(read, info.length);
    ajf_fetch_release(read);
    ajf_fetch_opened(open, 66, 1, 3 * MIB, NULL, 0);
    ajf_fetch_release(open);
    struct ajf_entry entry = {attr, 0, 1};
    ajf_fetch_list(list, &entry, 1, "x", 1);
    ajf_fetch_release(list);
    ajf_fetch_attr(stat, &attr);
    ajf_fetch_release(stat);
    ajf_fetch_fail(missing, ENOENT);
    ajf_fetch_release(missing);
    struct ajf_fetch *f;
    uint32_t threads;
    CHECK_EQ(ajf_fetch_next(k.m, -1, &f, &threads), -ESHUTDOWN);
    fake_end(&k);
}

/* The first file gives its memory back, which would feed the fetch of the last one, for which there is no queue. */
static void what_starves_ends_with_the_session(void)
{
    enum { MANY = 32 };
    struct ajf_options o = fake_options();
    struct ajf_fetch *held[MANY];
    o.prefetch_bytes = 0;
    fake_start(&k, &o);
    uint64_t ids[3], reads[MANY];
    ids[0] = fake_find_and_open(&k, "idle", 3 * MIB, 1);
    ids[1] = fake_find_and_open(&k, "busy", 64 * MIB, 1);
    ids[2] = fake_find_and_open(&k, "starved", 64 * MIB, 1);
    for (unsigned i = 0; i < MANY; i++)
        reads[i] = fake_read(&k, ids[1 + i / (MANY / 2)], i * MIB, MIB);
    CHECK(fake_is_parked(&k, reads[MANY - 1]));
    unsigned n = fake_fetch_all(&k, held, MANY);
    CHECK(n < MANY);
    fake_stop(&k);
    for (unsigned i = 0; i < MANY; i++)
        fake_expect_error(&k, reads[i], ENOTCONN);
    while (n)
        ajf_fetch_release(held[--n]);
    fake_end(&k);
}

static void contents_may_be_disowned_while_the_session_ends(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), r = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_queue_stop(&k.m->queue); /* ajf_stop is that far */
    ajf_fetch_fail(f, EBADMSG);
    ajf_fetch_release(f);
    fake_expect_error(&k, r, EIO);
    fake_end(&k);
}

static void a_kernel_that_goes_away_ends_the_session(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1);
    fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    CHECK_EQ(ajf_wait_end(k.m, 0), -ETIMEDOUT);
    shutdown(k.fd, SHUT_RDWR);
    CHECK_EQ(ajf_wait_end(k.m, FAKE_WAIT_MS), 0);
    ajf_fetch_fail(f, EIO);
    ajf_fetch_release(f);
    fake_end(&k);
}

int main(void)
{
    RUN(a_read_waits_for_its_bytes_and_gets_them);
    RUN(progress_wakes_readers_as_it_goes);
    RUN(equal_reads_share_one_fetch);
    RUN(a_failed_fetch_fails_its_readers_and_can_be_tried_again);
    RUN(contents_that_are_disowned_are_dropped_and_asked_for_again);
    RUN(who_is_told_that_contents_are_wrong_gets_none_of_them);
    RUN(a_short_answer_serves_who_has_enough);
    RUN(a_cancelled_fetch_fails_nobody);
    RUN(a_source_that_keeps_nothing_can_be_read);
    RUN(reads_at_and_beyond_the_end_are_short);
    RUN(a_late_writer_does_no_harm);
    RUN(opening_anew_may_fail_too);
    RUN(readers_that_time_out_together_start_afresh_once);
    RUN(an_open_that_hangs_is_given_up_and_asked_anew);
    RUN(a_stat_that_hangs_times_out_and_its_late_answer_is_harmless);
    RUN(a_source_that_is_silent_does_not_keep_a_watcher_waiting);
    RUN(equal_questions_share_a_fetch_until_it_is_taken);
    RUN(a_missing_name_is_remembered_as_long_as_said);
    RUN(another_version_at_open_is_stale_and_the_name_is_asked_for_again);
    RUN(malformed_answers_are_errors_of_the_caller_and_of_the_request);
    RUN(a_killed_reader_is_let_go_and_a_living_one_waits_on);
    RUN(an_interrupt_that_comes_first_counts);
    RUN(the_stop_answers_everything_and_late_answers_leave_nothing);
    RUN(what_starves_ends_with_the_session);
    RUN(contents_may_be_disowned_while_the_session_ends);
    RUN(a_kernel_that_goes_away_ends_the_session);
    CHECK_END();
}
