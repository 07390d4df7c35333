/* SPDX-License-Identifier: Apache-2.0 */
/* The table of names and records (inode.h). */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "names/inode.h"

#define LATER UINT64_C(1000000)
#define THREADS 4

static struct ajf_stats stats;
static struct ajf_inodes *table;

static void setup(void)
{
    memset(&stats, 0, sizeof stats);
    table = malloc(sizeof *table);
    NEED(table && !ajf_inodes_init(table, &stats));
}

static uint64_t born(void)
{
    return atomic_load(&stats.value[AJF_STAT_inodes_born]);
}

static uint64_t died(void)
{
    return atomic_load(&stats.value[AJF_STAT_inodes_died]);
}

static void teardown(void)
{
    ajf_inodes_sweep(table);
    CHECK_EQ(born(), died());
    ajf_inodes_done(table);
    free(table);
}

static struct ajf_attr file_attr(uint64_t version)
{
    return (struct ajf_attr){.mode = S_IFREG | 0644, .version = version, .size = version * 10, .nlink = 1};
}

static struct ajf_attr dir_attr(uint64_t version)
{
    return (struct ajf_attr){.mode = S_IFDIR | 0755, .version = version, .nlink = 2};
}

static uint64_t bind_at(uint64_t parent, const char *name, struct ajf_attr attr, uint64_t expires, bool lookup)
{
    struct ajf_inode_view v = {.nodeid = 0};
    CHECK_EQ(ajf_inode_bind(table, parent, name, strlen(name), &attr, expires, lookup, &v), 0);
    return v.nodeid;
}

static int find_at(uint64_t parent, const char *name, uint64_t now, uint64_t *ret_nodeid)
{
    struct ajf_inode_view v = {.nodeid = 0};
    int err = ajf_inode_find(table, parent, name, strlen(name), now, &v);
    *ret_nodeid = v.nodeid;
    return err;
}

static bool is_live(uint64_t nodeid)
{
    struct ajf_inode_view v;
    return !ajf_inode_get(table, nodeid, &v);
}

static void a_bound_name_is_found_until_it_expires(void)
{
    uint64_t found;
    setup();
    uint64_t id = bind_at(AJF_ROOT, "a", file_attr(1), 100, true);
    CHECK_EQ(find_at(AJF_ROOT, "a", 99, &found), 0);
    CHECK_EQ(found, id);
    CHECK_EQ(find_at(AJF_ROOT, "a", 100, &found), -EAGAIN);
    CHECK_EQ(find_at(AJF_ROOT, "b", 0, &found), -EAGAIN);
    CHECK_EQ(find_at(id, "a", 0, &found), -EAGAIN);
    CHECK_EQ(ajf_inode_count(table), 1);
    teardown();
}

static void a_record_lives_while_the_kernel_knows_it(void)
{
    uint64_t found;
    setup();
    uint64_t id = bind_at(AJF_ROOT, "a", file_attr(1), LATER, true);
    CHECK_EQ(find_at(AJF_ROOT, "a", 0, &found), 0);
    ajf_inode_forget(table, id, 1);
    CHECK(is_live(id));
    ajf_inode_forget(table, id, 1);
    CHECK(!is_live(id));
    CHECK_EQ(ajf_inode_count(table), 0);
    CHECK_EQ(find_at(AJF_ROOT, "a", 0, &found), -EAGAIN);
    teardown();
}

static void a_reference_keeps_a_forgotten_record(void)
{
    setup();
    uint64_t id = bind_at(AJF_ROOT, "a", file_attr(1), LATER, true);
    ajf_inode_ref(table, id);
    ajf_inode_forget(table, id, 1);
    CHECK(is_live(id));
    ajf_inode_unref(table, id);
    CHECK(!is_live(id));
    teardown();
}

static void too_many_forgets_are_harmless(void)
{
    setup();
    uint64_t id = bind_at(AJF_ROOT, "a", file_attr(1), LATER, true);
    ajf_inode_ref(table, id);
    ajf_inode_forget(table, id, 1000);
    CHECK(is_live(id));
    ajf_inode_forget(table, AJF_ROOT, 1000);
    CHECK(is_live(AJF_ROOT));
    ajf_inode_unref(table, id);
    teardown();
}

