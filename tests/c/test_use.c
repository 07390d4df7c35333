/* SPDX-License-Identifier: Apache-2.0 */
/* A program is told what was done with each file while it was open (use.h), by a mount whose kernel the test plays. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "files/file.h"
#include "traced.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define LARGE (64 * MIB)
#define PAGE 4096u

struct line {
    struct ajf_use_told use;
    const char *path;
};

static struct fake k;

static void start(void)
{
    struct ajf_options o = fake_options();
    o.prefetch_bytes = 0; /* what is fetched is what was asked for */
    o.max_threads = o.max_idle_threads = 1;
    fake_start(&k, &o);
}

static void record(void)
{
    traced_expect(&k, AJF_IOC_TRACE_USES, 0);
}

/* The one use that is told now; `path` is good until the next. */
static struct line told(void)
{
    static char path[256];
    struct line l;
    uint32_t n;
    traced_take(&k);
    NEED(traced.bytes > sizeof n + sizeof l.use);
    memcpy(&n, traced.items, sizeof n);
    NEED(n == traced.bytes - sizeof n && n - sizeof l.use < sizeof path);
    memcpy(&l.use, traced.items + sizeof n, sizeof l.use);
    snprintf(path, sizeof path, "%.*s", (int)(n - sizeof l.use), traced.items + sizeof n + sizeof l.use);
    l.path = path;
    return l;
}

static void nothing_is_told(void)
{
    traced_take(&k);
    CHECK_EQ(traced.bytes, 0);
}

/* Waits for the source. */
static void read_miss(uint64_t id, uint64_t offset, uint32_t size)
{
    uint64_t unique = fake_read(&k, id, offset, size);
    fake_answer_read(&k);
    fake_expect_bytes(&k, unique, offset, size, 1);
}

static void read_hit(uint64_t id, uint64_t offset, uint32_t size)
{
    fake_expect_bytes(&k, fake_read(&k, id, offset, size), offset, size, 1);
    CHECK(fake_no_fetch(&k));
}

static void close_file(uint64_t id)
{
    fake_release(&k, id);
    fake_answer_close(&k, 101);
}

static void it_is_told_when_nothing_is_open_any_more(void)
{
    char name[32] = "";
    FILE *comm = fopen("/proc/self/comm", "r");
    NEED(comm && fgets(name, sizeof name, comm));
    fclose(comm);
    name[strcspn(name, "\n")] = '\0';
    start();
    record();
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1);
    read_miss(id, 0, 4 * PAGE);
    read_hit(id, PAGE, PAGE);
    fake_expect_error(&k, fake_open(&k, id), 0);
    fake_release(&k, id);
    nothing_is_told();
    close_file(id);
    struct line l = told();
    CHECK_EQ(l.use.size, LARGE);
    CHECK_EQ(l.use.opens, 2);
    CHECK_EQ(l.use.reads, 2);
    CHECK_EQ(l.use.bytes, 5 * PAGE);
    CHECK_EQ(l.use.missed, 1);
    CHECK_EQ(l.use.runs, 1);
    CHECK(l.use.fetched >= 4 * PAGE);
    CHECK_EQ(l.use.failed, 0);
    CHECK_EQ(l.use.mode, AJF_MODE_CACHED);
    CHECK_EQ(l.use.still, 0);
    CHECK_EQ(l.use.tid, k.pid);
    CHECK_EQ(l.use.pid, (uint32_t)getpid());
    CHECK_EQ(l.use.uid, k.uid);
    CHECK(!strcmp(l.use.name, name));
    CHECK(!strcmp(l.path, "/a"));
    CHECK(l.use.longest && l.use.longest <= l.use.waited && l.use.waited <= 2 * l.use.lasted);
    CHECK(llabs((long long)l.use.opened / 1000000000 - (long long)time(NULL)) < 3600);
    nothing_is_told();
    fake_end(&k);
}

static uint64_t runs_of(const uint64_t *offsets, size_t n)
{
    start();
    record();
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1);
    for (size_t i = 0; i < n; i++)
        read_miss(id, offsets[i], PAGE);
    close_file(id);
    uint64_t runs = told().use.runs;
    fake_end(&k);
    return runs;
}

