/* SPDX-License-Identifier: Apache-2.0 */
/* Busy polling (pool.h): while requests come close behind each other, and not when they do not. */
#include "fake_kernel.h"

static struct fake k;

static void setup(uint32_t busy_poll_us)
{
    struct ajf_options o = fake_options();
    o.busy_poll_us = busy_poll_us;
    fake_start(&k, &o);
}

static void teardown(void)
{
    fake_end(&k);
}

/* Requests that are answered at once, one after the other, `pause_us` between them. */
static void ask(unsigned times, useconds_t pause_us)
{
    struct fuse_getattr_in in = {0};
    for (unsigned i = 0; i < times; i++) {
        fake_expect_error(&k, fake_send(&k, FUSE_GETATTR, 999999, &in, sizeof in), ESTALE);
        if (pause_us)
            usleep(pause_us);
    }
}

static void a_burst_is_looked_for(void)
{
    setup(100000);
    ask(100, 0);
    CHECK(fake_stat(&k, "busy_poll_hits") > 50 || !k.m->pool.busy_poll_ns); /* there may be one processor only */
    teardown();
}

static void an_idle_mount_sleeps(void)
{
    setup(5000);
    ask(100, 0);
    usleep(100000);
    uint64_t polls = fake_stat(&k, "busy_polls");
    usleep(100000);
    CHECK_EQ(fake_stat(&k, "busy_polls"), polls);
    CHECK(!k.m->pool.looking);
    teardown();
}

static void requests_that_are_far_apart_are_slept_for(void)
{
    setup(1000);
    ask(30, 0); /* many of these in time, */
    ask(10, 5000);
    uint64_t polls = fake_stat(&k, "busy_polls");
    ask(10, 5000); /* and none of these */
    CHECK_EQ(fake_stat(&k, "busy_polls"), polls);
    teardown();
}

static void it_can_be_turned_off(void)
{
    setup(0);
    ask(100, 0);
    CHECK_EQ(fake_stat(&k, "busy_polls"), 0);
    teardown();
}

static void an_end_while_it_is_looked_for(void)
{
    setup(1000000);
    ask(30, 0);
    uint64_t start = ajf_now_ns();
    teardown();
    CHECK(ajf_now_ns() - start < 500 * AJF_NS_PER_MS);
}

int main(void)
{
    RUN(a_burst_is_looked_for);
    RUN(an_idle_mount_sleeps);
    RUN(requests_that_are_far_apart_are_slept_for);
    RUN(it_can_be_turned_off);
    RUN(an_end_while_it_is_looked_for);
    CHECK_END();
}