static void children_keep_their_parents(void)
{
    setup();
    uint64_t a = bind_at(AJF_ROOT, "a", dir_attr(1), LATER, true), b = bind_at(a, "b", dir_attr(1), LATER, true);
    uint64_t c = bind_at(b, "c", file_attr(1), LATER, true);
    ajf_inode_forget(table, a, 1);
    ajf_inode_forget(table, b, 1);
    char *path = ajf_inode_path(table, c, NULL, 0);
    CHECK(path && !strcmp(path, "/a/b/c"));
    free(path);
    ajf_inode_forget(table, c, 1); /* frees all three */
    CHECK_EQ(ajf_inode_count(table), 0);
    teardown();
}

static void a_new_version_gets_a_new_record_and_the_old_one_is_stale(void)
{
    struct ajf_inode_view v;
    uint64_t found;
    setup();
    uint64_t old = bind_at(AJF_ROOT, "a", file_attr(1), 10, true), new = bind_at(AJF_ROOT, "a", file_attr(2), 20, true);
    CHECK(old != new);
    CHECK_EQ(ajf_inode_get(table, old, &v), 0);
    CHECK(v.stale);
    CHECK_EQ(v.attr.version, 1);
    CHECK_EQ(ajf_inode_get(table, new, &v), 0);
    CHECK(!v.stale);
    CHECK_EQ(find_at(AJF_ROOT, "a", 0, &found), 0);
    CHECK_EQ(found, new);
    ajf_inode_forget(table, old, 1);
    CHECK(!is_live(old));
    CHECK(is_live(new));
    teardown();
}

static void the_same_version_keeps_its_record_and_takes_new_attributes(void)
{
    struct ajf_attr more = file_attr(1);
    struct ajf_inode_view v;
    setup();
    uint64_t id = bind_at(AJF_ROOT, "a", file_attr(1), 10, true);
    CHECK(!ajf_inode_take_changed(table, id, 7));
    more.size = 99;
    CHECK_EQ(bind_at(AJF_ROOT, "a", more, 20, true), id);
    CHECK_EQ(ajf_inode_get(table, id, &v), 0);
    CHECK_EQ(v.attr.size, 99);
    CHECK_EQ(v.expires_ns, 20);
    CHECK(ajf_inode_take_changed(table, id, 7));
    CHECK(ajf_inode_take_changed(table, id, 8)); /* 7 may not have made the kernel drop its pages yet */
    ajf_inode_settle(table, id, 8);
    CHECK(ajf_inode_take_changed(table, id, 9));
    ajf_inode_settle(table, id, 7);
    CHECK(!ajf_inode_take_changed(table, id, 10));
    teardown();
}

static void directories_keep_their_record_whatever_their_version(void)
{
    setup();
    uint64_t id = bind_at(AJF_ROOT, "d", dir_attr(1), 10, true);
    CHECK_EQ(bind_at(AJF_ROOT, "d", dir_attr(2), 20, true), id);
    CHECK(bind_at(AJF_ROOT, "d", file_attr(2), 30, true) != id); /* but a file is no directory */
    teardown();
}

static void older_knowledge_does_not_overrule_newer(void)
{
    struct ajf_inode_view v;
    setup();
    uint64_t id = bind_at(AJF_ROOT, "a", file_attr(2), 100, true);
    CHECK_EQ(bind_at(AJF_ROOT, "a", file_attr(1), 50, true), id);
    CHECK_EQ(ajf_inode_get(table, id, &v), 0);
    CHECK_EQ(v.attr.version, 2);
    CHECK_EQ(v.expires_ns, 100);
    teardown();
}

