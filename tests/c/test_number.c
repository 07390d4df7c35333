/* SPDX-License-Identifier: Apache-2.0 */
/* Inode numbers that applications see (inode.h, number.h): the source's own, or made up of path and version. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "names/inode.h"

#define LATER UINT64_C(1000000)
#define MANY 200000

static struct ajf_stats stats;
static struct ajf_inodes *table;

static void setup(void)
{
    memset(&stats, 0, sizeof stats);
    table = malloc(sizeof *table);
    NEED(table && !ajf_inodes_init(table, &stats));
}

static void teardown(void)
{
    ajf_inodes_sweep(table);
    ajf_inodes_done(table);
    free(table);
}

static struct ajf_attr file_attr(uint64_t ino, uint64_t version)
{
    return (struct ajf_attr){.ino = ino, .mode = S_IFREG | 0644, .version = version, .nlink = 1};
}

static struct ajf_attr dir_attr(uint64_t version)
{
    return (struct ajf_attr){.mode = S_IFDIR | 0755, .version = version, .nlink = 2};
}

static struct ajf_inode_view bind_at(uint64_t parent, const char *name, struct ajf_attr attr)
{
    struct ajf_inode_view v = {.nodeid = 0};
    uint64_t before = ajf_inode_number(table, parent, name, strlen(name), &attr);
    CHECK_EQ(ajf_inode_bind(table, parent, name, strlen(name), &attr, LATER, true, &v), 0);
    CHECK_EQ(v.attr.ino, before); /* what a plain listing shows, without a record ... */
    CHECK_EQ(v.attr.ino, ajf_inode_number(table, parent, name, strlen(name), &attr)); /* ... and with one */
    return v;
}

static void forget(uint64_t nodeid)
{
    ajf_inode_forget(table, nodeid, 1);
}

static uint64_t number_of(uint64_t nodeid)
{
    struct ajf_inode_view v = {.nodeid = 0};
    CHECK_EQ(ajf_inode_get(table, nodeid, &v), 0);
    return v.attr.ino;
}

static void the_sources_own_number_is_shown(void)
{
    setup();
    CHECK_EQ(bind_at(AJF_ROOT, "a", file_attr(1, 5)).attr.ino, 1);
    CHECK_EQ(bind_at(AJF_ROOT, "b", file_attr(1, 5)).attr.ino, 1); /* a hard link */
    CHECK_EQ(bind_at(AJF_ROOT, "c", file_attr(UINT64_MAX, 5)).attr.ino, UINT64_MAX);
    teardown();
}

static void a_made_up_number_is_the_same_after_forgetting_and_in_another_mount(void)
{
    uint64_t seen[3] = {0};
    for (unsigned mount = 0; mount < 2; mount++) {
        setup();
        if (mount)
            bind_at(AJF_ROOT, "something else first", file_attr(0, 9));
        for (unsigned round = 0; round < 2; round++) {
            struct ajf_inode_view d = bind_at(AJF_ROOT, "d", dir_attr(1)), f = bind_at(d.nodeid, "f", file_attr(0, 7));
            uint64_t now[3] = {number_of(AJF_ROOT), d.attr.ino, f.attr.ino};
            for (unsigned i = 0; i < 3; i++) {
                CHECK(!seen[i] || seen[i] == now[i]);
                CHECK(now[i] >> 62 == 1);
                seen[i] = now[i];
            }
            forget(f.nodeid);
            forget(d.nodeid);
            CHECK_EQ(ajf_inode_count(table), mount);
        }
        teardown();
    }
    CHECK(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
}

static void another_version_type_name_or_directory_is_another_number(void)
{
    uint64_t got[8];
    setup();
    struct ajf_attr link = {.mode = S_IFLNK | 0777, .version = 1, .nlink = 1};
    struct ajf_inode_view d = bind_at(AJF_ROOT, "d", dir_attr(1)), e = bind_at(AJF_ROOT, "e", dir_attr(1));
    got[0] = bind_at(AJF_ROOT, "f", file_attr(0, 1)).attr.ino;
    got[1] = bind_at(AJF_ROOT, "f", file_attr(0, 2)).attr.ino;
    got[2] = bind_at(AJF_ROOT, "f", link).attr.ino;
    got[3] = bind_at(AJF_ROOT, "g", file_attr(0, 1)).attr.ino;
    got[4] = bind_at(d.nodeid, "f", file_attr(0, 1)).attr.ino;
    got[5] = bind_at(e.nodeid, "f", file_attr(0, 1)).attr.ino;
    got[6] = d.attr.ino;
    got[7] = e.attr.ino;
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < i; j++)
            CHECK(got[i] != got[j]);
    CHECK_EQ(bind_at(AJF_ROOT, "d", dir_attr(2)).attr.ino, d.attr.ino);
    teardown();
}

