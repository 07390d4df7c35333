/* SPDX-License-Identifier: Apache-2.0 */
/* Listings (dir.h), as a kernel that the test plays sees them: order, offsets, names, snapshots, what may be cached. */
#include <sched.h>

#include "check.h"
#include "fake_dir.h"

#define MANY 100000

static void entries_come_sorted_by_bytes_behind_the_dots(void)
{
    static const char *const want[] = {".", "..", "A", "a", "a!", "aaaaaaaaa", "aaaaaaaab", "ab", "b", "\xff\xfe"};
    struct ajf_options o = fake_options();
    struct source_list l = {0};
    struct seen seen[20];
    static const unsigned order[] = {5, 9, 2, 7, 3, 8, 4, 6};
    for (unsigned i = 0; i < 8; i++)
        list_add_text(&l, want[order[i]], 100 + order[i]);
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    CHECK_EQ(read_all(&d, 4096, false, seen, 20), 10);
    for (unsigned i = 0; i < 10; i++) {
        CHECK(!strcmp(seen[i].name, want[i]));
        CHECK_EQ(seen[i].offset, i + 1);
        CHECK(i < 2 || seen[i].ino == 100 + i);
    }
    close_dir(&d);
    list_free(&l);
    fake_end(&k);
}

static void impossible_names_are_left_out_and_the_first_of_equals_wins(void)
{
    struct ajf_options o = fake_options();
    struct source_list l = {0};
    struct seen seen[20];
    char longest[AJF_NAME_MAX + 1];
    memset(longest, 'z', sizeof longest);
    list_add_text(&l, "good", 1);
    list_add_text(&l, "good", 2);
    list_add_text(&l, "", 3);
    list_add_text(&l, ".", 4);
    list_add_text(&l, "..", 5);
    list_add_text(&l, "a/b", 6);
    list_add(&l, "a\0b", 3, 7);
    list_add(&l, longest, AJF_NAME_MAX + 1, 8);
    list_add(&l, longest, AJF_NAME_MAX, 9);
    list_add_text(&l, "...", 10);
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    CHECK_EQ(read_all(&d, 4096, true, seen, 20), 5);
    CHECK(!strcmp(seen[2].name, "...") && !strcmp(seen[3].name, "good"));
    CHECK_EQ(seen[4].len, AJF_NAME_MAX);
    CHECK_EQ(seen[4].ino, 9);
    CHECK_EQ(seen[3].ino, 1);
    close_dir(&d);
    list_free(&l);
    fake_end(&k);
}

static void an_empty_directory_has_its_dots(void)
{
    struct ajf_options o = fake_options();
    struct source_list l = {0};
    struct seen seen[4];
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l); /* no entries, no names: NULL and 0 */
    CHECK_EQ(read_all(&d, 4096, false, seen, 4), 2);
    CHECK_EQ(read_all(&d, 4096, true, seen, 4), 2);
    close_dir(&d);
    fake_end(&k);
}

static void pages_of_any_size_give_every_entry_once(void)
{
    struct ajf_options o = fake_options();
    struct source_list l = {0};
    static struct seen all[600], seen[600];
    char name[300];
    uint64_t random = 3, next;
    for (unsigned i = 0; i < 500; i++) {
        size_t len = (size_t)snprintf(name, sizeof name, "%05u", (unsigned)check_below(&random, 100000));
        for (size_t want = len + check_below(&random, 245); len < want; len++)
            name[len] = 'x';
        list_add(&l, name, len, i + 10);
    }
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    size_t n = read_all(&d, 65536, false, all, 600);
    CHECK(n > 490 && n <= 502);
    for (unsigned size = 512; size <= 16384; size = size * 3 / 2) {
        CHECK_EQ(read_all(&d, size, size % 2, seen, 600), n);
        for (size_t i = 0; i < n; i++)
            CHECK(!strcmp(seen[i].name, all[i].name) && seen[i].offset == all[i].offset);
    }
    for (unsigned i = 0; i < 200; i++) { /* seekdir: each offset means what it meant */
        size_t at = check_below(&random, n - 1);
        CHECK(read_dir(&d, all[at].offset, 512, false, seen, 600, &next) > 0);
        CHECK(!strcmp(seen[0].name, all[at + 1].name));
    }
    CHECK_EQ(read_dir(&d, all[n - 1].offset, 4096, false, seen, 600, &next), 0);
    CHECK_EQ(read_dir(&d, UINT32_MAX, 4096, false, seen, 600, &next), 0);
    CHECK_EQ(read_dir(&d, INT64_MAX, 4096, true, seen, 600, &next), 0);
    close_dir(&d);
    list_free(&l);
    fake_end(&k);
}