/* A listing takes long: what it says of a name may be older than what a look-up said, whichever came first. */
static void older_knowledge_does_not_bring_a_name_back(void)
{
    struct ajf_attr a = file_attr(1);
    struct ajf_inode_view v = {.nodeid = 0};
    uint64_t found;
    setup();
    CHECK(ajf_inode_unbind(table, AJF_ROOT, "a", 1, true, 10, 100));
    CHECK_EQ(ajf_inode_bind(table, AJF_ROOT, "a", 1, &a, 50, true, &v), -ENOENT);
    CHECK_EQ(find_at(AJF_ROOT, "a", 5, &found), -ENOENT);
    CHECK_EQ(find_at(AJF_ROOT, "a", 20, &found), -EAGAIN);
    CHECK_EQ(ajf_inode_bind(table, AJF_ROOT, "a", 1, &a, 50, true, &v), -ENOENT); /* however short it was believed */
    uint64_t id = bind_at(AJF_ROOT, "a", a, 150, true);
    CHECK(!ajf_inode_unbind(table, AJF_ROOT, "a", 1, true, 130, 120)); /* nor does it take one away */
    CHECK_EQ(find_at(AJF_ROOT, "a", 20, &found), 0);
    CHECK_EQ(found, id);
    a.size = 5;
    CHECK_EQ(ajf_inode_update(table, id, &a, 140), 0); /* nor change one */
    CHECK_EQ(ajf_inode_get(table, id, &v), 0);
    CHECK(v.expires_ns == 150 && v.attr.size == 10);
    CHECK(!ajf_inode_outdate(table, AJF_ROOT, "a", 1, 150));
    CHECK(ajf_inode_outdate(table, AJF_ROOT, "a", 1, 151));
    CHECK_EQ(find_at(AJF_ROOT, "a", 20, &found), -EAGAIN);
    teardown();
}

static void a_negative_entry_says_how_long_it_is_valid(void)
{
    struct ajf_inode_view v;
    setup();
    ajf_inode_unbind(table, AJF_ROOT, "a", 1, true, 100, 100);
    CHECK_EQ(ajf_inode_find(table, AJF_ROOT, "a", 1, 40, &v), -ENOENT);
    CHECK_EQ(v.expires_ns, 100);
    teardown();
}

static void updates_of_another_version_make_stale(void)
{
    struct ajf_attr a = file_attr(1), b = file_attr(2);
    struct ajf_inode_view v;
    uint64_t found;
    setup();
    uint64_t id = bind_at(AJF_ROOT, "a", a, 10, true);
    CHECK_EQ(ajf_inode_update(table, id, &a, 50), 0);
    CHECK_EQ(ajf_inode_get(table, id, &v), 0);
    CHECK_EQ(v.expires_ns, 50);
    CHECK_EQ(ajf_inode_update(table, id, &b, 60), -ESTALE);
    CHECK_EQ(ajf_inode_get(table, id, &v), 0);
    CHECK(v.stale);
    CHECK_EQ(v.attr.version, 1);
    CHECK_EQ(find_at(AJF_ROOT, "a", 0, &found), -EAGAIN);
    ajf_inode_gone(table, id); /* again, and with lookups: it stays until forgotten */
    CHECK(is_live(id));
    ajf_inode_forget(table, id, 1);
    CHECK(!is_live(id));
    ajf_inode_gone(table, AJF_ROOT);
    CHECK(is_live(AJF_ROOT));
    teardown();
}

static void negative_entries_expire_and_give_way(void)
{
    struct ajf_inode_view v;
    uint64_t found;
    setup();
    ajf_inode_unbind(table, AJF_ROOT, "a", 1, true, 100, 100);
    CHECK_EQ(find_at(AJF_ROOT, "a", 99, &found), -ENOENT);
    CHECK_EQ(find_at(AJF_ROOT, "a", 100, &found), -EAGAIN);
    CHECK_EQ(ajf_inode_count(table), 1);
    ajf_inode_unbind(table, AJF_ROOT, "a", 1, true, 200, 200); /* renewed, not doubled */
    CHECK_EQ(ajf_inode_count(table), 1);
    CHECK_EQ(find_at(AJF_ROOT, "a", 150, &found), -ENOENT);
    uint64_t id = bind_at(AJF_ROOT, "a", file_attr(1), 300, true);
    CHECK_EQ(ajf_inode_count(table), 1);
    CHECK_EQ(find_at(AJF_ROOT, "a", 250, &found), 0);
    ajf_inode_unbind(table, AJF_ROOT, "a", 1, false, 0, 400); /* gone, and that is not remembered */
    CHECK_EQ(ajf_inode_get(table, id, &v), 0);
    CHECK(v.stale);
    CHECK_EQ(find_at(AJF_ROOT, "a", 0, &found), -EAGAIN);
    teardown();
}