static void a_number_that_was_shown_stays_until_the_source_tells_its_own(void)
{
    struct ajf_attr own = file_attr(33, 1), none = file_attr(0, 1);
    setup();
    struct ajf_inode_view f = bind_at(AJF_ROOT, "f", none);
    none.size = 5;
    CHECK_EQ(ajf_inode_update(table, f.nodeid, &none, LATER), 0);
    CHECK_EQ(number_of(f.nodeid), f.attr.ino);
    CHECK_EQ(ajf_inode_update(table, f.nodeid, &own, LATER), 0);
    CHECK_EQ(number_of(f.nodeid), 33);
    CHECK_EQ(ajf_inode_update(table, f.nodeid, &none, LATER), 0);
    CHECK_EQ(number_of(f.nodeid), 33);
    teardown();
}

static void the_root_has_its_own_number_or_one_that_is_made_up(void)
{
    struct ajf_attr root = dir_attr(0);
    setup();
    uint64_t made = number_of(AJF_ROOT);
    struct ajf_inode_view d = bind_at(AJF_ROOT, "d", dir_attr(0)), f = bind_at(d.nodeid, "f", file_attr(0, 1));
    CHECK_EQ(ajf_inode_update(table, AJF_ROOT, &root, LATER), 0);
    CHECK_EQ(number_of(AJF_ROOT), made);
    root.ino = 128;
    CHECK_EQ(ajf_inode_update(table, AJF_ROOT, &root, LATER), 0);
    CHECK_EQ(number_of(AJF_ROOT), 128);
    /* The numbers below do not depend on it. */
    forget(f.nodeid);
    CHECK_EQ(bind_at(d.nodeid, "f", file_attr(0, 1)).attr.ino, f.attr.ino);
    CHECK_EQ(ajf_inode_number_above(table, AJF_ROOT), 128);
    CHECK_EQ(ajf_inode_number_above(table, d.nodeid), 128);
    CHECK_EQ(ajf_inode_number_above(table, f.nodeid), d.attr.ino);
    teardown();
}

/* All hashes are equal: every file has another number all the same, and keeps it. */
static void files_of_one_hash_have_numbers_of_their_own(void)
{
    struct ajf_inode_view v[50];
    char name[20];
    setup();
    table->number_mask = 0;
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "f%u", i);
        v[i] = bind_at(AJF_ROOT, name, file_attr(0, 1));
        CHECK(v[i].attr.ino != number_of(AJF_ROOT));
        for (unsigned j = 0; j < i; j++)
            CHECK(v[i].attr.ino != v[j].attr.ino);
    }
    for (unsigned i = 0; i < 50; i += 2)
        forget(v[i].nodeid);
    for (unsigned i = 1; i < 50; i += 2) {
        snprintf(name, sizeof name, "f%u", i);
        CHECK_EQ(bind_at(AJF_ROOT, name, file_attr(0, 1)).attr.ino, v[i].attr.ino);
        forget(v[i].nodeid);
        forget(v[i].nodeid);
    }
    CHECK_EQ(ajf_inode_count(table), 0);
    CHECK_EQ(table->n_displaced, 0);
    CHECK_EQ(table->numbers.n, 1);
    teardown();
}

/* A file that vanished while it was open, and is there again: it is the same one. */
static void the_nameless_record_of_the_same_file_shares_the_number(void)
{
    setup();
    struct ajf_inode_view old = bind_at(AJF_ROOT, "f", file_attr(0, 1));
    ajf_inode_gone(table, old.nodeid);
    struct ajf_inode_view new = bind_at(AJF_ROOT, "f", file_attr(0, 1));
    CHECK(new.nodeid != old.nodeid);
    CHECK_EQ(new.attr.ino, old.attr.ino);
    forget(old.nodeid);
    CHECK_EQ(number_of(new.nodeid), old.attr.ino);
    forget(new.nodeid);
    CHECK_EQ(table->numbers.n, 1);
    teardown();
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* With 32 of the 62 bits: of a bad hash there would be more equal ones than the five that chance gives. */
static void hashes_of_similar_names_are_spread(void)
{
    uint64_t *numbers = calloc(MANY, sizeof *numbers);
    char name[40];
    NEED(numbers);
    setup();
    struct ajf_attr attr = file_attr(0, 1);
    for (unsigned i = 0; i < MANY; i++) {
        size_t len = (size_t)snprintf(name, sizeof name, i % 2 ? "part-%06u.parquet" : "%u", i / 2);
        numbers[i] = (uint32_t)ajf_inode_number(table, AJF_ROOT, name, len, &attr);
    }
    qsort(numbers, MANY, sizeof *numbers, compare);
    unsigned equal = 0;
    for (unsigned i = 1; i < MANY; i++)
        equal += numbers[i] == numbers[i - 1];
    CHECK(equal < 30);
    free(numbers);
    teardown();
}

int main(void)
{
    RUN(the_sources_own_number_is_shown);
    RUN(a_made_up_number_is_the_same_after_forgetting_and_in_another_mount);
    RUN(another_version_type_name_or_directory_is_another_number);
    RUN(a_number_that_was_shown_stays_until_the_source_tells_its_own);
    RUN(the_root_has_its_own_number_or_one_that_is_made_up);
    RUN(files_of_one_hash_have_numbers_of_their_own);
    RUN(the_nameless_record_of_the_same_file_shares_the_number);
    RUN(hashes_of_similar_names_are_spread);
    CHECK_END();
}
