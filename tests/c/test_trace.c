/* SPDX-License-Identifier: Apache-2.0 */
/* A program is told which files are opened (trace.h), by a mount whose kernel the test plays (fake_kernel.h). */
#include <signal.h>
#include <sys/wait.h>

#include "traced.h"

#define SIZE 10

static struct fake k;

/* That these paths are told, separated by spaces. */
static void expect_paths(const char *paths)
{
    const char *item;
    size_t at = 0;
    traced_take(&k);
    for (int64_t n; (n = traced_next(&at, &item)) >= 0; paths += n + (paths[n] == ' '))
        CHECK(n && !strncmp(paths, item, (size_t)n) && (!paths[n] || paths[n] == ' '));
    CHECK(!*paths);
}

static void open_and_close(const char *name, uint64_t version)
{
    uint64_t nodeid = fake_find_and_open(&k, name, SIZE, version);
    fake_release(&k, nodeid);
    fake_answer_close(&k, 100 + version);
}

static void start(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
}

static void files_are_told_in_the_order_of_their_opens(void)
{
    start();
    open_and_close("before", 1);
    traced_expect(&k, AJF_IOC_TRACED, ENODATA);
    traced_expect(&k, AJF_IOC_TRACE, 0);
    open_and_close("b", 2);
    open_and_close("a", 3);
    open_and_close("b", 2);
    expect_paths("/b /a /b");
    expect_paths("");
    open_and_close("c", 4);
    expect_paths("/c");
    traced_expect(&k, AJF_IOC_TRACE_END, 0);
    open_and_close("after", 5);
    traced_expect(&k, AJF_IOC_TRACED, ENODATA);
    traced_expect(&k, AJF_IOC_TRACE_END, 0);
    fake_end(&k);
}

static void a_recording_that_goes_on_ends_with_the_mount(void)
{
    start();
    traced_expect(&k, AJF_IOC_TRACE, 0);
    open_and_close("a", 1);
    fake_end(&k);
}

static void only_the_owner_and_root_are_told(void)
{
    start();
    k.uid = (uint32_t)geteuid() + 1;
    traced_expect(&k, AJF_IOC_TRACE, EPERM);
    k.uid = 0;
    traced_expect(&k, AJF_IOC_TRACE, 0);
    k.uid = (uint32_t)geteuid() + 1;
    traced_expect(&k, AJF_IOC_TRACED, EPERM);
    traced_expect(&k, AJF_IOC_TRACE_END, EPERM);
    k.uid = (uint32_t)geteuid();
    open_and_close("a", 1);
    expect_paths("/a");
    fake_expect_error(&k, traced_send(&k, AJF_IOC_TRACED, 0), ENOTTY); /* of a file */
    fake_end(&k);
}

static void there_is_one_recording_while_its_process_lives(void)
{
    pid_t child = fork();
    if (!child) {
        pause();
        _exit(0);
    }
    start();
    k.pid = (uint32_t)child;
    traced_expect(&k, AJF_IOC_TRACE, 0);
    k.pid = (uint32_t)getpid();
    traced_expect(&k, AJF_IOC_TRACE, EBUSY);
    open_and_close("a", 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    traced_expect(&k, AJF_IOC_TRACE, 0);
    expect_paths(""); /* what the dead one was not told of is nobody's */
    traced_expect(&k, AJF_IOC_TRACE, EBUSY);
    k.pid = (uint32_t)child;
    traced_expect(&k, AJF_IOC_TRACE, ESRCH);
    fake_end(&k);
}

/* Paths of one record, put until there is no room; returns how many were put. */
static unsigned fill(uint64_t nodeid, unsigned more)
{
    struct ajf_trace *t = &k.m->trace;
    unsigned fit = AJF_TRACE_BYTES / 254; /* a length, "/", 249 bytes of the name */
    for (unsigned i = 0; i < fit + more; i++)
        ajf_trace_note(t, nodeid);
    return fit;
}

static void what_finds_no_room_is_lost_and_counted(void)
{
    char name[250];
    memset(name, 'x', 249);
    name[249] = '\0';
    start();
    uint64_t nodeid = fake_find(&k, name, SIZE, 1);
    traced_expect(&k, AJF_IOC_TRACE, 0);
    for (int turn = 1; turn <= 3; turn++) { /* later ones begin in the middle of the ring */
        unsigned whole = 0, fit = fill(nodeid, 7);
        for (traced_take(&k); traced.bytes; traced_take(&k)) {
            const char *item;
            size_t at = 0;
            for (int64_t n; (n = traced_next(&at, &item)) >= 0;)
                whole += n == 250 && *item == '/' && !memcmp(item + 1, name, 249);
            CHECK_EQ(traced.lost, 7 * turn);
        }
        CHECK_EQ(whole, fit);
    }
    CHECK_EQ(fake_stat(&k, "trace_lost"), 21);
    traced_expect(&k, AJF_IOC_TRACE_END, 0);
    traced_expect(&k, AJF_IOC_TRACE, 0);
    traced_take(&k);
    CHECK_EQ(traced.lost, 0);
    fake_end(&k);
}

static void a_dead_process_does_not_keep_its_ring(void)
{
    pid_t child = fork();
    if (!child) {
        pause();
        _exit(0);
    }
    start();
    uint64_t nodeid = fake_find(&k, "name", SIZE, 1);
    k.pid = (uint32_t)child;
    traced_expect(&k, AJF_IOC_TRACE, 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    for (unsigned i = 0; i <= AJF_TRACE_BYTES / sizeof "/name"; i++)
        ajf_trace_note(&k.m->trace, nodeid);
    CHECK(!atomic_load(&k.m->trace.recording));
    CHECK_EQ(fake_stat(&k, "trace_lost"), 0);
    fake_end(&k);
}

int main(void)
{
    RUN(files_are_told_in_the_order_of_their_opens);
    RUN(a_recording_that_goes_on_ends_with_the_mount);
    RUN(only_the_owner_and_root_are_told);
    RUN(there_is_one_recording_while_its_process_lives);
    RUN(what_finds_no_room_is_lost_and_counted);
    RUN(a_dead_process_does_not_keep_its_ring);
    CHECK_END();
}
