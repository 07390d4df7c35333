/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups and listings of one directory (dir.h, metadata.h) do not contradict each other: what was learnt later
 * counts, for the daemon at once, and for the kernel as soon as it is told.
 */
#include "check.h"
#include "fake_dir.h"

#define DAY_NS (24 * HOUR_NS)

static struct source_list listed(const char *names)
{
    struct source_list l = {0};
    for (const char *c = names; *c; c++)
        list_add(&l, c, 1, (uint64_t)*c);
    return l;
}

/* As list_add makes them: the same version as in a listing. */
static uint64_t find(const char *name)
{
    uint64_t asked = fake_lookup(&k, 1, name);
    struct ajf_attr attr = fake_attr((uint64_t)*name, (uint64_t)*name);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    CHECK_EQ(ajf_fetch_attr(f, &attr), 0);
    ajf_fetch_release(f);
    return fake_entry(&k, asked);
}

/* Lists the root anew, or from what is known where `l` is NULL; how many names that gives, the dots not counted. */
static size_t list_root(const struct source_list *l)
{
    struct seen seen[20];
    struct fuse_open_out d = open_dir(l);
    size_t n = read_all(&d, 4096, true, seen, 20);
    close_dir(&d);
    return n - 2;
}

static struct ajf_options lasting(uint64_t negative_ns)
{
    struct ajf_options o = long_lived();
    o.negative_timeout_ns = negative_ns;
    return o;
}

/* ---------------------------------------------------------------------------------- a look-up after a listing */

static void a_name_that_is_found_ends_the_listing_that_lacks_it(void)
{
    struct ajf_options o = lasting(0);
    struct source_list before = listed("ab"), after = listed("abc");
    fake_start(&k, &o);
    CHECK_EQ(list_root(&before), 2);
    CHECK(find("c") > 1);
    CHECK_EQ(list_root(&after), 3); /* asks the source */
    CHECK_EQ(list_root(NULL), 3);
    list_free(&before);
    list_free(&after);
    fake_end(&k);
}

static void a_listed_name_that_is_not_found_ends_the_listing(void)
{
    struct ajf_options o = lasting(0);
    struct source_list before = listed("ab"), after = listed("a");
    o.attr_timeout_ns = 0; /* so that a look-up asks */
    fake_start(&k, &o);
    CHECK_EQ(list_root(&before), 2);
    fake_miss(&k, 1, "b");
    CHECK_EQ(list_root(&after), 1);
    list_free(&before);
    list_free(&after);
    fake_end(&k);
}

static void another_version_or_type_than_listed_ends_the_listing(void)
{
    struct ajf_options o = lasting(0);
    struct source_list l = listed("ab");
    o.attr_timeout_ns = 0;
    fake_start(&k, &o);
    CHECK_EQ(list_root(&l), 2);
    fake_find(&k, "a", 5, 'a'); /* as listed; what it has of bytes is no matter */
    CHECK_EQ(list_root(NULL), 2);
    fake_find(&k, "a", 5, 99);
    CHECK_EQ(list_root(&l), 2);
    uint64_t asked = fake_lookup(&k, 1, "b");
    struct ajf_attr attr = {.mode = S_IFDIR | 0755, .nlink = 2, .version = 'b'};
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    CHECK_EQ(ajf_fetch_attr(f, &attr), 0);
    ajf_fetch_release(f);
    CHECK(fake_entry(&k, asked) > 1);
    CHECK_EQ(list_root(&l), 2);
    list_free(&l);
    fake_end(&k);
}

/* Python looks for each module in each directory of its path. */
static void what_agrees_with_the_listing_does_not_end_it(void)
{
    struct ajf_options o = lasting(0);
    struct source_list l = listed("ab");
    fake_start(&k, &o);
    CHECK_EQ(list_root(&l), 2);
    for (int i = 0; i < 10; i++)
        fake_miss(&k, 1, "c");
    struct ajf_attr command = {.mode = S_IFREG | 0444}; /* neither link nor version: no listing has it */
    uint64_t asked = fake_lookup(&k, 1, ".command");
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    CHECK_EQ(ajf_fetch_attr(f, &command), 0);
    ajf_fetch_release(f);
    CHECK(fake_entry(&k, asked) > 1);
    CHECK(fake_entry(&k, fake_lookup(&k, 1, "a")) > 1);
    CHECK_EQ(list_root(NULL), 2);
    list_free(&l);
    fake_end(&k);
}

static void an_offered_listing_is_ended_alike(void)
{
    struct ajf_options o = lasting(0);
    struct source_list l = listed("ab"), after = listed("abc");
    fake_start(&k, &o);
    CHECK_EQ(ajf_offer_list(k.m, "/", 1, l.entries, l.n, l.names, l.names_len, 0), 0);
    CHECK_EQ(list_root(NULL), 2);
    CHECK(find("c") > 1);
    CHECK_EQ(ajf_offer_list(k.m, "/", 1, l.entries, l.n, l.names, l.names_len, HOUR_NS / 2), 0); /* older: refused */
    CHECK_EQ(list_root(&after), 3);
    list_free(&l);
    list_free(&after);
    fake_end(&k);
}