static void places_where_reads_begin_anew_are_counted(void)
{
    const uint64_t in_order[] = {0, PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE};
    const uint64_t overtaking[] = {0, 2 * PAGE, PAGE, 5 * PAGE, 4 * PAGE, 3 * PAGE};
    const uint64_t scattered[] = {0, 9 * MIB, 5 * MIB, 40 * MIB, 30 * MIB, 20 * MIB};
    const uint64_t in_turn[] = {0, 9 * MIB, PAGE, 9 * MIB + PAGE, 2 * PAGE, 9 * MIB + 2 * PAGE};
    const uint64_t downwards[] = {5 * PAGE, 4 * PAGE, 3 * PAGE, 2 * PAGE, PAGE, 0};
    CHECK_EQ(runs_of(in_order, 5), 1);
    CHECK_EQ(runs_of(overtaking, 6), 1);
    CHECK_EQ(runs_of(scattered, 6), 6);
    CHECK_EQ(runs_of(in_turn, 6), 2);
    CHECK_EQ(runs_of(downwards, 6), 1);
}

/* The last READ of a file is short, and a first one of a read-ahead, too. */
static void short_reads_out_of_order_begin_no_place(void)
{
    const struct {
        uint64_t offset;
        uint32_t size;
    } reads[] = {{0, 64 * KIB}, {192 * KIB, PAGE}, {128 * KIB, 64 * KIB}, {64 * KIB, 64 * KIB}};
    start();
    record();
    uint64_t id = fake_find_and_open(&k, "a", 192 * KIB + PAGE, 1);
    for (size_t i = 0; i < 4; i++)
        read_miss(id, reads[i].offset, reads[i].size);
    close_file(id);
    CHECK_EQ(told().use.runs, 1);
    fake_end(&k);
}

static void a_file_that_was_open_before_is_in_use_from_its_next_read_on(void)
{
    start();
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1), other = fake_find_and_open(&k, "b", LARGE, 1);
    for (uint64_t at = 0; at < 5; at++)
        read_miss(id, at * MIB, 64 * KIB);
    record();
    read_miss(id, 8 * MIB, PAGE);
    fake_release(&k, other);
    fake_answer_close(&k, 101);
    nothing_is_told();
    close_file(id);
    struct line l = told();
    CHECK(!strcmp(l.path, "/a"));
    CHECK_EQ(l.use.opens, 0);
    CHECK_EQ(l.use.reads, 1);
    CHECK(l.use.fetched < 4 * MIB); /* nothing from before */
    CHECK_EQ(l.use.pid, (uint32_t)getpid());
    fake_end(&k);
}

static void those_that_are_open_are_told_when_asked_for(void)
{
    start();
    record();
    traced_expect(&k, AJF_IOC_TRACE_REST, 0);
    nothing_is_told();
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1);
    read_miss(id, 0, PAGE);
    traced_expect(&k, AJF_IOC_TRACE_REST, 0);
    struct line l = told();
    CHECK_EQ(l.use.still, 1);
    CHECK_EQ(l.use.reads, 1);
    read_miss(id, PAGE * 1024, PAGE);
    close_file(id);
    l = told();
    CHECK_EQ(l.use.still, 0);
    CHECK_EQ(l.use.opens, 0);
    CHECK_EQ(l.use.reads, 1);
    fake_end(&k);
}

static void a_use_belongs_to_one_recording(void)
{
    start();
    record();
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1), other = fake_find_and_open(&k, "b", LARGE, 1);
    read_miss(id, 0, PAGE);
    read_miss(other, 0, PAGE);
    traced_expect(&k, AJF_IOC_TRACE_END, 0);
    read_miss(id, 8 * MIB, PAGE);
    record();
    read_miss(id, 16 * MIB, PAGE);
    close_file(id);
    fake_release(&k, other);
    fake_answer_close(&k, 101);
    struct line l = told();
    CHECK_EQ(l.use.reads, 1);
    CHECK_EQ(l.use.opens, 0);
    traced_expect(&k, AJF_IOC_TRACE_END, 0);
    traced_expect(&k, AJF_IOC_TRACE, 0); /* of the other kind: names of files that are opened */
    id = fake_find_and_open(&k, "c", LARGE, 1);
    close_file(id);
    traced_take(&k);
    CHECK_EQ(traced.bytes, sizeof(uint32_t) + strlen("/c"));
    fake_end(&k);
}

