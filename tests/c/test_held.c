/* SPDX-License-Identifier: Apache-2.0 */
/* READs of files that the kernel has opened without asking (held.h), against a kernel that the test plays. */
#include <sys/mman.h>

#include "check.h"
#include "fake_kernel.h"
#include "files/held.h"

#define SIZE 10000
#define LARGE (4u << 20)
#define LONG (86400 * AJF_NS_PER_S)
#define MIB (UINT64_C(1) << 20)

static struct fake k;

static struct ajf_options options(bool cached)
{
    struct ajf_options o = fake_options();
    o.asks_no_open = true;
    o.cache_mode = AJF_CACHE_KERNEL;
    o.cache_enabled = cached;
    o.attr_timeout_ns = o.entry_timeout_ns = 3600 * AJF_NS_PER_S;
    return o;
}

static void begin(const struct ajf_options *o)
{
    fake_start(&k, o);
    k.m->files.held.hold_ns = LONG; /* until the test says so */
}

/* Small files are opened lazily. */
static void start(bool cached)
{
    struct ajf_options o = options(cached);
    begin(&o);
    ajf_open_lazily(k.m, MIB, 8);
}

static uint32_t n_held(void)
{
    pthread_mutex_lock(&k.m->cache.lock);
    uint32_t n = k.m->files.held.n;
    ajf_cache_unlock(&k.m->cache);
    return n;
}

static bool has_state(uint64_t nodeid)
{
    pthread_mutex_lock(&k.m->cache.lock);
    bool has = ajf_file_of_locked(k.m, nodeid) != NULL;
    ajf_cache_unlock(&k.m->cache);
    return has;
}

/* So long that nobody reads what is held any more. */
static void the_alarm_rings(void)
{
    pthread_mutex_lock(&k.m->cache.lock);
    AJF_LIST_FOR(l, &k.m->files.held.files)
        AJF_CONTAINER(l, struct ajf_file, held)->held_ns -= LONG;
    ajf_cache_unlock(&k.m->cache);
    ajf_trash_dispose(k.m->files.held.rest.ring(k.m));
}

/* The next request is answered after the thread that answered the one before has put its file away. */
static void settled(void)
{
    fake_expect_error(&k, fake_open(&k, AJF_ROOT), ENOSYS);
}

static struct ajf_extent lent(uint64_t length)
{
    int fd = memfd_create("lent", MFD_CLOEXEC);
    NEED(fd >= 0);
    for (uint64_t i = 0; i < length; i++) {
        uint8_t byte = fake_byte(i, 1);
        NEED(pwrite(fd, &byte, 1, (off_t)i) == 1);
    }
    return (struct ajf_extent){fd, 0, length};
}

static void lend(uint64_t length)
{
    const struct ajf_extent extent = lent(length);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    CHECK_EQ(ajf_fetch_opened(f, 0, 1, length, &extent, 1), 0);
    ajf_fetch_release(f);
}

static void an_open_is_no_function(void)
{
    start(false);
    uint64_t id = fake_find(&k, "a", SIZE, 1);
    fake_expect_error(&k, fake_open(&k, id), ENOSYS);
    struct fuse_open_in in = {.flags = O_RDWR};
    fake_expect_error(&k, fake_send(&k, FUSE_OPEN, id, &in, sizeof in), EROFS);
    CHECK(fake_no_fetch(&k));
    CHECK(!has_state(id));
    fake_end(&k);
}

static void a_small_file_is_kept_until_it_is_handed_over(void)
{
    start(false);
    uint64_t id = fake_find(&k, "a", SIZE, 1);
    for (unsigned times = 1; times <= 2; times++) {
        uint64_t first = fake_read(&k, id, 0, 4096);
        fake_answer_read(&k);
        fake_expect_bytes(&k, first, 0, 4096, 1);
        CHECK_EQ(n_held(), 1);
        fake_expect_bytes(&k, fake_read(&k, id, 4096, 8192), 4096, SIZE - 4096, 1);
        settled();
        CHECK_EQ(n_held(), 0);
        CHECK(!has_state(id)); /* nothing caches here, and the kernel has it */
        CHECK_EQ(fake_stat(&k, "open_by_read"), times);
    }
    fake_end(&k);
}