static void negative_entries_are_bounded(void)
{
    char name[32];
    uint64_t found;
    setup();
    for (unsigned i = 0; i < AJF_INODE_NEGATIVES + 1000; i++) {
        int len = snprintf(name, sizeof name, "missing%u", i);
        ajf_inode_unbind(table, AJF_ROOT, name, (size_t)len, true, LATER, LATER);
    }
    CHECK_EQ(ajf_inode_count(table), AJF_INODE_NEGATIVES);
    CHECK_EQ(find_at(AJF_ROOT, "missing0", 0, &found), -EAGAIN); /* the oldest went */
    CHECK_EQ(find_at(AJF_ROOT, "missing66000", 0, &found), -ENOENT);
    teardown();
}

/* The ring's slots name records by index: those may be somebody else's by then. */
static void the_ring_of_negatives_spares_records_that_were_reused(void)
{
    char name[32];
    setup();
    ajf_inode_unbind(table, AJF_ROOT, "x", 1, true, LATER, LATER);
    uint64_t id = bind_at(AJF_ROOT, "x", file_attr(1), LATER, true); /* takes the freed record */
    for (unsigned i = 0; i < AJF_INODE_NEGATIVES; i++) {
        int len = snprintf(name, sizeof name, "missing%u", i);
        ajf_inode_unbind(table, AJF_ROOT, name, (size_t)len, true, LATER, LATER);
    }
    CHECK(is_live(id));
    teardown();
}

static void names_of_all_lengths_are_kept_apart_and_recycled(void)
{
    char name[AJF_NAME_MAX + 2];
    uint64_t found, ids[AJF_NAME_MAX + 1];
    setup();
    memset(name, 'n', sizeof name);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned len = 1; len <= AJF_NAME_MAX; len++) {
            struct ajf_inode_view v;
            struct ajf_attr attr = file_attr(len);
            name[len - 1] = (char)('a' + round);
            CHECK_EQ(ajf_inode_bind(table, AJF_ROOT, name, len, &attr, LATER, true, &v), 0);
            ids[len] = v.nodeid;
            name[len - 1] = 'n';
        }
        uint32_t used = table->name_used;
        for (unsigned len = 1; len <= AJF_NAME_MAX; len++) {
            char got[AJF_NAME_MAX];
            size_t got_len;
            CHECK_EQ(ajf_inode_name(table, ids[len], &found, got, &got_len), 0);
            name[len - 1] = (char)('a' + round);
            CHECK(found == AJF_ROOT && got_len == len && !memcmp(got, name, len));
            name[len - 1] = 'n';
            ajf_inode_forget(table, ids[len], 1);
        }
        CHECK(round == 0 || table->name_used == used);
        CHECK_EQ(ajf_inode_count(table), 0);
    }
    struct ajf_attr attr = file_attr(1);
    struct ajf_inode_view v;
    CHECK(ajf_inode_bind(table, AJF_ROOT, name, AJF_NAME_MAX + 1, &attr, LATER, true, &v) < 0);
    CHECK(ajf_inode_bind(table, AJF_ROOT, name, 0, &attr, LATER, true, &v) < 0);
    teardown();
}

static void a_reused_record_has_a_new_generation(void)
{
    struct ajf_inode_view v;
    setup();
    uint64_t a = bind_at(AJF_ROOT, "a", file_attr(1), LATER, true);
    CHECK_EQ(ajf_inode_get(table, a, &v), 0);
    uint32_t generation = v.generation;
    ajf_inode_forget(table, a, 1);
    CHECK_EQ(bind_at(AJF_ROOT, "b", file_attr(1), LATER, true), a);
    CHECK_EQ(ajf_inode_get(table, a, &v), 0);
    CHECK(v.generation != generation);
    teardown();
}

static void paths_have_a_root_and_no_end_in_depth(void)
{
    setup();
    char *path = ajf_inode_path(table, AJF_ROOT, NULL, 0);
    CHECK(path && !strcmp(path, "/"));
    free(path);
    path = ajf_inode_path(table, AJF_ROOT, "x", 1);
    CHECK(path && !strcmp(path, "/x"));
    free(path);
    uint64_t at = AJF_ROOT;
    for (int i = 0; i < 1000; i++)
        at = bind_at(at, "deep", dir_attr(1), LATER, true);
    path = ajf_inode_path(table, at, "end", 3);
    CHECK(path && strlen(path) == 5004 && !strcmp(path + 4995, "/deep/end"));
    free(path);
    teardown();
}