static void an_open_directory_stays_as_it_was(void)
{
    struct ajf_options o = fake_options(); /* timeouts 0: each open asks */
    struct source_list first = {0}, second = {0};
    struct seen seen[20];
    list_add_text(&first, "a", 1);
    list_add_text(&first, "b", 2);
    list_add_text(&second, "b", 2);
    list_add_text(&second, "c", 3);
    list_add_text(&second, "d", 4);
    fake_start(&k, &o);
    struct fuse_open_out d1 = open_dir(&first), d2 = open_dir(&second);
    CHECK_EQ(read_all(&d1, 4096, false, seen, 20), 4);
    CHECK(!strcmp(seen[2].name, "a"));
    CHECK_EQ(read_all(&d2, 4096, false, seen, 20), 5);
    CHECK(!strcmp(seen[2].name, "b"));
    close_dir(&d2);
    CHECK_EQ(read_all(&d1, 4096, false, seen, 20), 4);
    close_dir(&d1);
    uint64_t until = ajf_deadline_ns(FAKE_WAIT_MS); /* who answered the last READDIR may still be on his way out */
    while (fake_stat(&k, "listings_died") < 2 && ajf_now_ns() < until)
        sched_yield();
    CHECK_EQ(fake_stat(&k, "listings_died"), 2);
    list_free(&first);
    list_free(&second);
    fake_end(&k);
}

/* The kernel has one cache for all handles and finds its place by offset: it must not get entries of two states. */
static void the_kernel_caches_one_state_at_a_time(void)
{
    struct ajf_options o = long_lived();
    struct source_list first = {0}, second = {0};
    struct seen seen[20];
    list_add_text(&first, "a", 1);
    list_add_text(&first, "b", 2);
    list_add_text(&second, "b", 2);
    fake_start(&k, &o);
    struct fuse_open_out a = open_dir(&first);
    CHECK(is_cached(&a) && !keeps_cache(&a));
    struct fuse_open_out b = open_dir(NULL); /* unchanged: what is cached may stay */
    CHECK(is_cached(&b) && keeps_cache(&b));
    ajf_dirs_drop(&k.m->dirs, 1);
    struct fuse_open_out c = open_dir(&second); /* who knows what that will be, and the old state is still being read */
    CHECK(!is_cached(&c));
    CHECK(keeps_cache(&c)); /* and is left alone */
    struct fuse_open_out d = open_dir(NULL); /* that it is another one is known by now */
    CHECK(!is_cached(&d) && keeps_cache(&d));
    CHECK_EQ(read_all(&b, 4096, false, seen, 20), 4);
    close_dir(&a);
    close_dir(&b);
    struct fuse_open_out e = open_dir(NULL);
    CHECK(is_cached(&e) && !keeps_cache(&e));
    struct fuse_open_out early = open_dir(NULL); /* the kernel may not have dropped what it has, as `e` told it */
    CHECK(!is_cached(&early) && keeps_cache(&early));
    CHECK_EQ(read_all(&e, 4096, false, seen, 20), 3);
    struct fuse_open_out f = open_dir(NULL);
    CHECK(is_cached(&f) && keeps_cache(&f));
    close_dir(&c);
    close_dir(&d);
    close_dir(&e);
    close_dir(&f);
    close_dir(&early);
    list_free(&first);
    list_free(&second);
    fake_end(&k);
}

/* df, dirfd, cd, find -maxdepth 0 ... */
static void who_opens_a_directory_and_does_not_read_it_costs_nothing(void)
{
    struct ajf_options o = long_lived();
    struct source_list l = {0};
    list_add_text(&l, "a", 1);
    fake_start(&k, &o);
    for (int i = 0; i < 10; i++) {
        struct fuse_open_out d = take_seat();
        CHECK(is_cached(&d) && !keeps_cache(&d));
        close_dir(&d);
    }
    CHECK_EQ(fake_stat(&k, "fetch_list"), 0);
    struct fuse_open_out d = open_dir(&l);
    close_dir(&d);
    d = open_dir(NULL);
    CHECK(is_cached(&d) && keeps_cache(&d)); /* the second reader asks nobody */
    close_dir(&d);
    list_free(&l);
    fake_end(&k);
}

