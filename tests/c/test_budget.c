/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of the page cache, against a kernel that the test plays (fake_kernel.h): eviction, expiry, starving. */
#include "check.h"
#include "fake_kernel.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static struct fake k;

/* Answers a fetch as a good source does. */
static void serve(struct ajf_fetch *f)
{
    struct ajf_fetch_info info;
    ajf_fetch_info(f, &info);
    fake_fill(&info, 0, info.length);
    int err = ajf_fetch_done(f, info.length);
    CHECK(!err || err == -ECANCELED);
    ajf_fetch_release(f);
    while (fake_receive(&k, 0)) /* the socket holds a few replies only; /dev/fuse takes all */
        ;
}

/* Serves until a read is answered; returns the most memory that was in use. */
static uint64_t serve_until(uint64_t asked, struct fake_reply *ret_reply)
{
    uint64_t most = 0, until = ajf_deadline_ns(FAKE_WAIT_MS);
    while (!fake_take(&k, asked, ret_reply)) {
        struct ajf_fetch *f;
        uint32_t missing;
        NEED(ajf_now_ns() < until);
        if (!fake_receive(&k, 0) && !ajf_fetch_next(k.m, 1, &f, &missing))
            serve(f);
        uint64_t used = fake_stat(&k, "cache_used_bytes");
        most = used > most ? used : most;
    }
    return most;
}

static void the_budget_is_kept_and_evicted_bytes_come_again(void)
{
    struct ajf_options o = fake_options();
    uint64_t size = 64 * MIB, most = 0;
    struct fake_reply reply;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", size, 1);
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t at = 0; at < size; at += 131072) {
            uint64_t used = serve_until(fake_read(&k, id, at, 131072), &reply);
            CHECK_EQ(reply.error, 0);
            CHECK_EQ(reply.length, 131072);
            CHECK_EQ(reply.bytes[0], fake_byte(at, 1));
            CHECK_EQ(reply.bytes[131071], fake_byte(at + 131071, 1));
            free(reply.bytes);
            most = used > most ? used : most;
        }
    }
    CHECK(most > o.cache_bytes / 2);
    CHECK(most <= o.cache_bytes + o.cache_bytes / 10);
    CHECK(fake_stat(&k, "pages_evicted") > 64);
    fake_end(&k);
}

/* Opens a file of a source that keeps nothing. */
static uint64_t find_and_open(const char *name, uint64_t size)
{
    uint64_t id = fake_find(&k, name, size, 1), opened = fake_open(&k, id);
    fake_answer_open(&k, 0, 1, size);
    fake_expect_error(&k, opened, 0);
    return id;
}

static void what_is_old_expires_unless_it_is_in_use(void)
{
    struct ajf_options o = fake_options();
    struct ajf_fetch_info info;
    o.prefetch_bytes = 0;
    fake_start(&k, &o);
    for (unsigned i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%u", i);
        uint64_t id = find_and_open(name, i % 2 ? 5000 : 3 * MIB), r = fake_read(&k, id, 0, 4096);
        fake_answer_read(&k);
        fake_expect_bytes(&k, r, 0, 4096, 1);
        fake_release(&k, id);
    }
    ajf_expire(k.m, UINT64_C(3600) * 1000000000);
    CHECK(fake_stat(&k, "cache_used_bytes") > 0);
    uint64_t id = find_and_open("held", 3 * MIB), r = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    ajf_expire(k.m, 0);
    CHECK(fake_stat(&k, "cache_used_bytes") > 0);
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
    fake_expect_bytes(&k, r, 0, 4096, 1);
    fake_release(&k, id);
    ajf_expire(k.m, 0);
    CHECK_EQ(fake_stat(&k, "cache_used_bytes"), 0);
    fake_end(&k);
}

/* One of its pages has nothing, as its fetch failed: both go at once. */
static void a_file_expires_with_the_first_of_its_pages(void)
{
    struct ajf_options o = fake_options();
    o.prefetch_bytes = 0;
    fake_start(&k, &o);
    uint64_t id = find_and_open("a", 3 * MIB), r = fake_read(&k, id, 0, 4096);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 4096, 1);
    r = fake_read(&k, id, 2 * MIB, 4096);
    ajf_fetch_release(fake_fetch(&k, AJF_FETCH_READ, NULL));
    fake_expect_error(&k, r, EIO);
    fake_release(&k, id);
    ajf_expire(k.m, 0);
    CHECK_EQ(fake_stat(&k, "cache_used_bytes"), 0);
    fake_end(&k);
}

static void what_is_read_apart_is_charged_apart(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 64 * MIB, 1);
    for (uint64_t at = 0; at < 64 * MIB; at += MIB) { /* 4 KiB of each page: all of that fits */
        uint64_t r = fake_read(&k, id, at, 4096);
        fake_answer_read(&k);
        fake_expect_bytes(&k, r, at, 4096, 1);
    }
    CHECK_EQ(fake_stat(&k, "cache_used_bytes"), 64 * 4096);
    CHECK_EQ(fake_stat(&k, "pages_evicted"), 0);
    fake_end(&k);
}