static void what_is_no_record_is_stale(void)
{
    struct ajf_inode_view v;
    setup();
    CHECK_EQ(ajf_inode_get(table, 0, &v), -ESTALE);
    CHECK_EQ(ajf_inode_get(table, 2, &v), -ESTALE);
    CHECK_EQ(ajf_inode_get(table, AJF_INODES_MAX - 1, &v), -ESTALE);
    CHECK_EQ(ajf_inode_get(table, AJF_INODES_MAX, &v), -ESTALE);
    CHECK_EQ(ajf_inode_get(table, UINT64_MAX, &v), -ESTALE);
    CHECK_EQ(ajf_inode_name(table, AJF_ROOT, &(uint64_t){0}, (char[AJF_NAME_MAX]){0}, &(size_t){0}), -ENOENT);
    teardown();
}

static void the_kernels_listing_is_known_by_its_stamp(void)
{
    setup();
    uint64_t d = bind_at(AJF_ROOT, "d", dir_attr(1), LATER, true);
    CHECK(ajf_inode_dir_open(table, d, 7, 0, 1) == AJF_DIR_FRESH);
    CHECK(ajf_inode_dir_open(table, d, 7, 0, 2) == AJF_DIR_UNSETTLED); /* the first has not read yet */
    ajf_inode_dir_read(table, d, 7, 0);
    CHECK(ajf_inode_dir_open(table, d, 7, 0, 3) == AJF_DIR_UNSETTLED);
    ajf_inode_dir_read(table, d, 7, 1);
    CHECK(ajf_inode_dir_open(table, d, 7, 0, 4) == AJF_DIR_KEEP);
    CHECK(ajf_inode_dir_open(table, d, 8, 0, 5) == AJF_DIR_FRESH);
    ajf_inode_settle(table, d, 5); /* without having read */
    CHECK(ajf_inode_dir_open(table, d, 8, 0, 6) == AJF_DIR_KEEP);
    ajf_inode_dir_read(table, d, 7, 0); /* an older listing */
    CHECK(ajf_inode_dir_open(table, d, 8, 0, 7) == AJF_DIR_FRESH);
    ajf_inode_settle(table, d, 7);
    CHECK(ajf_inode_dir_open(table, d, 0, 0, 8) == AJF_DIR_FRESH); /* one that is not known yet */
    CHECK(ajf_inode_dir_open(table, d, 9, 0, 9) == AJF_DIR_UNSETTLED); /* whatever it will be */
    ajf_inode_dir_read(table, d, 9, 8);
    CHECK(ajf_inode_dir_open(table, d, 9, 0, 10) == AJF_DIR_KEEP);
    uint64_t a = bind_at(d, "a", file_attr(1), LATER, true), b = bind_at(d, "b", file_attr(2), LATER, true);
    CHECK(ajf_inode_dir_open(table, d, 9, 2, 11) == AJF_DIR_KEEP);
    ajf_inode_forget(table, a, 1);
    CHECK(ajf_inode_dir_open(table, d, 9, 1, 12) == AJF_DIR_KEEP);
    CHECK(ajf_inode_dir_open(table, d, 9, 2, 13) == AJF_DIR_FRESH);
    ajf_inode_forget(table, b, 1);
    teardown();
}

static void after_the_sweep_nothing_is_born_and_nothing_dies(void)
{
    setup();
    uint64_t id = bind_at(AJF_ROOT, "a", file_attr(1), LATER, true);
    ajf_inode_ref(table, id);
    ajf_inodes_sweep(table);
    CHECK_EQ(born(), died());
    ajf_inode_unref(table, id);
    ajf_inode_forget(table, id, 1);
    ajf_inode_unbind(table, AJF_ROOT, "late", 4, true, LATER, LATER);
    ajf_inode_gone(table, id);
    CHECK_EQ(born(), died());
    ajf_inodes_done(table);
    free(table);
}