/* ---------------------------------------------------------------------------------- a listing after a look-up */

static void a_newer_listing_ends_what_was_known_of_names_it_lacks(void)
{
    struct ajf_options o = lasting(0);
    struct source_list before = listed("abc"), after = listed("a");
    fake_start(&k, &o);
    CHECK_EQ(list_root(&before), 3);
    uint64_t b = fake_entry(&k, fake_lookup(&k, 1, "b"));
    uint64_t d = find("d"); /* known by look-up alone, and then not listed either */
    CHECK(b > 1 && d > 1);
    CHECK_EQ(list_root(&after), 1);
    fake_notified(&k, &k.n_expired, 2); /* b and c; of names that were never listed the kernel is not told */
    CHECK(!strcmp(k.expired, "c"));
    fake_miss(&k, 1, "b");
    fake_miss(&k, 1, "d");
    CHECK_EQ(k.n_removed, 0);
    list_free(&before);
    list_free(&after);
    fake_end(&k);
}

static void a_newer_listing_ends_the_absence_of_names_it_has(void)
{
    struct ajf_options o = lasting(DAY_NS);
    struct source_list before = listed("ab"), after = listed("abc");
    fake_start(&k, &o);
    fake_miss(&k, 1, "c");
    CHECK_EQ(list_root(&before), 2);
    ajf_dirs_drop(&k.m->dirs, 1);
    CHECK_EQ(fake_entry(&k, fake_lookup(&k, 1, "c")), 0);
    CHECK_EQ(list_root(&after), 3);
    fake_notified(&k, &k.n_expired, 1);
    CHECK(!strcmp(k.expired, "c"));
    CHECK(fake_entry(&k, fake_lookup(&k, 1, "c")) > 1);
    CHECK(fake_no_fetch(&k));
    list_free(&before);
    list_free(&after);
    fake_end(&k);
}

/* ---------------------------------------------------------------------------------- answers out of their order */

static void an_older_listing_does_not_bring_a_missing_name_back(void)
{
    struct ajf_options o = lasting(0);
    struct source_list before = listed("abc"), after = listed("ac");
    struct seen seen[20];
    o.attr_timeout_ns = HOUR_NS;
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&before);
    CHECK_EQ(read_all(&d, 4096, false, seen, 20), 5); /* names alone: nothing is known of b yet */
    ajf_dirs_drop(&k.m->dirs, 1);                     /* as when it expires */
    fake_miss(&k, 1, "b");
    CHECK_EQ(read_all(&d, 4096, true, seen, 20), 5); /* a snapshot stays what it was, */
    for (int i = 2; i < 5; i++)
        CHECK(seen[i].nodeid && !seen[i].valid); /* but what it says is not to be kept */
    fake_miss(&k, 1, "b");
    close_dir(&d);
    CHECK_EQ(list_root(&after), 2);
    list_free(&before);
    list_free(&after);
    fake_end(&k);
}

/* Who has a directory open reads on in what he was given; meanwhile a name in it was looked up, and is gone. */
static void a_name_that_was_missed_is_not_brought_back_by_who_reads_on(void)
{
    struct ajf_options o = lasting(0);
    struct source_list l = listed("abc"), after = listed("ac");
    struct seen seen[20];
    o.attr_timeout_ns = HOUR_NS;
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    CHECK_EQ(read_all(&d, 4096, true, seen, 20), 5);
    ajf_inode_expire(&k.m->inodes, seen[3].nodeid);
    struct fuse_getattr_in in = {0};
    uint64_t asked = fake_send(&k, FUSE_GETATTR, seen[3].nodeid, &in, sizeof in);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    ajf_fetch_fail(f, ENOENT);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, ESTALE);
    fake_miss(&k, 1, "b");
    CHECK_EQ(read_all(&d, 4096, true, seen, 20), 5);
    CHECK(!seen[3].valid);
    fake_miss(&k, 1, "b");
    close_dir(&d);
    CHECK_EQ(list_root(&after), 2);
    list_free(&l);
    list_free(&after);
    fake_end(&k);
}

