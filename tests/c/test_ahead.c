/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files that are fetched before they are asked for (ahead.h), and listings that nobody asked for
 * (ajf_offer_list), against a kernel that the test plays (fake_kernel.h).
 */
#include "check.h"
#include "fake_kernel.h"
#include "files/file.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define FILES 100
#define SIZE 10000

static struct fake k;

static struct ajf_options options(void)
{
    struct ajf_options o = fake_options();
    o.cache_enabled = false;
    o.prefetch_bytes = 32 * MIB;
    o.attr_timeout_ns = o.entry_timeout_ns = o.negative_timeout_ns = 3600 * AJF_NS_PER_S;
    return o;
}

/* Their inode numbers: in the order of their names, or of other_order. */
static bool numbered_otherwise;

static unsigned other_order(unsigned i)
{
    return i * 37 % FILES;
}

/* The root with files f00 to f99 of `size` bytes; their version is their number and 1. */
static int offer(uint64_t size, uint64_t age_ns)
{
    static struct ajf_entry entries[FILES];
    static char names[FILES * 3 + 1];
    for (unsigned i = 0; i < FILES; i++) {
        entries[i] = (struct ajf_entry){fake_attr(size, i + 1), i * 3, 3};
        entries[i].attr.ino = 1000 + i;
        snprintf(names + i * 3, 4, "f%02u", i);
    }
    for (unsigned i = 0; i < FILES && numbered_otherwise; i++)
        entries[other_order(i)].attr.ino = 1000 + i;
    return ajf_offer_list(k.m, "/", 1, entries, FILES, names, FILES * 3, age_ns);
}

static void start(const struct ajf_options *o, uint64_t size)
{
    fake_start(&k, o);
    ajf_open_lazily(k.m, MIB, 8); /* late, but nothing was asked yet */
    CHECK_EQ(offer(size, 0), 0);
}

struct opening {
    uint64_t nodeid, asked;
};

/* Looks a file up, which must need no fetch, and asks for it to be opened. */
static struct opening begin(unsigned number)
{
    char name[8];
    snprintf(name, sizeof name, "f%02u", number);
    uint64_t nodeid = fake_entry(&k, fake_lookup(&k, 1, name));
    CHECK(nodeid);
    return (struct opening){nodeid, fake_open(&k, nodeid)};
}

/* The number of the file of the next fetch, which is answered; -1 when there is none. */
static int answer_one(void)
{
    struct ajf_fetch *f;
    struct ajf_fetch_info info;
    uint32_t missing;
    if (ajf_fetch_next(k.m, 0, &f, &missing))
        return -1;
    ajf_fetch_info(f, &info);
    CHECK_EQ(info.kind, AJF_FETCH_READ);
    CHECK_EQ(info.handle, 0);
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
    return (int)info.version - 1;
}

/* Ends the opening, and reads the file, whose bytes are there then. */
static void finish(struct opening reader, unsigned number, uint32_t size)
{
    fake_expect_error(&k, reader.asked, 0);
    fake_expect_bytes(&k, fake_read(&k, reader.nodeid, 0, size), 0, size, number + 1);
}

/* Whether the open waits for the bytes of the file. */
static bool waits(struct opening reader)
{
    struct fake_reply r;
    struct fuse_getattr_in in = {0};
    fake_expect_error(&k, fake_send(&k, FUSE_GETATTR, 999999, &in, sizeof in), ESTALE);
    if (!fake_take(&k, reader.asked, &r))
        return true;
    fake_put_back(&k, r);
    return false;
}

/* Reads a file through; whether its bytes were there when it was opened. */
static bool read_file(unsigned number, uint32_t size)
{
    struct opening reader = begin(number);
    bool parked = waits(reader);
    if (parked)
        CHECK_EQ(answer_one(), number);
    finish(reader, number, size);
    fake_release(&k, reader.nodeid);
    while (answer_one() >= 0) {
    }
    return !parked;
}

static void a_listing_that_was_offered_answers_lookups(void)
{
    struct ajf_options o = options();
    start(&o, SIZE);
    uint64_t nodeid = fake_entry(&k, fake_lookup(&k, 1, "f42"));
    CHECK(nodeid);
    CHECK(fake_no_fetch(&k));
    uint64_t missing = fake_lookup(&k, 1, "missing"); /* what is not in it may exist all the same */
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    ajf_fetch_fail(f, ENOENT);
    ajf_fetch_release(f);
    CHECK_EQ(fake_entry(&k, missing), 0);
    fake_end(&k);
}

static void what_was_asked_before_something_changed_is_not_taken(void)
{
    struct ajf_options o = options();
    start(&o, SIZE);
    ajf_invalidate(k.m, "/", 1);
    CHECK_EQ(offer(SIZE, AJF_NS_PER_S), 0);
    fake_lookup(&k, 1, "f42");
    ajf_fetch_release(fake_fetch(&k, AJF_FETCH_STAT, NULL));
    CHECK_EQ(offer(SIZE, 0), 0);
    CHECK(fake_entry(&k, fake_lookup(&k, 1, "f43")));
    fake_end(&k);
}