static void a_million_records(void)
{
    enum { MANY = 1000000 };
    char name[32];
    struct ajf_inode_view v;
    uint32_t *ids = malloc(MANY * sizeof *ids);
    NEED(ids);
    setup();
    for (unsigned i = 0; i < MANY; i++) {
        struct ajf_attr attr = file_attr(i);
        int len = snprintf(name, sizeof name, "file-%u", i);
        NEED(!ajf_inode_bind(table, AJF_ROOT, name, (size_t)len, &attr, LATER, true, &v));
        ids[i] = (uint32_t)v.nodeid;
    }
    CHECK_EQ(ajf_inode_count(table), MANY);
    for (unsigned i = 0; i < MANY; i += 997) {
        int len = snprintf(name, sizeof name, "file-%u", i);
        CHECK_EQ(ajf_inode_find(table, AJF_ROOT, name, (size_t)len, 0, &v), 0);
        CHECK_EQ(v.nodeid, ids[i]);
        CHECK_EQ(v.attr.version, i);
        ajf_inode_forget(table, ids[i], 1);
    }
    for (unsigned i = 0; i < MANY; i++)
        ajf_inode_forget(table, ids[i], 1);
    CHECK_EQ(ajf_inode_count(table), 0);
    free(ids);
    teardown();
}

/* Each thread has names of its own and some that all fight for. */
static void *hammer(void *arg)
{
    uint64_t random = (uintptr_t)arg + 1, mine = 0;
    char name[32];
    for (unsigned i = 0; i < 20000; i++) {
        struct ajf_attr attr = file_attr(check_below(&random, 3));
        struct ajf_inode_view v;
        bool own = check_below(&random, 2);
        int len = own ? snprintf(name, sizeof name, "own%d-%u", (int)(uintptr_t)arg, i % 50)
                      : snprintf(name, sizeof name, "shared%u", (unsigned)check_below(&random, 8));
        switch (check_below(&random, 4)) {
        case 0:
            ajf_inode_unbind(table, AJF_ROOT, name, (size_t)len, check_below(&random, 2), LATER, i);
            break;
        case 1:
            if (!ajf_inode_find(table, AJF_ROOT, name, (size_t)len, 0, &v))
                ajf_inode_forget(table, v.nodeid, 1);
            break;
        default:
            int err = ajf_inode_bind(table, AJF_ROOT, name, (size_t)len, &attr, i, true, &v);
            if (err == -ENOENT) /* another thread is further on, and has it unbound */
                continue;
            if (err)
                CHECK_SAY("bind failed");
            ajf_inode_ref(table, v.nodeid);
            char *path = ajf_inode_path(table, v.nodeid, NULL, 0);
            if (!path || strncmp(path + 1, name, (size_t)len))
                CHECK_SAY("path %s of %s", path, name);
            free(path);
            ajf_inode_forget(table, v.nodeid, 1);
            if (mine)
                ajf_inode_unref(table, mine);
            mine = v.nodeid;
        }
    }
    if (mine)
        ajf_inode_unref(table, mine);
    return NULL;
}

static void threads_share_the_table(void)
{
    pthread_t threads[THREADS];
    setup();
    for (uintptr_t i = 0; i < THREADS; i++)
        NEED(!pthread_create(&threads[i], NULL, hammer, (void *)i));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(born() - died(), ajf_inode_count(table));
    teardown();
}

int main(void)
{
    RUN(a_bound_name_is_found_until_it_expires);
    RUN(a_record_lives_while_the_kernel_knows_it);
    RUN(a_reference_keeps_a_forgotten_record);
    RUN(too_many_forgets_are_harmless);
    RUN(children_keep_their_parents);
    RUN(a_new_version_gets_a_new_record_and_the_old_one_is_stale);
    RUN(the_same_version_keeps_its_record_and_takes_new_attributes);
    RUN(directories_keep_their_record_whatever_their_version);
    RUN(older_knowledge_does_not_overrule_newer);
    RUN(older_knowledge_does_not_bring_a_name_back);
    RUN(a_negative_entry_says_how_long_it_is_valid);
    RUN(updates_of_another_version_make_stale);
    RUN(negative_entries_expire_and_give_way);
    RUN(negative_entries_are_bounded);
    RUN(the_ring_of_negatives_spares_records_that_were_reused);
    RUN(names_of_all_lengths_are_kept_apart_and_recycled);
    RUN(a_reused_record_has_a_new_generation);
    RUN(paths_have_a_root_and_no_end_in_depth);
    RUN(what_is_no_record_is_stale);
    RUN(the_kernels_listing_is_known_by_its_stamp);
    RUN(after_the_sweep_nothing_is_born_and_nothing_dies);
    RUN(a_million_records);
    RUN(threads_share_the_table);
    CHECK_END();
}