static void an_older_answer_to_a_look_up_counts_once(void)
{
    struct ajf_options o = lasting(DAY_NS);
    struct source_list l = listed("ab");
    double timeout;
    fake_start(&k, &o);
    uint64_t found = fake_lookup(&k, 1, "c"), missed = fake_lookup(&k, 1, "b");
    struct ajf_fetch *c = fake_fetch(&k, AJF_FETCH_STAT, NULL), *b = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    CHECK_EQ(list_root(&l), 2);
    struct ajf_attr attr = fake_attr(1, 1);
    CHECK_EQ(ajf_fetch_attr(c, &attr), 0);
    ajf_fetch_fail(b, ENOENT);
    ajf_fetch_release(c);
    ajf_fetch_release(b);
    CHECK(fake_entry_for(&k, found, &timeout) > 1);
    CHECK(timeout == 0);
    CHECK_EQ(fake_entry_for(&k, missed, &timeout), 0);
    CHECK(timeout == 0);
    CHECK_EQ(list_root(NULL), 2);
    CHECK(fake_entry(&k, fake_lookup(&k, 1, "b")) > 1);
    CHECK_EQ(fake_entry(&k, fake_lookup(&k, 1, "c")), 0);
    list_free(&l);
    fake_end(&k);
}

/* ----------------------------------------------------------------------------------------------- how long */

static void an_absence_is_told_for_what_is_left_of_it(void)
{
    struct ajf_options o = lasting(DAY_NS);
    struct source_list l = listed("ab");
    double timeout;
    fake_start(&k, &o);
    fake_miss(&k, 1, "x");
    CHECK_EQ(fake_entry_for(&k, fake_lookup(&k, 1, "x"), &timeout), 0);
    CHECK(timeout > 80000 && timeout < 86400); /* some of the day has gone */
    CHECK_EQ(ajf_offer_list(k.m, "/", 1, l.entries, l.n, l.names, l.names_len, 0), 0);
    ajf_dirs_drop(&k.m->dirs, 1);
    CHECK_EQ(list_root(&l), 2);
    CHECK_EQ(fake_entry_for(&k, fake_lookup(&k, 1, "y"), &timeout), 0); /* the listing says so */
    CHECK(timeout > 80000 && timeout < 86400);
    CHECK(fake_no_fetch(&k));
    list_free(&l);
    fake_end(&k);
}

/* ------------------------------------------------------------------------------------------------- refreshing */

static uint64_t refresh(const char *name)
{
    struct {
        struct fuse_ioctl_in in;
        struct ajf_refresh refresh;
    } message = {.in = {.flags = FUSE_IOCTL_DIR, .cmd = AJF_IOC_REFRESH, .in_size = sizeof(struct ajf_refresh)}};
    strncpy(message.refresh.name, name, sizeof message.refresh.name - 1);
    return fake_send(&k, FUSE_IOCTL, 1, &message, sizeof message);
}

static void forgotten(const char *path)
{
    struct ajf_fetch_info info;
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_FORGET, &info);
    CHECK(!strcmp(info.path, path));
    CHECK_EQ(ajf_fetch_done(f, 0), 0);
    ajf_fetch_release(f);
}

static void a_refresh_ends_what_is_known_and_is_answered_when_the_kernel_knows(void)
{
    struct ajf_options o = lasting(DAY_NS);
    struct source_list l = listed("ab");
    fake_start(&k, &o);
    fake_miss(&k, 1, "x");
    CHECK_EQ(list_root(&l), 2);
    uint64_t asked = refresh("");
    CHECK(fake_is_parked(&k, asked)); /* the source is to forget first */
    forgotten("/");
    fake_expect_error(&k, asked, 0);
    CHECK_EQ(k.n_expired, 3); /* a, b, x: told before the answer */
    CHECK_EQ(k.n_removed, 0);
    CHECK(k.outdated);
    fake_miss(&k, 1, "x");
    CHECK(find("a") > 1);
    CHECK_EQ(list_root(&l), 2);
    list_free(&l);
    fake_end(&k);
}

static void a_refresh_of_one_name_leaves_the_others(void)
{
    struct ajf_options o = lasting(0);
    struct source_list l = listed("ab");
    fake_start(&k, &o);
    CHECK_EQ(list_root(&l), 2);
    uint64_t asked = refresh("a");
    forgotten("/a");
    fake_expect_error(&k, asked, 0);
    CHECK_EQ(k.n_expired, 1);
    CHECK(fake_entry(&k, fake_lookup(&k, 1, "b")) > 1);
    CHECK(fake_no_fetch(&k));
    CHECK(find("a") > 1);
    CHECK_EQ(list_root(&l), 2); /* the listing told of it */
    asked = refresh("q");       /* nothing is known of it but that it is not listed */
    forgotten("/q");
    fake_expect_error(&k, asked, 0);
    CHECK_EQ(list_root(&l), 2);
    list_free(&l);
    fake_end(&k);
}