static void what_fails_is_counted(void)
{
    start();
    record();
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1), unique = fake_read(&k, id, 0, PAGE);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, EIO);
    ajf_fetch_release(f);
    fake_expect_error(&k, unique, EIO);
    close_file(id);
    CHECK_EQ(told().use.failed, 1);

    id = fake_find(&k, "b", LARGE, 1);
    unique = fake_open(&k, id);
    f = fake_fetch(&k, AJF_FETCH_OPEN, NULL);
    ajf_fetch_fail(f, EACCES);
    ajf_fetch_release(f);
    fake_expect_error(&k, unique, EACCES);
    struct line l = told();
    CHECK(!strcmp(l.path, "/b"));
    CHECK_EQ(l.use.failed, 1);
    CHECK_EQ(l.use.reads, 0);
    fake_end(&k);
}

/* Small files whose first open waits for their bytes. */
static void start_lazily(void)
{
    struct ajf_options o = fake_options();
    o.attr_timeout_ns = o.entry_timeout_ns = 3600 * AJF_NS_PER_S;
    fake_start(&k, &o);
    ajf_open_lazily(k.m, MIB, 8);
    record();
}

static void an_open_that_waits_in_vain_is_counted(void)
{
    start_lazily();
    uint64_t id = fake_find(&k, "a", 10000, 1), unique = fake_open(&k, id);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, EACCES);
    ajf_fetch_release(f);
    fake_expect_error(&k, unique, EACCES);
    struct line l = told();
    CHECK_EQ(l.use.failed, 1);
    CHECK(l.use.waited);

    id = fake_find(&k, "b", 10000, 2);
    unique = fake_open(&k, id);
    f = fake_fetch(&k, AJF_FETCH_READ, NULL); /* which hangs */
    fake_time_passes(&k);
    fake_expect_error(&k, unique, EIO);
    l = told();
    CHECK(!strcmp(l.path, "/b"));
    CHECK_EQ(l.use.failed, 1);
    CHECK_EQ(l.use.still, 0);
    ajf_fetch_fail(f, EIO);
    ajf_fetch_release(f);
    nothing_is_told();
    fake_end(&k);
}

static void requests_that_still_wait_have_waited(void)
{
    start();
    record();
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1), unique = fake_read(&k, id, 0, PAGE);
    CHECK(fake_is_parked(&k, unique));
    struct timespec some = {.tv_nsec = 5000000};
    nanosleep(&some, NULL);
    traced_expect(&k, AJF_IOC_TRACE_REST, 0);
    struct line l = told();
    CHECK_EQ(l.use.missed, 1);
    CHECK(l.use.waited >= 5000000 && l.use.longest >= 5000000);
    fake_answer_read(&k);
    fake_expect_bytes(&k, unique, 0, PAGE, 1);
    close_file(id);
    fake_end(&k);
}

/* A thread may act for another user from one request to the next. */
static void a_recording_mistakes_nobody(void)
{
    struct fuse_open_in in = {.flags = O_RDONLY | O_NOATIME};
    start_lazily();
    ajf_confirm_opens(k.m);
    uint64_t id = fake_find(&k, "a", 10000, 1);
    k.uid = 0;
    fake_expect_error(&k, fake_send(&k, FUSE_OPEN, id, &in, sizeof in), 0);
    k.uid = 1234;
    uint64_t unique = fake_send(&k, FUSE_OPEN, id, &in, sizeof in);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    ajf_fetch_fail(f, EACCES);
    ajf_fetch_release(f);
    fake_expect_error(&k, unique, EACCES);
    k.uid = 0;
    fake_release(&k, id);
    CHECK_EQ(told().use.uid, 0);
    fake_end(&k);
}

static void a_line_that_never_fits_is_lost(void)
{
    enum { DEPTH = 66, NAME = 255 };
    char name[NAME + 1];
    struct ajf_attr attr = fake_attr(0, 1);
    start();
    memset(name, 'd', NAME);
    name[NAME] = '\0';
    attr.mode = S_IFDIR | 0755;
    uint64_t directory = 1;
    for (unsigned i = 0; i < DEPTH; i++) {
        uint64_t asked = fake_lookup(&k, directory, name);
        struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
        attr.version = attr.ino = i + 2;
        CHECK_EQ(ajf_fetch_attr(f, &attr), 0);
        ajf_fetch_release(f);
        directory = fake_entry(&k, asked);
    }
    record();
    uint64_t asked = fake_lookup(&k, directory, "a");
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
    struct ajf_attr file = fake_attr(LARGE, 500);
    CHECK_EQ(ajf_fetch_attr(f, &file), 0);
    ajf_fetch_release(f);
    uint64_t id = fake_entry(&k, asked);
    asked = fake_open(&k, id);
    fake_answer_open(&k, 101, 500, LARGE);
    fake_expect_error(&k, asked, 0);
    traced_expect(&k, AJF_IOC_TRACE_REST, 0);
    nothing_is_told();
    CHECK_EQ(traced.lost, 1);
    close_file(id);
    fake_end(&k);
}