static void with_a_client_cache_its_bytes_stay(void)
{
    start(true);
    uint64_t id = fake_find(&k, "a", SIZE, 1), asked = fake_read(&k, id, 0, 65536);
    fake_answer_read(&k);
    fake_expect_bytes(&k, asked, 0, SIZE, 1);
    CHECK_EQ(n_held(), 0);
    fake_expect_bytes(&k, fake_read(&k, id, 0, 65536), 0, SIZE, 1); /* the kernel has lost it */
    settled();
    CHECK_EQ(n_held(), 0);
    CHECK(fake_no_fetch(&k));
    fake_end(&k);
}

static void a_lent_file_is_given_back_when_it_was_read(void)
{
    struct ajf_options o = options(false);
    begin(&o);
    uint64_t id = fake_find(&k, "a", SIZE, 1);
    uint64_t first = fake_read(&k, id, 0, 4096), second = fake_read(&k, id, 4096, 65536);
    lend(SIZE);
    fake_expect_bytes(&k, first, 0, 4096, 1);
    fake_expect_bytes(&k, second, 4096, SIZE - 4096, 1);
    settled();
    CHECK_EQ(fake_stat(&k, "backings_born"), 1);
    CHECK_EQ(fake_stat(&k, "backings_died"), 1);
    first = fake_read(&k, id, 0, 4096);
    lend(SIZE);
    fake_expect_bytes(&k, first, 0, 4096, 1);
    fake_expect_bytes(&k, fake_read(&k, id, 4096, 4096), 4096, 4096, 1); /* without another OPEN */
    CHECK_EQ(n_held(), 1);
    the_alarm_rings();
    CHECK_EQ(n_held(), 0);
    CHECK_EQ(fake_stat(&k, "backings_died"), 2);
    fake_end(&k);
}

static void a_file_of_the_source_is_closed_when_nobody_reads_it(void)
{
    struct ajf_fetch_info info;
    start(false);
    uint64_t id = fake_find(&k, "a", LARGE, 1), asked = fake_read(&k, id, 0, 4096);
    fake_answer_open(&k, 7, 1, LARGE);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    CHECK_EQ(info.handle, 7);
    the_alarm_rings(); /* a reader waits for it */
    CHECK_EQ(n_held(), 1);
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
    fake_expect_bytes(&k, asked, 0, 4096, 1);
    CHECK(fake_no_fetch(&k));
    the_alarm_rings();
    fake_answer_close(&k, 7);
    CHECK(!has_state(id));
    fake_end(&k);
}

static void one_that_cannot_be_opened_is_asked_for_again(void)
{
    struct ajf_options o = options(false);
    begin(&o);
    uint64_t id = fake_find(&k, "a", SIZE, 1);
    for (int i = 0; i < 2; i++) {
        uint64_t asked = fake_read(&k, id, 0, 4096);
        struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
        ajf_fetch_fail(f, EIO);
        ajf_fetch_release(f);
        fake_expect_error(&k, asked, EIO);
        settled();
        CHECK_EQ(n_held(), 0);
        CHECK(!has_state(id));
    }
    fake_end(&k);
}

static void another_version_is_never_mixed_in(void)
{
    start(false);
    uint64_t id = fake_find(&k, "a", SIZE, 1), asked = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, ESTALE);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, EIO);
    the_alarm_rings();
    fake_expect_error(&k, fake_read(&k, id, 0, 4096), ESTALE); /* its name means another file by now */
    CHECK(fake_no_fetch(&k));
    uint64_t fresh = fake_find(&k, "a", SIZE, 2);
    CHECK(fresh != id);
    asked = fake_read(&k, fresh, 0, 65536);
    fake_answer_read(&k);
    fake_expect_bytes(&k, asked, 0, SIZE, 2);
    fake_end(&k);
}