static void what_was_asked_before_a_refresh_counts_once(void)
{
    struct ajf_options o = lasting(DAY_NS);
    struct source_list l = listed("ab");
    struct seen seen[20];
    double timeout;
    fake_start(&k, &o);
    struct fuse_open_out d = open_dir(&l);
    uint64_t found = fake_lookup(&k, 1, "q"), missed = fake_lookup(&k, 1, "r");
    CHECK_EQ(fake_entry(&k, found), 0); /* the listing says so */
    CHECK_EQ(fake_entry(&k, missed), 0);
    ajf_dirs_drop(&k.m->dirs, 1);
    found = fake_lookup(&k, 1, "q"), missed = fake_lookup(&k, 1, "r");
    struct ajf_fetch *q = fake_fetch(&k, AJF_FETCH_STAT, NULL), *r = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    ajf_invalidate(k.m, "/", 1);
    struct ajf_attr attr = fake_attr(1, 1);
    CHECK_EQ(ajf_fetch_attr(q, &attr), 0);
    ajf_fetch_fail(r, ENOENT);
    ajf_fetch_release(q);
    ajf_fetch_release(r);
    CHECK(fake_entry_for(&k, found, &timeout) > 1);
    CHECK(timeout == 0);
    CHECK_EQ(fake_entry_for(&k, missed, &timeout), 0);
    CHECK(timeout == 0);
    CHECK_EQ(read_all(&d, 4096, true, seen, 20), 4); /* a snapshot from before it, read afterwards */
    close_dir(&d);
    CHECK(find("a") > 1);
    CHECK(find("q") > 1);
    fake_miss(&k, 1, "r");
    list_free(&l);
    fake_end(&k);
}

static void an_older_kernel_drops_files_and_keeps_directories(void)
{
    struct ajf_options o = lasting(0);
    struct ajf_attr dir = {.mode = S_IFDIR | 0755, .nlink = 2, .version = 7};
    k.old = true;
    fake_start(&k, &o);
    CHECK(find("a") > 1);
    uint64_t asked = fake_lookup(&k, 1, "d");
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    CHECK_EQ(ajf_fetch_attr(f, &dir), 0);
    ajf_fetch_release(f);
    uint64_t id = fake_entry(&k, asked);
    asked = refresh("");
    forgotten("/");
    fake_expect_error(&k, asked, 0);
    CHECK_EQ(k.n_expired, 0);
    CHECK_EQ(k.n_removed, 1);
    CHECK(!strcmp(k.expired, "a"));
    CHECK_EQ(k.outdated, id);
    fake_end(&k);
    k.old = false;
}

static void a_refresh_that_is_malformed_or_of_something_else_is_refused(void)
{
    struct ajf_options o = lasting(0);
    struct {
        struct fuse_ioctl_in in;
        struct ajf_refresh refresh;
    } message = {.in = {.flags = FUSE_IOCTL_DIR, .cmd = AJF_IOC_REFRESH, .in_size = sizeof(struct ajf_refresh)}};
    fake_start(&k, &o);
    fake_expect_error(&k, refresh("a/b"), EINVAL);
    memset(message.refresh.name, 'x', sizeof message.refresh.name);
    fake_expect_error(&k, fake_send(&k, FUSE_IOCTL, 1, &message, sizeof message), EINVAL);
    message.in.cmd = 0x5401; /* TCGETS */
    fake_expect_error(&k, fake_send(&k, FUSE_IOCTL, 1, &message, sizeof message), ENOTTY);
    message.in.flags = 0;
    message.in.cmd = AJF_IOC_REFRESH;
    fake_expect_error(&k, fake_send(&k, FUSE_IOCTL, 1, &message, sizeof message), ENOTTY);
    uint64_t asked = refresh(""); /* and one that nobody comes to do */
    CHECK(fake_is_parked(&k, asked));
    fake_end(&k);
}

int main(void)
{
    RUN(a_name_that_is_found_ends_the_listing_that_lacks_it);
    RUN(a_listed_name_that_is_not_found_ends_the_listing);
    RUN(another_version_or_type_than_listed_ends_the_listing);
    RUN(what_agrees_with_the_listing_does_not_end_it);
    RUN(an_offered_listing_is_ended_alike);
    RUN(a_newer_listing_ends_what_was_known_of_names_it_lacks);
    RUN(a_newer_listing_ends_the_absence_of_names_it_has);
    RUN(an_older_listing_does_not_bring_a_missing_name_back);
    RUN(a_name_that_was_missed_is_not_brought_back_by_who_reads_on);
    RUN(an_older_answer_to_a_look_up_counts_once);
    RUN(an_absence_is_told_for_what_is_left_of_it);
    RUN(a_refresh_ends_what_is_known_and_is_answered_when_the_kernel_knows);
    RUN(a_refresh_of_one_name_leaves_the_others);
    RUN(what_was_asked_before_a_refresh_counts_once);
    RUN(an_older_kernel_drops_files_and_keeps_directories);
    RUN(a_refresh_that_is_malformed_or_of_something_else_is_refused);
    CHECK_END();
}