static void what_is_offered_does_not_replace_what_is_newer(void)
{
    struct ajf_options o = options();
    start(&o, SIZE);
    CHECK_EQ(offer(2 * SIZE, AJF_NS_PER_S), 0);
    struct opening reader = begin(7);
    fake_answer_read(&k);
    finish(reader, 7, SIZE); /* as long as the newer listing says */
    fake_end(&k);
}

static void what_is_malformed_or_nowhere_is_refused(void)
{
    struct ajf_options o = options();
    struct ajf_entry entry = {fake_attr(1, 1), 5, 9};
    start(&o, SIZE);
    CHECK_EQ(ajf_offer_list(k.m, "/", 1, &entry, 1, "name", 4, 0), -EINVAL);
    CHECK_EQ(ajf_offer_list(k.m, "/nowhere", 8, NULL, 0, "", 0, 0), -ENOENT);
    CHECK(fake_entry(&k, fake_lookup(&k, 1, "f01")));
    CHECK_EQ(ajf_offer_list(k.m, "/f01", 4, NULL, 0, "", 0, 0), -ENOENT); /* no directory */
    fake_end(&k);
    fake_start(&k, &o);
    fake_stop(&k);
    CHECK_EQ(offer(SIZE, 0), 0); /* nobody wants it any more */
    fake_end(&k);
}

/* Another thread has handed the file to a reader, and is about to tell the directory: the reader may have gone. */
static void a_file_that_a_reader_has_come_to_is_not_fetched_for_nobody(void)
{
    struct ajf_options o = options();
    start(&o, SIZE);
    struct ajf_ahead *a = &k.m->files.ahead;
    uint64_t nodeid = fake_entry(&k, fake_lookup(&k, 1, "f10"));
    pthread_mutex_lock(&k.m->cache.lock);
    a->coming[a->n_coming++] = (uint32_t)nodeid;
    ajf_cache_unlock(&k.m->cache);
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(read_file(i, SIZE), i > 2);
    CHECK(!read_file(10, SIZE));
    CHECK(read_file(11, SIZE));
    pthread_mutex_lock(&k.m->cache.lock);
    CHECK_EQ(a->n_coming, 1);
    a->n_coming = 0;
    ajf_cache_unlock(&k.m->cache);
    fake_end(&k);
}

static void files_in_order_are_there_before_they_are_asked_for(void)
{
    struct ajf_options o = options();
    unsigned there = 0;
    start(&o, SIZE);
    for (unsigned i = 0; i < FILES; i++)
        there += read_file(i, SIZE);
    CHECK(there >= FILES - 3);
    CHECK_EQ(fake_stat(&k, "fetch_read"), FILES); /* none twice */
    CHECK(fake_stat(&k, "fetch_prefetch_bytes") >= (FILES - 3) * SIZE);
    fake_end(&k);
}

static void in_the_client_cache_they_stay(void)
{
    struct ajf_options o = options();
    o.cache_enabled = true;
    start(&o, SIZE);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < FILES; i++)
            read_file(i, SIZE);
    CHECK_EQ(fake_stat(&k, "fetch_read"), FILES);
    fake_end(&k);
}

static void a_slow_reader_finds_them_too(void)
{
    struct ajf_options o = options();
    start(&o, SIZE);
    for (unsigned i = 0; i < 40; i++) {
        AJF_LIST_FOR(l, &k.m->files.ahead.files) /* a second a file */
            AJF_CONTAINER(l, struct ajf_file, ahead)->ahead_ns -= AJF_NS_PER_S;
        CHECK(read_file(i, SIZE) || i < 3);
    }
    fake_end(&k);
}

/* Every other entry is one that nobody reads. */
static void what_is_not_read_is_not_in_the_way(void)
{
    static struct ajf_entry entries[FILES];
    static char names[FILES * 3 + 1];
    struct ajf_options o = options();
    unsigned there = 0;
    fake_start(&k, &o);
    ajf_open_lazily(k.m, MIB, 8);
    for (unsigned i = 0; i < FILES; i++) {
        entries[i] = (struct ajf_entry){fake_attr(i % 2 ? 0 : SIZE, i + 1), i * 3, 3};
        snprintf(names + i * 3, 4, "f%02u", i);
    }
    CHECK_EQ(ajf_offer_list(k.m, "/", 1, entries, FILES, names, FILES * 3, 0), 0);
    for (unsigned i = 0; i < FILES; i += 2)
        there += read_file(i, SIZE);
    CHECK(there >= FILES / 2 - 3);
    CHECK_EQ(fake_stat(&k, "fetch_read"), FILES / 2);
    fake_end(&k);
}

/* As cp -r reads, and find and grep -r large directories. */
static void files_in_the_order_of_their_inode_numbers_are_there_too(void)
{
    struct ajf_options o = options();
    unsigned there = 0;
    numbered_otherwise = true;
    start(&o, SIZE);
    numbered_otherwise = false;
    for (unsigned i = 0; i < FILES; i++)
        there += read_file(other_order(i), SIZE);
    CHECK(there >= FILES - 8); /* four until the order is looked for, three until it is found */
    CHECK_EQ(fake_stat(&k, "fetch_read"), FILES);
    /* The order of names is noticed as before. */
    fake_end(&k);
    numbered_otherwise = true;
    start(&o, SIZE);
    numbered_otherwise = false;
    for (unsigned i = there = 0; i < FILES; i++)
        there += read_file(i, SIZE);
    CHECK(there >= FILES - 3);
    fake_end(&k);
}