/* One with a handle: its OPEN was right. */
static void a_large_file_that_was_replaced_fails_once(void)
{
    start(false);
    uint64_t id = fake_find(&k, "a", LARGE, 1), asked = fake_read(&k, id, 0, 4096);
    fake_answer_open(&k, 7, 1, LARGE);
    fake_answer_read(&k);
    fake_expect_bytes(&k, asked, 0, 4096, 1);
    asked = fake_read(&k, id, 3u << 20, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, ESTALE);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, EIO);
    fake_notified(&k, &k.n_expired, 1); /* the name means another file by now */
    fake_answer_close(&k, 7);
    CHECK_EQ(n_held(), 0);
    fake_expect_error(&k, fake_read(&k, id, 0, 4096), ESTALE);
    fake_end(&k);
}

/* Those that came with them may be with the kernel already: it is to drop them. */
static void bytes_that_turn_out_to_be_wrong_are_dropped(void)
{
    struct ajf_fetch_info info;
    start(false);
    uint64_t id = fake_find(&k, "a", SIZE, 1), asked = fake_read(&k, id, 0, 4096);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_progress(f, 8192), 0);
    fake_expect_bytes(&k, asked, 0, 4096, 1);
    the_alarm_rings();
    ajf_fetch_fail(f, EBADMSG);
    ajf_fetch_release(f);
    while (k.dropped != id && fake_receive(&k, FAKE_WAIT_MS))
        ;
    CHECK_EQ(k.dropped, id);
    fake_end(&k);
}

static void a_fetch_that_is_lost_is_replaced(void)
{
    start(false);
    uint64_t id = fake_find(&k, "a", SIZE, 1), asked = fake_read(&k, id, 0, 4096);
    struct ajf_fetch_info info;
    struct ajf_fetch *hangs = fake_fetch(&k, AJF_FETCH_READ, &info);
    fake_time_passes(&k);
    fake_expect_error(&k, asked, EIO);
    asked = fake_read(&k, id, 0, 65536);
    struct ajf_fetch *opens = fake_fetch(&k, AJF_FETCH_OPEN, NULL); /* as any file that takes the place of another */
    CHECK_EQ(ajf_fetch_opened(opens, 0, 1, SIZE, NULL, 0), 0);
    ajf_fetch_release(opens);
    fake_answer_read(&k);
    fake_expect_bytes(&k, asked, 0, SIZE, 1);
    CHECK_EQ(n_held(), 0);
    ajf_fetch_fail(hangs, EIO);
    ajf_fetch_release(hangs);
    fake_end(&k);
}

static void many_are_held_and_no_more(void)
{
    struct ajf_options o = options(false);
    char name[16];
    begin(&o);
    ajf_open_lazily(k.m, MIB, 0);
    for (unsigned i = 0; i < AJF_HELD_MOST + 10; i++) {
        snprintf(name, sizeof name, "f%u", i);
        uint64_t asked = fake_read(&k, fake_find(&k, name, 2 * SIZE, 1), 0, 4096);
        fake_answer_read(&k);
        fake_expect_bytes(&k, asked, 0, 4096, 1);
    }
    CHECK_EQ(n_held(), AJF_HELD_MOST);
    fake_end(&k);
}

int main(void)
{
    RUN(an_open_is_no_function);
    RUN(a_small_file_is_kept_until_it_is_handed_over);
    RUN(with_a_client_cache_its_bytes_stay);
    RUN(a_lent_file_is_given_back_when_it_was_read);
    RUN(a_file_of_the_source_is_closed_when_nobody_reads_it);
    RUN(one_that_cannot_be_opened_is_asked_for_again);
    RUN(another_version_is_never_mixed_in);
    RUN(a_large_file_that_was_replaced_fails_once);
    RUN(bytes_that_turn_out_to_be_wrong_are_dropped);
    RUN(a_fetch_that_is_lost_is_replaced);
    RUN(many_are_held_and_no_more);
    CHECK_END();
}
