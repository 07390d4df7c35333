/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transient window, where bytes lie on their way to the kernel when they are not cached: who gets room in it, and
 * what is taken out of it; against a kernel that the test plays (fake_kernel.h).
 */
#include <sched.h>

#include "check.h"
#include "fake_kernel.h"
#include "files/file.h"
#include "memory/pages_inside.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define WINDOW (16 * MIB)
#define READ (128 * KIB)
#define SIZE (64 * MIB)
#define FILES 8

static struct fake k;
static uint64_t fetched_to[256]; /* the end of the last fetch of a file, by its version */
static uint64_t fetched[256]; /* bytes, by version */
static unsigned out_of_order;

static void start_with(uint64_t window)
{
    struct ajf_options o = fake_options();
    o.cache_enabled = false;
    o.transient_bytes = window;
    o.prefetch_bytes = 32 * MIB;
    o.attr_timeout_ns = o.entry_timeout_ns = 3600 * AJF_NS_PER_S;
    fake_start(&k, &o);
    memset(fetched_to, 0, sizeof fetched_to);
    memset(fetched, 0, sizeof fetched);
    out_of_order = 0;
}

static void start(void)
{
    start_with(WINDOW);
}

static uint64_t open_file(unsigned version, uint64_t size)
{
    char name[8];
    snprintf(name, sizeof name, "f%u", version);
    return fake_find_and_open(&k, name, size, version);
}

/* Answers the fetches that are due; how many. */
static unsigned answer_all(void)
{
    struct ajf_fetch *f;
    uint32_t missing;
    unsigned count = 0;
    for (; !ajf_fetch_next(k.m, 0, &f, &missing); count++) {
        struct ajf_fetch_info info;
        ajf_fetch_info(f, &info);
        if (info.kind == AJF_FETCH_READ) {
            out_of_order += info.offset != fetched_to[info.version];
            fetched_to[info.version] = info.offset + info.length;
            fetched[info.version] += info.length;
            fake_fill(&info, 0, info.length);
        }
        CHECK_EQ(ajf_fetch_done(f, info.length), 0);
        ajf_fetch_release(f);
    }
    return count;
}

/* One read; how many fetches came of it. */
static unsigned read_at(uint64_t nodeid, uint64_t offset, unsigned version)
{
    struct fuse_getattr_in in = {0};
    uint64_t asked = fake_read(&k, nodeid, offset, READ);
    fake_expect_error(&k, fake_send(&k, FUSE_GETATTR, 999999, &in, sizeof in), ESTALE); /* so the read was seen */
    unsigned count = answer_all();
    fake_expect_bytes(&k, asked, offset, READ, version);
    return count;
}

static void prefetch_leaves_half_of_it_to_what_is_asked_for(void)
{
    start();
    for (unsigned i = 0; i < FILES; i++) {
        uint64_t file = open_file(i + 1, SIZE);
        for (uint64_t at = 0; at < 4 * READ; at += READ)
            read_at(file, at, i + 1);
    }
    CHECK_EQ(fake_stat(&k, "pages_evicted"), 0);
    for (unsigned i = 0; i < FILES; i++)
        CHECK(fetched_to[i + 1] >= MIB);
    CHECK_EQ(out_of_order, 0);
    fake_end(&k);
}

static void a_page_stays_until_all_of_it_was_read(void)
{
    start();
    uint64_t file = open_file(1, SIZE), other = open_file(2, SIZE);
    read_at(file, 0, 1); /* and more of it came */
    for (uint64_t at = 0; at < WINDOW - 3 * MIB; at += READ) /* here and there, so nothing else comes */
        read_at(other, (at * 5 + 7 * READ) % SIZE, 2);
    read_at(file, MIB - READ, 1); /* and the next MiB */
    for (uint64_t at = WINDOW - 3 * MIB; at < WINDOW; at += READ)
        read_at(other, (at * 5 + 7 * READ) % SIZE, 2);
    CHECK(fake_stat(&k, "pages_evicted") > 0);
    for (uint64_t at = READ; at < MIB - READ; at += READ)
        CHECK_EQ(read_at(file, at, 1), 0);
    fake_end(&k);
}

static void what_found_no_room_comes_before_what_is_behind_it(void)
{
    static const uint64_t sizes[] = {SIZE, 9 * MIB / 8, 9 * MIB / 8, 9 * MIB / 8, 9 * MIB / 8, 9 * MIB / 8};
    start();
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        read_at(open_file(i + 1, sizes[i]), 0, i + 1);
    CHECK_EQ(fake_stat(&k, "cache_used_bytes"), 53 * MIB / 8); /* which stays unread */
    uint64_t file = open_file(7, 9 * MIB / 4);
    CHECK_EQ(read_at(file, 0, 7), 1);    /* a page, and there is no room for the next one, */
    CHECK_EQ(read_at(file, READ, 7), 0); /* but there would be for the last one, which is short */
    for (uint64_t at = 2 * READ; at < 9 * MIB / 4; at += READ)
        read_at(file, at, 7);
    CHECK_EQ(out_of_order, 0);
    fake_end(&k);
}