static void a_file_that_a_read_opens_is_told_when_it_is_handed_over(void)
{
    struct ajf_options o = fake_options();
    o.asks_no_open = true;
    o.cache_mode = AJF_CACHE_KERNEL;
    o.attr_timeout_ns = o.entry_timeout_ns = 3600 * AJF_NS_PER_S;
    fake_start(&k, &o);
    ajf_open_lazily(k.m, MIB, 8);
    record();
    uint64_t id = fake_find(&k, "a", 10000, 1), unique = fake_read(&k, id, 0, 10000);
    fake_answer_read(&k);
    fake_expect_bytes(&k, unique, 0, 10000, 1);
    fake_expect_error(&k, fake_open(&k, AJF_ROOT), ENOSYS); /* behind the thread that has answered */
    traced_expect(&k, AJF_IOC_TRACE_REST, 0);
    struct line l = told();
    CHECK_EQ(l.use.opens, 1);
    CHECK_EQ(l.use.bytes, 10000);
    CHECK_EQ(l.use.fetched, 10000);
    CHECK_EQ(l.use.pid, (uint32_t)getpid());
    fake_end(&k);
}

static void a_process_that_has_ended_has_no_name(void)
{
    pid_t child = fork();
    if (!child)
        _exit(0);
    waitpid(child, NULL, 0);
    start();
    record();
    k.pid = (uint32_t)child;
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1);
    close_file(id);
    k.pid = (uint32_t)getpid();
    struct line l = told();
    CHECK_EQ(l.use.tid, (uint32_t)child);
    CHECK_EQ(l.use.pid, 0);
    CHECK_EQ(l.use.name[0], '\0');
    fake_end(&k);
}

static void what_finds_no_room_is_lost_or_told_later(void)
{
    start();
    record();
    uint64_t id = fake_find_and_open(&k, "a", LARGE, 1), other = fake_find_and_open(&k, "b", LARGE, 1);
    uint32_t recording = ajf_trace_of(&k.m->trace, AJF_TRACE_USES);
    CHECK_EQ(ajf_trace_add(&k.m->trace, recording + AJF_TRACE_KINDS, "x", 1, NULL, 0), -ENODATA);
    while (!ajf_trace_add(&k.m->trace, recording, "x", 1, NULL, 0))
        ;
    CHECK_EQ(ajf_trace_add(&k.m->trace, recording, "x", 1, NULL, 0), -EAGAIN);
    close_file(id);
    traced_expect(&k, AJF_IOC_TRACE_REST, EAGAIN);
    do
        traced_take(&k);
    while (traced.bytes);
    CHECK_EQ(traced.lost, 1);
    traced_expect(&k, AJF_IOC_TRACE_REST, 0);
    CHECK(!strcmp(told().path, "/b"));
    close_file(other);
    nothing_is_told(); /* it has done nothing since */
    fake_end(&k);
}

int main(void)
{
    RUN(it_is_told_when_nothing_is_open_any_more);
    RUN(places_where_reads_begin_anew_are_counted);
    RUN(short_reads_out_of_order_begin_no_place);
    RUN(a_file_that_was_open_before_is_in_use_from_its_next_read_on);
    RUN(those_that_are_open_are_told_when_asked_for);
    RUN(a_use_belongs_to_one_recording);
    RUN(what_fails_is_counted);
    RUN(an_open_that_waits_in_vain_is_counted);
    RUN(requests_that_still_wait_have_waited);
    RUN(a_recording_mistakes_nobody);
    RUN(a_line_that_never_fits_is_lost);
    RUN(a_file_that_a_read_opens_is_told_when_it_is_handed_over);
    RUN(a_process_that_has_ended_has_no_name);
    RUN(what_finds_no_room_is_lost_or_told_later);
    CHECK_END();
}