static void while_one_has_yet_to_read_others_neither_use_nor_fill_the_kernels_cache(void)
{
    struct ajf_options o = long_lived();
    struct source_list l = {0};
    struct seen seen[20];
    list_add_text(&l, "a", 1);
    fake_start(&k, &o);
    struct fuse_open_out a = take_seat(), b = open_dir(&l), c = open_dir(NULL);
    CHECK(is_cached(&a) && !keeps_cache(&a));
    CHECK(!is_cached(&b) && keeps_cache(&b));
    CHECK(!is_cached(&c) && keeps_cache(&c));
    CHECK_EQ(read_all(&c, 4096, true, seen, 20), 3);
    struct fuse_open_out d = open_dir(NULL);
    CHECK(!is_cached(&d));
    CHECK_EQ(read_all(&a, 4096, true, seen, 20), 3); /* what was listed meanwhile is good for it, too */
    struct fuse_open_out e = open_dir(NULL);
    CHECK(is_cached(&e) && keeps_cache(&e));
    close_dir(&a);
    close_dir(&b);
    close_dir(&c);
    close_dir(&d);
    close_dir(&e);
    list_free(&l);
    fake_end(&k);
}

/* Seats that read at the same time share the listing; each keeps it, whatever comes after. */
static void seats_share_a_listing_and_keep_it(void)
{
    struct ajf_options o = fake_options(); /* timeouts 0: it has expired before it is there */
    struct source_list first = {0}, second = {0};
    struct seen seen[20];
    list_add_text(&first, "a", 1);
    list_add_text(&second, "b", 2);
    list_add_text(&second, "c", 3);
    fake_start(&k, &o);
    struct fuse_open_out a = take_seat(), b = take_seat();
    struct fuse_read_in in = {.fh = a.fh, .size = 4096};
    uint64_t read_a = fake_send(&k, FUSE_READDIR, 1, &in, sizeof in);
    in.fh = b.fh;
    uint64_t read_b = fake_send(&k, FUSE_READDIRPLUS, 1, &in, sizeof in);
    CHECK(fake_is_parked(&k, read_a) && fake_is_parked(&k, read_b));
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_LIST, NULL);
    CHECK(fake_no_fetch(&k));
    CHECK_EQ(ajf_fetch_list(f, first.entries, first.n, first.names, first.names_len), 0);
    ajf_fetch_release(f);
    fake_expect_error(&k, read_a, 0);
    fake_expect_error(&k, read_b, 0);
    struct fuse_open_out c = open_dir(&second);
    CHECK_EQ(read_all(&c, 4096, false, seen, 20), 4);
    CHECK_EQ(read_all(&a, 4096, false, seen, 20), 3);
    CHECK_EQ(read_all(&b, 4096, true, seen, 20), 3);
    CHECK(!strcmp(seen[2].name, "a"));
    close_dir(&a);
    CHECK_EQ(read_all(&b, 4096, false, seen, 20), 3);
    close_dir(&b);
    close_dir(&c);
    list_free(&first);
    list_free(&second);
    fake_end(&k);
}

static void a_listing_that_fails_is_told_to_the_reader_and_asked_for_again(void)
{
    struct ajf_options o = long_lived();
    struct source_list l = {0};
    struct seen seen[20];
    list_add_text(&l, "a", 1);
    fake_start(&k, &o);
    struct fuse_open_out d = take_seat();
    struct fuse_read_in in = {.fh = d.fh, .size = 4096};
    uint64_t asked = fake_send(&k, FUSE_READDIR, 1, &in, sizeof in);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_LIST, NULL);
    ajf_fetch_fail(f, EACCES);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, EACCES);
    asked = fake_send(&k, FUSE_READDIR, 1, &in, sizeof in);
    f = fake_fetch(&k, AJF_FETCH_LIST, NULL);
    ajf_fetch_fail(f, ENOENT);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, ESTALE); /* of ENOENT the C library makes an empty directory */
    free(ask_dir(&d, 0, 4096, false, &l).bytes);
    CHECK_EQ(read_all(&d, 4096, false, seen, 20), 3);
    close_dir(&d);
    d = take_seat(); /* nobody has read through it when the session ends */
    list_free(&l);
    fake_end(&k);
}

