/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Busy polling (pool.h): while requests come close behind each other, and not when they do not.
 *
 * There is one worker, and how long it looks is either longer than any test (each request is in time) or so short that
 * the test waits until it is over (each is late): the order of events is the same on any machine.
 */
#include <sched.h>

#include "fake_kernel.h"

#define HOUR_US 3600000000u
#define BRISK_AT_ONCE 16 /* requests after which the pool is as brisk as it gets */

static struct fake k;

/* False where there is one processor, on which nothing is looked for. */
static bool setup(uint32_t busy_poll_us)
{
    struct ajf_options o = fake_options();
    o.busy_poll_us = busy_poll_us;
    fake_start(&k, &o);
    return k.m->pool.busy_poll_ns || !busy_poll_us;
}

static void teardown(void)
{
    fake_end(&k);
}

/* Waits until the worker has done with the last request; the moment from which on the next one is late. */
static uint64_t late_from(void)
{
    struct ajf_pool *p = &k.m->pool;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        uint64_t late = p->n_idle ? p->done_ns + p->busy_poll_ns : 0;
        pthread_mutex_unlock(&p->lock);
        if (late)
            return late;
        sched_yield();
    }
}

/* Requests that are answered at once, one after the other; each comes late if they shall. */
static void ask(unsigned times, bool late)
{
    struct fuse_getattr_in in = {0};
    for (unsigned i = 0; i < times; i++) {
        uint64_t from = late_from();
        while (late && ajf_now_ns() <= from)
            sched_yield();
        fake_expect_error(&k, fake_send(&k, FUSE_GETATTR, 999999, &in, sizeof in), ESTALE);
    }
}

static void wait_for_a_look(void)
{
    while (!atomic_load(&k.m->pool.looking))
        sched_yield();
}

static void a_burst_is_looked_for(void)
{
    if (setup(HOUR_US)) {
        ask(BRISK_AT_ONCE, false);
        wait_for_a_look();
        uint64_t hits = fake_stat(&k, "busy_poll_hits");
        ask(100, false);
        wait_for_a_look();
        CHECK_EQ(fake_stat(&k, "busy_poll_hits"), hits + 100);
    }
    teardown();
}

static void make_brisk(void)
{
    late_from();
    pthread_mutex_lock(&k.m->pool.lock);
    k.m->pool.brisk = BRISK_AT_ONCE;
    pthread_mutex_unlock(&k.m->pool.lock);
}

static void an_idle_mount_sleeps(void)
{
    if (setup(1000)) {
        make_brisk();
        ask(1, true);
        late_from();
        while (atomic_load(&k.m->pool.looking) || !fake_stat(&k, "busy_polls"))
            sched_yield();
        usleep(20000); /* a worker that went on would have begun again */
        CHECK_EQ(fake_stat(&k, "busy_polls"), 1);
        CHECK(!atomic_load(&k.m->pool.looking));
    }
    teardown();
}

static void requests_that_are_far_apart_are_slept_for(void)
{
    if (setup(1000)) {
        make_brisk();
        ask(10, true);
        late_from();
        CHECK_EQ(fake_stat(&k, "busy_polls"), 2); /* each late one counts as much as four in time */
    }
    teardown();
}

static void it_can_be_turned_off(void)
{
    setup(0);
    ask(100, false);
    CHECK_EQ(fake_stat(&k, "busy_polls"), 0);
    teardown();
}

/* Who waited for the look to be over would wait for an hour. */
static void an_end_while_it_is_looked_for(void)
{
    if (setup(HOUR_US)) {
        ask(BRISK_AT_ONCE, false);
        wait_for_a_look();
    }
    teardown();
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