/* Everything is held by fetches under way: further ones wait, and go on when one of those has ended. */
static void fetches_starve_when_all_is_pinned_and_are_fed_again(void)
{
    enum { MANY = 200 };
    struct ajf_options o = fake_options();
    struct ajf_fetch *held[MANY + 1];
    uint64_t ids[10], reads[MANY];
    char name[16];
    o.fetchers = 256;
    fake_start(&k, &o);
    for (unsigned i = 0; i < 10; i++) { /* one file alone may not have all fetchers */
        snprintf(name, sizeof name, "f%u", i);
        ids[i] = fake_find_and_open(&k, name, 8 * MIB, 1);
    }
    for (unsigned i = 0; i < MANY; i++) /* 25 MiB of 16 */
        reads[i] = fake_read(&k, ids[i % 10], i / 10 * 131072, 131072);
    CHECK(fake_is_parked(&k, reads[MANY - 1]));
    unsigned n = fake_fetch_all(&k, held, MANY + 1), served = 0;
    CHECK(n < MANY && n >= 16 * 8);
    CHECK(fake_stat(&k, "cache_used_bytes") <= o.cache_bytes + 4 * MIB);
    while (n) {
        serve(held[--n]);
        served++;
        n += fake_fetch_all(&k, held + n, MANY + 1 - n);
    }
    CHECK_EQ(served, MANY);
    for (unsigned i = 0; i < MANY; i++)
        fake_expect_bytes(&k, reads[i], i / 10 * 131072, 131072, 1);
    fake_end(&k);
}

/* Streams from more files than fit: prefetch is dropped, demand waits its turn, all arrives. */
static void more_streams_than_memory_all_arrive(void)
{
    enum { STREAMS = 30, STEPS = 64 };
    struct ajf_options o = fake_options();
    uint64_t ids[STREAMS], reads[STREAMS], most = 0;
    struct fake_reply reply;
    char name[16];
    o.prefetch_bytes = 8 * MIB;
    fake_start(&k, &o);
    for (unsigned i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof name, "f%u", i);
        ids[i] = fake_find_and_open(&k, name, 8 * MIB, 1);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        for (unsigned i = 0; i < STREAMS; i++)
            reads[i] = fake_read(&k, ids[i], step * UINT64_C(131072), 131072);
        for (unsigned i = 0; i < STREAMS; i++) {
            uint64_t used = serve_until(reads[i], &reply);
            CHECK_EQ(reply.error, 0);
            CHECK_EQ(reply.length, 131072);
            CHECK_EQ(reply.bytes[4095], fake_byte(step * UINT64_C(131072) + 4095, 1));
            free(reply.bytes);
            most = used > most ? used : most;
        }
    }
    CHECK(most <= o.cache_bytes + 4 * MIB);
    fake_end(&k);
}

static void thousands_of_small_files_share_the_budget(void)
{
    struct ajf_options o = fake_options();
    uint64_t most = 0;
    char name[16];
    fake_start(&k, &o);
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t size = 1 + i * 37 % 40000;
        snprintf(name, sizeof name, "f%u", i % 1500);
        uint64_t id = fake_find(&k, name, size, i + 1), opened = fake_open(&k, id);
        fake_answer_open(&k, 0, i + 1, size);
        fake_expect_error(&k, opened, 0);
        uint64_t r = fake_read(&k, id, 0, 65536);
        fake_answer_read(&k);
        fake_expect_bytes(&k, r, 0, size, i + 1);
        fake_release(&k, id);
        uint64_t used = fake_stat(&k, "cache_used_bytes");
        most = used > most ? used : most;
    }
    CHECK(most <= o.cache_bytes + o.cache_bytes / 10);
    CHECK(fake_stat(&k, "pages_evicted") > 0);
    fake_end(&k);
}

static void a_window_keeps_nothing_after_the_last_release(void)
{
    struct ajf_options o = fake_options();
    o.cache_enabled = false;
    fake_start(&k, &o);
    uint64_t id = fake_find_and_open(&k, "a", 3 * MIB, 1), r = fake_read(&k, id, 0, 65536);
    fake_answer_read(&k);
    fake_expect_bytes(&k, r, 0, 65536, 1);
    CHECK(fake_stat(&k, "cache_used_bytes") > 0);
    fake_release(&k, id);
    CHECK_EQ(fake_stat(&k, "cache_used_bytes"), 0);
    fake_answer_close(&k, 101);
    fake_end(&k);
}

int main(void)
{
    RUN(the_budget_is_kept_and_evicted_bytes_come_again);
    RUN(what_is_old_expires_unless_it_is_in_use);
    RUN(a_file_expires_with_the_first_of_its_pages);
    RUN(what_is_read_apart_is_charged_apart);
    RUN(fetches_starve_when_all_is_pinned_and_are_fed_again);
    RUN(more_streams_than_memory_all_arrive);
    RUN(thousands_of_small_files_share_the_budget);
    RUN(a_window_keeps_nothing_after_the_last_release);
    CHECK_END();
}