/* With the names of the one before come LOOKUPs of each. */
static void the_kernel_reads_a_new_listing_anew(void)
{
    struct seen seen[20];
    struct ajf_options o = long_lived();
    struct source_list l = {0};
    list_add_text(&l, "a", 1);
    fake_start(&k, &o);
    struct fuse_open_out a = open_dir(&l);
    CHECK_EQ(read_all(&a, 4096, true, seen, 20), 3);
    struct fuse_open_out b = open_dir(NULL);
    CHECK(is_cached(&b) && keeps_cache(&b));
    close_dir(&a);
    close_dir(&b);
    ajf_dirs_drop(&k.m->dirs, 1); /* as when it expires */
    b = open_dir(&l);
    CHECK(is_cached(&b) && !keeps_cache(&b));
    CHECK_EQ(read_all(&b, 4096, true, seen, 20), 3);
    close_dir(&b);
    b = open_dir(NULL);
    CHECK(is_cached(&b) && keeps_cache(&b));
    close_dir(&b);
    list_free(&l);
    fake_end(&k);
}

/* Names that the kernel kept would each cost a look-up; so it reads them again, with attributes. */
static void a_listing_whose_files_the_kernel_has_forgotten_is_read_anew(void)
{
    struct ajf_options o = long_lived();
    struct source_list l = {0};
    struct seen seen[12];
    char name[20];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "f%u", i);
        list_add_text(&l, name, 1000 + i);
    }
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    CHECK_EQ(read_all(&d, 65536, true, seen, 12), 12);
    close_dir(&d);
    unsigned kept = 0; /* until so many are forgotten */
    for (unsigned forgotten = 1; forgotten <= 10; forgotten++) {
        ajf_inode_forget(&k.m->inodes, seen[1 + forgotten].nodeid, 1);
        d = open_dir(NULL);
        kept = keeps_cache(&d) && kept == forgotten - 1 ? forgotten : kept;
        close_dir(&d);
    }
    CHECK(kept >= 5 && kept < 10); /* not all that refers to the directory is one of its files */
    d = open_dir(NULL);
    CHECK_EQ(read_all(&d, 65536, true, seen, 12), 12);
    close_dir(&d);
    d = open_dir(NULL);
    CHECK(keeps_cache(&d));
    close_dir(&d);
    CHECK(fake_no_fetch(&k));
    list_free(&l);
    fake_end(&k);
}

static void one_listing_serves_opens_and_lookups_while_it_is_fresh(void)
{
    struct seen seen[200];
    struct ajf_options o = long_lived();
    struct source_list l = {0};
    char name[20];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "f%u", i * 7 % 100);
        list_add_text(&l, name, 1000 + i * 7 % 100);
    }
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    CHECK_EQ(read_all(&d, 65536, true, seen, 200), 102);
    close_dir(&d);
    d = open_dir(NULL);
    CHECK(keeps_cache(&d));
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "f%u", i);
        CHECK(fake_entry(&k, fake_lookup(&k, 1, name)) > 1);
    }
    CHECK_EQ(fake_entry(&k, fake_lookup(&k, 1, "f100")), 0); /* what is not listed is missing */
    CHECK_EQ(fake_entry(&k, fake_lookup(&k, 1, "e")), 0);
    CHECK(fake_no_fetch(&k));
    CHECK_EQ(fake_stat(&k, "fetch_stat"), 0);
    close_dir(&d);
    list_free(&l);
    fake_end(&k);
}

static void readdirplus_counts_lookups_and_forgetting_frees(void)
{
    struct ajf_options o = fake_options();
    struct source_list l = {0};
    static struct seen seen[300];
    char name[20];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "f%03u", i);
        list_add_text(&l, name, 1000 + i);
    }
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    CHECK_EQ(read_all(&d, 4096, true, seen, 300), 202);
    CHECK_EQ(fake_stat(&k, "inodes_born"), 200); /* not before an entry is handed out, and not for the dots */
    CHECK(!seen[0].nodeid && !seen[1].nodeid);
    for (unsigned i = 2; i < 202; i++)
        forget(seen[i].nodeid, 1);
    close_dir(&d);
    CHECK_EQ(fake_stat(&k, "inodes_died"), 200);
    list_free(&l);
    fake_end(&k);
}

