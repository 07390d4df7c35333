/* SPDX-License-Identifier: Apache-2.0 */
/* What waits in a mount, as ajf_waiting and ajf_untaken tell it (ajf.h), against a kernel that the test plays. */
#include "check.h"
#include <stdlib.h>

#include "fake_kernel.h"

#define SIZE 10000
#define MOST 8

static struct fake k;

static void start(void)
{
    struct ajf_options o = fake_options();
    o.max_threads = o.max_idle_threads = 1; /* what was sent later is answered after all that was sent before */
    fake_start(&k, &o);
}

static void fail(enum ajf_fetch_kind kind)
{
    struct ajf_fetch *f = fake_fetch(&k, kind, NULL);
    ajf_fetch_fail(f, EIO);
    ajf_fetch_release(f);
}

static void a_request_that_waits(void)
{
    struct ajf_waiting w[MOST];
    start();
    uint64_t nodeid = fake_find_and_open(&k, "file", SIZE, 5);
    CHECK_EQ(ajf_waiting(k.m, w, MOST), 0);
    uint64_t first = fake_read(&k, nodeid, 4096, 100), other = fake_lookup(&k, 1, "name");
    CHECK(fake_is_parked(&k, first));
    CHECK(fake_is_parked(&k, other));
    CHECK_EQ(ajf_waiting(k.m, w, 1), 1);
    CHECK(!strcmp(w[0].op, "Read"));
    free(w[0].path);
    CHECK_EQ(ajf_waiting(k.m, w, MOST), 2);
    CHECK(!strcmp(w[0].op, "Read")); /* the oldest first */
    CHECK(!strcmp(w[0].path, "/file"));
    CHECK_EQ(w[0].offset, 4096);
    CHECK_EQ(w[0].size, 100);
    CHECK(w[0].waited_ns >= w[1].waited_ns);
    CHECK(!strcmp(w[1].op, "Lookup"));
    CHECK(!strcmp(w[1].path, "/"));
    for (int i = 0; i < 2; i++)
        free(w[i].path);
    fail(AJF_FETCH_STAT);
    fake_answer_read(&k);
    fake_expect_bytes(&k, first, 4096, 100, 5);
    fake_expect_error(&k, other, EIO);
    CHECK_EQ(ajf_waiting(k.m, w, MOST), 0);
    fake_end(&k);
}

static void fetches_that_nobody_has_taken(void)
{
    struct ajf_untaken u[MOST];
    start();
    uint64_t nodeid = fake_find_and_open(&k, "file", SIZE, 5);
    CHECK_EQ(ajf_untaken(k.m, u, MOST), 0);
    uint64_t read = fake_read(&k, nodeid, 0, 100), other = fake_lookup(&k, 1, "name");
    CHECK(fake_is_parked(&k, read));
    CHECK(fake_is_parked(&k, other));
    CHECK_EQ(ajf_untaken(k.m, u, MOST), 2);
    CHECK_EQ(u[0].info.kind, AJF_FETCH_STAT); /* of the first lane */
    CHECK(!strcmp(u[0].path, "/name"));
    CHECK_EQ(u[1].info.kind, AJF_FETCH_READ);
    CHECK_EQ(u[1].info.lane, AJF_LANE_DEMAND);
    CHECK(!strcmp(u[1].path, "/file"));
    CHECK_EQ(u[1].info.offset, 0);
    CHECK_EQ(u[1].info.length, 4096);
    CHECK(!u[1].starved);
    for (int i = 0; i < 2; i++)
        free(u[i].path);
    CHECK_EQ(ajf_untaken(k.m, u, 1), 1);
    free(u[0].path);
    fail(AJF_FETCH_STAT);
    fail(AJF_FETCH_READ);
    CHECK_EQ(ajf_untaken(k.m, u, MOST), 0);
    fake_expect_error(&k, other, EIO);
    fake_expect_error(&k, read, EIO);
    fake_end(&k);
}

int main(void)
{
    RUN(a_request_that_waits);
    RUN(fetches_that_nobody_has_taken);
    CHECK_END();
}
