/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that wait for a fetcher when those who asked have gone: nobody is to work for them. */
#include "check.h"
#include "fake_kernel.h"

#define CALLERS 100
#define DEAD_PID 4194304u /* pid_max is at most 2^22, so nobody has it */

static struct fake k;

static void questions_whose_time_has_passed_are_taken_back(void)
{
    struct ajf_options o = fake_options();
    uint64_t asked[CALLERS];
    char name[16];
    fake_start(&k, &o);
    for (int i = 0; i < CALLERS; i++) {
        snprintf(name, sizeof name, "name%d", i);
        asked[i] = fake_lookup(&k, 1, name);
    }
    CHECK(fake_is_parked(&k, asked[CALLERS - 1]));
    fake_time_passes(&k);
    for (int i = 0; i < CALLERS; i++)
        fake_expect_error(&k, asked[i], EIO);
    fake_find(&k, "name0", 4096, 1); /* asks anew, and finds nothing before it */
    CHECK(fake_no_fetch(&k));
    CHECK_EQ(fake_stat(&k, "fetch_cancelled"), CALLERS);
    CHECK_EQ(fake_stat(&k, "fetch_abandoned"), 0);
    fake_end(&k);
}

static void the_question_of_a_killed_caller_is_taken_back_unless_somebody_else_asks_it(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t living = fake_lookup(&k, 1, "both");
    CHECK(fake_is_parked(&k, living));
    k.pid = DEAD_PID;
    uint64_t killed[] = {fake_lookup(&k, 1, "both"), fake_lookup(&k, 1, "one")};
    CHECK(fake_is_parked(&k, killed[1]));
    for (int i = 0; i < 2; i++) {
        fake_interrupt(&k, killed[i]);
        fake_expect_error(&k, killed[i], EINTR);
    }
    struct ajf_fetch_info info;
    struct ajf_attr attr = fake_attr(4096, 1);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, &info);
    CHECK(strstr(info.path, "both"));
    CHECK_EQ(ajf_fetch_attr(f, &attr), 0);
    ajf_fetch_release(f);
    CHECK(fake_entry(&k, living));
    CHECK(fake_no_fetch(&k));
    fake_end(&k);
}

static void an_open_that_nobody_waits_for_is_taken_back(void)
{
    struct ajf_options o = fake_options();
    fake_start(&k, &o);
    uint64_t id = fake_find(&k, "a", 8192, 1);
    k.pid = DEAD_PID;
    uint64_t killed = fake_open(&k, id);
    CHECK(fake_is_parked(&k, killed));
    fake_interrupt(&k, killed);
    fake_expect_error(&k, killed, EINTR);
    k.pid = (uint32_t)getpid();
    uint64_t opened = fake_open(&k, id); /* it is asked for anew, once */
    fake_answer_open(&k, 55, 1, 8192);
    fake_expect_error(&k, opened, 0);
    CHECK(fake_no_fetch(&k));
    fake_release(&k, id);
    fake_answer_close(&k, 55);
    fake_end(&k);
}

static void a_listing_that_nobody_waits_for_is_taken_back(void)
{
    struct ajf_options o = fake_options();
    struct fuse_read_in in = {.size = 4096};
    fake_start(&k, &o);
    k.pid = DEAD_PID;
    uint64_t killed = fake_send(&k, FUSE_READDIR, 1, &in, sizeof in);
    CHECK(fake_is_parked(&k, killed));
    fake_interrupt(&k, killed);
    fake_expect_error(&k, killed, EINTR);
    CHECK(fake_no_fetch(&k));
    fake_end(&k);
}

int main(void)
{
    RUN(questions_whose_time_has_passed_are_taken_back);
    RUN(the_question_of_a_killed_caller_is_taken_back_unless_somebody_else_asks_it);
    RUN(an_open_that_nobody_waits_for_is_taken_back);
    RUN(a_listing_that_nobody_waits_for_is_taken_back);
    CHECK_END();
}