/* A listing takes long; what a STAT learns meanwhile is newer than what the listing brings. */
static void a_slow_listing_does_not_overrule_a_newer_stat(void)
{
    struct ajf_options o = long_lived();
    struct source_list l = {0};
    struct fuse_read_in in = {.size = 4096};
    struct seen seen[8];
    list_add_text(&l, "a", 1); /* version 1 */
    fake_start(&k, &o);
    struct fuse_open_out d = take_seat();
    in.fh = d.fh;
    uint64_t asked = fake_send(&k, FUSE_READDIR, 1, &in, sizeof in);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_LIST, NULL);
    uint64_t new = fake_find(&k, "a", 20, 2);
    CHECK_EQ(ajf_fetch_list(f, l.entries, l.n, l.names, l.names_len), 0);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, 0);
    CHECK_EQ(read_all(&d, 4096, true, seen, 8), 3);
    CHECK_EQ(seen[2].nodeid, new);
    CHECK_EQ(fake_entry(&k, fake_lookup(&k, 1, "a")), new);
    close_dir(&d);
    list_free(&l);
    fake_end(&k);
}

static void an_older_listing_does_not_take_the_place_of_a_newer_one(void)
{
    struct ajf_options o = long_lived();
    struct source_list older = {0}, newer = {0};
    struct seen seen[8];
    list_add_text(&older, "a", 1);
    list_add_text(&newer, "a", 1);
    list_add_text(&newer, "b", 2);
    fake_start(&k, &o);
    struct fuse_open_out slow = take_seat();
    struct fuse_read_in in = {.fh = slow.fh, .size = 4096};
    uint64_t asked = fake_send(&k, FUSE_READDIR, 1, &in, sizeof in);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_LIST, NULL);
    struct fuse_open_out quick = open_dir(&newer);
    CHECK_EQ(read_all(&quick, 4096, false, seen, 8), 4);
    CHECK_EQ(ajf_fetch_list(f, older.entries, older.n, older.names, older.names_len), 0);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, 0);
    CHECK_EQ(read_all(&slow, 4096, false, seen, 8), 3);
    struct fuse_open_out next = open_dir(NULL);
    CHECK_EQ(read_all(&next, 4096, false, seen, 8), 4);
    CHECK(fake_entry(&k, fake_lookup(&k, 1, "b")));
    CHECK(fake_no_fetch(&k));
    close_dir(&slow);
    close_dir(&quick);
    close_dir(&next);
    list_free(&older);
    list_free(&newer);
    fake_end(&k);
}

static void a_directory_of_a_hundred_thousand_entries(void)
{
    struct ajf_options o = long_lived();
    struct source_list l = {0};
    struct seen *seen = malloc((MANY + 2) * sizeof *seen);
    char name[20];
    uint64_t random = 5;
    NEED(seen);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "file-%08x", (unsigned)(i * 2654435761u));
        list_add_text(&l, name, i + 10);
    }
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    CHECK_EQ(read_all(&d, 65536, true, seen, MANY + 2), MANY + 2);
    for (unsigned i = 3; i < MANY + 2; i++)
        CHECK(strcmp(seen[i - 1].name, seen[i].name) < 0);
    for (unsigned i = 0; i < 1000; i++) {
        const struct seen *s = &seen[2 + check_below(&random, MANY)];
        CHECK_EQ(fake_entry(&k, fake_lookup(&k, 1, s->name)), s->nodeid);
    }
    CHECK(fake_no_fetch(&k));
    close_dir(&d);
    free(seen);
    list_free(&l);
    fake_end(&k);
}

static uint64_t bytes_of_listings(void)
{
    pthread_mutex_lock(&k.m->dirs.lock);
    uint64_t bytes = k.m->dirs.bytes;
    pthread_mutex_unlock(&k.m->dirs.lock);
    return bytes;
}