/* Bytes that come ahead of one who reads a file from its start to its end. */
static uint64_t stream(unsigned version)
{
    uint64_t file = open_file(version, SIZE), before = fake_stat(&k, "fetch_prefetch_bytes");
    for (uint64_t at = 0; at < SIZE; at += READ)
        read_at(file, at, version);
    return fake_stat(&k, "fetch_prefetch_bytes") - before;
}

/* Makes the bytes of a page look as if they had come long ago. */
static void grown_long_ago(struct ajf_file *file, uint64_t offset)
{
    struct ajf_page *page = ajf_page_at(&file->pages, offset);
    if (page)
        page->grown_ns = 0;
}

static void what_nobody_has_come_for_gives_its_room_back(void)
{
    enum { LEFT = 8 };
    uint64_t left[LEFT];
    start();
    for (unsigned i = 0; i < LEFT; i++)
        left[i] = open_file(i + 1, SIZE);
    for (unsigned i = 0; i < LEFT; i++)
        for (uint64_t at = 0; at < 4 * READ; at += READ)
            read_at(left[i], at, i + 1);
    CHECK_EQ(stream(LEFT + 1), 0);
    for (unsigned i = 0; i < LEFT; i++) { /* as if it had been long ago */
        struct ajf_file *file = k.m->files.by_node[left[i]];
        for (uint64_t at = 0; at < SIZE; at += MIB)
            grown_long_ago(file, at);
        if (i) /* but the first reader is still there, though slowly */
            file->read_ns = 0;
    }
    CHECK(stream(LEFT + 2) > SIZE / 2);
    CHECK_EQ(out_of_order, 0);
    fake_end(&k);
}

/* A READ over two pages, of which one is there: it needs both at once. */
static void a_page_stays_while_a_read_waits_for_the_next_one(void)
{
    struct ajf_fetch_info info;
    start();
    uint64_t id = open_file(1, SIZE);
    for (uint64_t at = 0; at < 4 * READ; at += READ)
        read_at(id, at, 1);
    uint64_t end = fetched_to[1], asked = fake_read(&k, id, end - READ / 2, READ);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info);
    CHECK_EQ(info.offset, end);
    struct ajf_file *file = k.m->files.by_node[id];
    for (uint64_t at = 0; at < SIZE; at += MIB) /* it waits for long */
        grown_long_ago(file, at);
    file->read_ns = 0;
    /* Other files, with more to come than there is room for. */
    for (unsigned version = 2; version < 2 + 2 * FILES; version++) {
        uint64_t other = open_file(version, SIZE);
        for (uint64_t at = 0; at < 4 * READ; at += READ)
            read_at(other, at, version);
    }
    uint64_t before = fetched[1];
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
    answer_all();
    fake_expect_bytes(&k, asked, end - READ / 2, READ, 1);
    CHECK_EQ(fetched[1], before);
    fake_end(&k);
}

static uint64_t resident(int fd)
{
    struct stat st;
    NEED(!fstat(fd, &st));
    return (uint64_t)st.st_blocks * 512;
}

/* Files of several lengths, longer than the window together. */
static void stream_many(unsigned first)
{
    static const uint64_t sizes[] = {SIZE, SIZE - 3 * READ, 5 * MIB + READ, 40 * MIB};
    for (unsigned version = first; version < first + 4; version++) {
        uint64_t size = sizes[version % 4], file = open_file(version, size);
        for (uint64_t at = 0; at < size; at += READ)
            read_at(file, at, version);
        fake_release(&k, file);
        answer_all(); /* its CLOSE */
    }
    CHECK_EQ(out_of_order, 0);
}

static void let_it_rest_after(uint64_t rests_ns)
{
    struct ajf_cache *c = &k.m->cache;
    pthread_mutex_lock(&c->lock);
    c->rests_ns = rests_ns;
    uint64_t at_ns = c->rest.at_ns == AJF_FOREVER ? AJF_FOREVER : c->frames.laid_ns + rests_ns;
    ajf_alarm_set(&c->rest, at_ns);
    pthread_mutex_unlock(&c->lock);
}