static void in_no_order_nothing_is_fetched_ahead(void)
{
    static const unsigned order[] = {50, 3, 97, 20, 75, 0, 40};
    struct ajf_options o = options();
    start(&o, SIZE);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        CHECK(!read_file(order[i], SIZE));
    CHECK_EQ(fake_stat(&k, "fetch_read"), sizeof order / sizeof *order);
    fake_end(&k);
}

static void nothing_is_where_prefetch_is_off(void)
{
    struct ajf_options o = options();
    o.prefetch_bytes = 0;
    start(&o, SIZE);
    for (unsigned i = 0; i < 10; i++)
        CHECK(!read_file(i, SIZE));
    fake_end(&k);
}

static void a_reader_that_comes_early_waits_for_what_is_on_its_way(void)
{
    struct ajf_options o = options();
    struct ajf_fetch_info info;
    start(&o, SIZE);
    for (unsigned i = 0; i < 2; i++)
        read_file(i, SIZE);
    struct opening reader = begin(2);
    CHECK(waits(reader));
    CHECK_EQ(answer_one(), 2); /* who waits comes first */
    finish(reader, 2, SIZE);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, &info); /* f03 is on its way */
    CHECK_EQ(info.version, 4);
    CHECK_EQ(info.lane, AJF_LANE_AHEAD);
    struct opening next = begin(3), far = begin(30);
    CHECK(waits(next));
    CHECK(waits(far));
    CHECK_EQ(answer_one(), 30); /* it was queued: now somebody waits for it */
    finish(far, 30, SIZE);
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
    finish(next, 3, SIZE);
    fake_end(&k);
}

static void one_that_cannot_be_fetched_is_left_to_its_reader(void)
{
    struct ajf_options o = options();
    start(&o, SIZE);
    for (unsigned i = 0; i < 2; i++)
        read_file(i, SIZE);
    struct opening reader = begin(2);
    CHECK(waits(reader));
    CHECK_EQ(answer_one(), 2);
    finish(reader, 2, SIZE);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, EIO);
    ajf_fetch_release(f);
    while (answer_one() >= 0) {
    }
    struct opening next = begin(3);
    CHECK(waits(next));
    CHECK_EQ(answer_one(), 3);
    finish(next, 3, SIZE);
    fake_end(&k);
}

static void only_so_much_is_there_for_nobody(void)
{
    struct ajf_options o = options();
    o.transient_bytes = 64 * MIB; /* of which a quarter */
    start(&o, MIB);
    for (unsigned i = 0; i < 3; i++) {
        struct opening reader = begin(i);
        CHECK(waits(reader));
        answer_one();
        finish(reader, i, 128 * KIB);
        fake_release(&k, reader.nodeid);
    }
    int fetched = 0;
    while (answer_one() >= 0)
        fetched++;
    CHECK(fetched >= 8);
    CHECK(fetched <= 16);
    CHECK_EQ(k.m->files.ahead.bytes, (uint64_t)fetched * MIB);
    CHECK(fake_stat(&k, "cache_used_bytes") <= 24 * MIB);
    fake_end(&k);
}

static void the_end_comes_while_they_are_on_their_way(void)
{
    struct ajf_options o = options();
    start(&o, SIZE);
    for (unsigned i = 0; i < 2; i++)
        read_file(i, SIZE);
    CHECK(waits(begin(2)));
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL), *g = fake_fetch(&k, AJF_FETCH_READ, NULL);
    fake_stop(&k);
    ajf_fetch_done(f, SIZE);
    ajf_fetch_release(f);
    ajf_fetch_release(g);
    fake_end(&k);
}

int main(void)
{
    RUN(a_listing_that_was_offered_answers_lookups);
    RUN(what_was_asked_before_something_changed_is_not_taken);
    RUN(what_is_offered_does_not_replace_what_is_newer);
    RUN(what_is_malformed_or_nowhere_is_refused);
    RUN(a_file_that_a_reader_has_come_to_is_not_fetched_for_nobody);
    RUN(files_in_order_are_there_before_they_are_asked_for);
    RUN(in_the_client_cache_they_stay);
    RUN(a_slow_reader_finds_them_too);
    RUN(what_is_not_read_is_not_in_the_way);
    RUN(files_in_the_order_of_their_inode_numbers_are_there_too);
    RUN(in_no_order_nothing_is_fetched_ahead);
    RUN(nothing_is_where_prefetch_is_off);
    RUN(a_reader_that_comes_early_waits_for_what_is_on_its_way);
    RUN(one_that_cannot_be_fetched_is_left_to_its_reader);
    RUN(only_so_much_is_there_for_nobody);
    RUN(the_end_comes_while_they_are_on_their_way);
    CHECK_END();
}