static void handles_of_an_unchanged_directory_share_one_listing(void)
{
    struct ajf_options o = fake_options(); /* timeouts 0: each handle asks */
    struct source_list l = {0}, reversed = {0};
    struct fuse_open_out d[40];
    struct seen seen[1002];
    char name[20];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%06u", i);
        list_add_text(&l, name, i + 10);
        snprintf(name, sizeof name, "%06u", 999 - i);
        list_add_text(&reversed, name, 999 - i + 10);
    }
    fake_start(&k, &o);
    d[0] = open_dir(&l);
    uint64_t one = bytes_of_listings();
    CHECK(one > 1000 * sizeof *l.entries && one < 1000 * (sizeof *l.entries + 20));
    for (unsigned i = 1; i < 40; i++)
        d[i] = open_dir(i % 2 ? &reversed : &l);
    CHECK_EQ(fake_stat(&k, "listings_born"), 40);
    CHECK_EQ(bytes_of_listings(), one);
    l.entries[7].attr.size++;
    struct fuse_open_out changed = open_dir(&l);
    CHECK_EQ(bytes_of_listings(), 2 * one);
    for (unsigned i = 0; i < 40; i++) {
        CHECK_EQ(read_all(&d[i], 65536, true, seen, 1002), 1002);
        close_dir(&d[i]);
    }
    CHECK_EQ(read_all(&changed, 65536, true, seen, 1002), 1002);
    close_dir(&changed);
    list_free(&l);
    list_free(&reversed);
    fake_end(&k);
}

static int error_of_reading(const struct fuse_open_out *d)
{
    struct fake_reply r = ask_dir(d, 0, 4096, false, NULL);
    free(r.bytes);
    return r.error;
}

static void what_open_directories_hold_has_a_limit(void)
{
    struct ajf_options o = fake_options();
    struct source_list l = {0};
    struct fuse_open_out d[6];
    char name[20];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%06u", i);
        list_add_text(&l, name, i + 10);
    }
    fake_start(&k, &o);
    d[0] = open_dir(&l);
    uint64_t one = bytes_of_listings();
    k.m->dirs.most = 3 * one;
    for (unsigned i = 1; i < 4; i++) {
        l.entries[0].attr.size++;
        d[i] = open_dir(&l);
    }
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(error_of_reading(&d[i]), 0);
    CHECK_EQ(error_of_reading(&d[0]), 0); /* the one that was read longest ago is the second, now */
    CHECK_EQ(fake_stat(&k, "listings_given_up"), 0);
    for (unsigned i = 4; i < 6; i++) {
        l.entries[0].attr.size++;
        d[i] = open_dir(&l);
    }
    uint64_t until = ajf_deadline_ns(FAKE_WAIT_MS); /* who answered the last READDIR may still be on his way out */
    while (bytes_of_listings() > 4 * one && ajf_now_ns() < until)
        sched_yield();
    CHECK_EQ(bytes_of_listings(), 4 * one);
    CHECK_EQ(fake_stat(&k, "listings_given_up"), 2);
    CHECK_EQ(error_of_reading(&d[0]), 0);
    CHECK_EQ(error_of_reading(&d[1]), ESTALE);
    CHECK_EQ(error_of_reading(&d[2]), ESTALE);
    for (unsigned i = 3; i < 6; i++)
        CHECK_EQ(error_of_reading(&d[i]), 0);
    for (unsigned i = 0; i < 6; i++)
        close_dir(&d[i]);
    list_free(&l);
    fake_end(&k);
}

int main(void)
{
    RUN(entries_come_sorted_by_bytes_behind_the_dots);
    RUN(impossible_names_are_left_out_and_the_first_of_equals_wins);
    RUN(an_empty_directory_has_its_dots);
    RUN(pages_of_any_size_give_every_entry_once);
    RUN(an_open_directory_stays_as_it_was);
    RUN(the_kernel_caches_one_state_at_a_time);
    RUN(who_opens_a_directory_and_does_not_read_it_costs_nothing);
    RUN(while_one_has_yet_to_read_others_neither_use_nor_fill_the_kernels_cache);
    RUN(seats_share_a_listing_and_keep_it);
    RUN(a_listing_that_fails_is_told_to_the_reader_and_asked_for_again);
    RUN(the_kernel_reads_a_new_listing_anew);
    RUN(a_listing_whose_files_the_kernel_has_forgotten_is_read_anew);
    RUN(one_listing_serves_opens_and_lookups_while_it_is_fresh);
    RUN(readdirplus_counts_lookups_and_forgetting_frees);
    RUN(a_slow_listing_does_not_overrule_a_newer_stat);
    RUN(an_older_listing_does_not_take_the_place_of_a_newer_one);
    RUN(a_directory_of_a_hundred_thousand_entries);
    RUN(handles_of_an_unchanged_directory_share_one_listing);
    RUN(what_open_directories_hold_has_a_limit);
    CHECK_END();
}