static void memory_is_handed_on(void)
{
    start_with(64 * MIB);
    struct ajf_cache *c = &k.m->cache;
    let_it_rest_after(3600 * AJF_NS_PER_S);
    stream_many(1);
    CHECK_EQ(fake_stat(&k, "cache_used_bytes"), 0);
    if (c->store.huge) {
        uint64_t spare = c->frames.n_spare * c->page_bytes;
        CHECK(spare > 0);
        CHECK_EQ(resident(c->frames.memory.fd), spare);
        CHECK(spare <= c->limit);
        ajf_trash_dispose(ajf_cache_rest(k.m));
        CHECK_EQ(c->frames.n_spare * c->page_bytes, spare); /* it was used less than an hour ago */
        let_it_rest_after(0);
        uint64_t until = ajf_deadline_ns(FAKE_WAIT_MS);
        while (c->rest.at_ns != AJF_FOREVER && ajf_now_ns() < until)
            sched_yield();
        CHECK(c->rest.at_ns == AJF_FOREVER);
        CHECK_EQ(resident(c->frames.memory.fd), 0);
        stream_many(5);
    }
    fake_end(&k);
}

/* Single reads where pages have gone do not end in frames that others have by now. */
static void a_place_that_lost_its_frame_is_the_files_own_again(void)
{
    start_with(64 * MIB);
    uint64_t file = open_file(1, 2 * SIZE), other = open_file(2, 2 * SIZE);
    for (uint64_t at = 0; at < 2 * SIZE; at += READ)
        read_at(file, at, 1);
    for (uint64_t at = 0; at < 2 * SIZE; at += READ) {
        read_at(other, at, 2);
        read_at(file, (at * 37 + 5 * READ) % (2 * SIZE), 1);
    }
    CHECK(fake_stat(&k, "pages_evicted") > 0);
    fake_end(&k);
}

static void end_all(struct ajf_fetch **held, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct ajf_fetch_info info;
        ajf_fetch_info(held[i], &info);
        if (info.kind == AJF_FETCH_READ)
            fake_fill(&info, 0, info.length);
        CHECK_EQ(ajf_fetch_done(held[i], info.kind == AJF_FETCH_READ ? info.length : 0), 0);
        ajf_fetch_release(held[i]);
    }
}

/* What is asked for at once may go beyond the window, and leaves no more than that behind. */
static void what_is_spare_fits_into_the_window(void)
{
    enum { MANY = 36 };
    uint64_t file[MANY], asked[MANY];
    struct ajf_fetch *held[2 * MANY];
    unsigned count;
    start_with(64 * MIB);
    struct ajf_cache *c = &k.m->cache;
    for (unsigned i = 0; i < MANY; i++)
        file[i] = open_file(i + 1, 4 * MIB);
    for (unsigned i = 0; i < MANY; i++)
        asked[i] = fake_read(&k, file[i], 0, READ);
    CHECK(fake_is_parked(&k, asked[MANY - 1]));
    count = fake_fetch_all(&k, held, 2 * MANY);
    CHECK(c->used > c->limit || !c->store.huge);
    end_all(held, count);
    while ((count = fake_fetch_all(&k, held, 2 * MANY)))
        end_all(held, count);
    for (unsigned i = 0; i < MANY; i++) {
        fake_expect_bytes(&k, asked[i], 0, READ, i + 1);
        fake_release(&k, file[i]);
    }
    answer_all(); /* CLOSE */
    CHECK_EQ(c->used, 0);
    CHECK(c->frames.n_spare * c->page_bytes <= c->limit);
    fake_end(&k);
}

/* What is spare gives way to small files, which lie elsewhere. */
static void spare_memory_is_part_of_the_budget(void)
{
    start_with(64 * MIB);
    struct ajf_cache *c = &k.m->cache;
    stream_many(1);
    for (unsigned i = 1; i <= 120; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%u", i);
        uint64_t file = fake_find_and_open(&k, name, MIB / 2 + READ, 100 + i);
        read_at(file, 0, 100 + i);
        answer_all();
        CHECK(fake_stat(&k, "cache_used_bytes") + c->frames.n_spare * c->page_bytes <= c->limit + c->overflow);
    }
    fake_end(&k);
}

int main(void)
{
    RUN(prefetch_leaves_half_of_it_to_what_is_asked_for);
    RUN(a_page_stays_until_all_of_it_was_read);
    RUN(a_page_stays_while_a_read_waits_for_the_next_one);
    RUN(what_found_no_room_comes_before_what_is_behind_it);
    RUN(what_nobody_has_come_for_gives_its_room_back);
    RUN(memory_is_handed_on);
    RUN(a_place_that_lost_its_frame_is_the_files_own_again);
    RUN(what_is_spare_fits_into_the_window);
    RUN(spare_memory_is_part_of_the_budget);
    CHECK_END();
}
