/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of fetches (fetch_queue.h): lanes, limits, turns, stop. Fetches are made by hand; files are only queues. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "check.h"
#include "mount.h"

#define BOOTED 0 /* of the clock: the earliest time that there is, on a machine that has just been started, too */

static struct ajf *m;
static struct ajf_turns files[4];

static struct ajf_options options(uint32_t fetchers, uint32_t metadata_fetchers)
{
    return (struct ajf_options){.max_idle_threads = 1,
                                .max_threads = 1,
                                .max_write = 4096,
                                .uid = -1,
                                .gid = -1,
                                .umask = -1,
                                .page_bytes = 1 << 20,
                                .fetchers = fetchers,
                                .metadata_fetchers = metadata_fetchers};
}

static void setup(uint32_t fetchers, uint32_t metadata_fetchers)
{
    struct ajf_options o = options(fetchers, metadata_fetchers);
    NEED(!ajf_new(&o, &m));
    memset(files, 0, sizeof files);
    for (unsigned i = 0; i < 4; i++)
        ajf_turns_init(&files[i]);
}

static void teardown(void)
{
    ajf_free(m);
}

static struct ajf_fetch *push(unsigned file, enum ajf_lane lane)
{
    static const struct ajf_fetch_ops ops = {.bytes = sizeof(struct ajf_fetch), .counts = AJF_STAT_fetch_close};
    struct ajf_fetch *f = ajf_fetch_new(m, &ops, AJF_FETCH_CLOSE, lane, AJF_ROOT, NULL);
    NEED(f);
    f->turns = lane == AJF_LANE_METADATA ? NULL : &files[file];
    ajf_queue_push(&m->queue, f);
    return f;
}

static struct ajf_fetch *next(void)
{
    struct ajf_fetch *f = NULL;
    uint32_t missing;
    int err = ajf_fetch_next(m, 0, &f, &missing);
    CHECK(!err || err == -ETIMEDOUT);
    return err ? NULL : f;
}

static void end(struct ajf_fetch *f)
{
    if (f)
        ajf_fetch_release(f);
}

static void lanes_go_metadata_demand_prefetch(void)
{
    struct ajf_fetch *got[6], *want[6];
    setup(8, 2);
    want[4] = push(0, AJF_LANE_PREFETCH);
    want[2] = push(0, AJF_LANE_DEMAND);
    want[0] = push(0, AJF_LANE_METADATA);
    want[5] = push(0, AJF_LANE_PREFETCH);
    want[3] = push(0, AJF_LANE_DEMAND);
    want[1] = push(0, AJF_LANE_METADATA);
    for (int i = 0; i < 6; i++)
        CHECK((got[i] = next()) == want[i]);
    CHECK(!next());
    for (int i = 0; i < 6; i++)
        end(got[i]);
    teardown();
}

static void data_leaves_fetchers_to_metadata(void)
{
    struct ajf_fetch *got[8];
    setup(4, 2);
    for (int i = 0; i < 8; i++)
        push((unsigned)i % 4, AJF_LANE_DEMAND);
    for (int i = 0; i < 4; i++)
        CHECK((got[i] = next()) != NULL);
    CHECK(!next());
    push(0, AJF_LANE_METADATA);
    struct ajf_fetch *meta = next();
    CHECK(meta && meta->info.lane == AJF_LANE_METADATA);
    end(meta);
    for (int i = 0; i < 4; i++) { /* each that ends lets one more go */
        end(got[i]);
        got[i] = next();
        CHECK(got[i] != NULL);
        CHECK(!next());
    }
    for (int i = 0; i < 4; i++)
        end(got[i]);
    teardown();
}

static void prefetch_takes_half_and_no_file_takes_all(void)
{
    struct ajf_fetch *got[16];
    unsigned n = 0;
    setup(8, 1);
    for (int i = 0; i < 12; i++)
        push((unsigned)i % 4, AJF_LANE_PREFETCH);
    while (n < 16 && (got[n] = next()))
        n++;
    CHECK_EQ(n, 4);
    for (int i = 0; i < 12; i++)
        push(0, AJF_LANE_DEMAND);
    while (n < 16 && (got[n] = next()))
        n++;
    CHECK_EQ(n, 8);
    while (n)
        end(got[--n]);
    while ((got[0] = next())) /* what is left, one after another */
        end(got[0]);
    for (int i = 0; i < 12; i++)
        push(0, AJF_LANE_DEMAND);
    while (n < 16 && (got[n] = next()))
        n++;
    CHECK_EQ(n, 7); /* seven eighths */
    push(1, AJF_LANE_DEMAND);
    struct ajf_fetch *other = next();
    CHECK(other && other->turns == &files[1]);
    end(other);
    while (n)
        end(got[--n]);
    while ((got[0] = next()))
        end(got[0]);
    teardown();
}

static void files_take_turns(void)
{
    struct ajf_fetch *f;
    setup(16, 1);
    for (int i = 0; i < 4; i++)
        push(0, AJF_LANE_DEMAND);
    for (int i = 0; i < 2; i++)
        push(1, AJF_LANE_DEMAND);
    static const unsigned want[] = {0, 1, 0, 1, 0, 0};
    for (int i = 0; i < 6; i++) {
        f = next();
        CHECK(f && f->turns == &files[want[i]]);
        end(f);
    }
    teardown();
}

static void promoted_prefetch_is_demand(void)
{
    setup(8, 1);
    struct ajf_fetch *a = push(0, AJF_LANE_PREFETCH), *b = push(0, AJF_LANE_PREFETCH);
    ajf_queue_promote(&m->queue, b);
    ajf_queue_promote(&m->queue, b);
    struct ajf_fetch *f = next();
    CHECK(f == b && f->info.lane == AJF_LANE_DEMAND);
    ajf_queue_promote(&m->queue, b); /* under way: no effect */
    end(f);
    f = next();
    CHECK(f == a);
    end(f);
    teardown();
}

static void only_what_is_queued_can_be_cancelled(void)
{
    setup(8, 1);
    struct ajf_fetch *a = push(0, AJF_LANE_DEMAND), *b = push(0, AJF_LANE_DEMAND);
    CHECK(ajf_queue_cancel(&m->queue, b));
    struct ajf_fetch *f = next();
    CHECK(f == a);
    CHECK(!ajf_queue_cancel(&m->queue, a));
    CHECK(!next());
    end(f);
    ajf_fetch_free(b);
    teardown();
}

/* Takes a fetch, and gives back how many threads are missing then. */
static uint32_t missing_after(struct ajf_fetch **ret_f)
{
    uint32_t missing = UINT32_MAX;
    NEED(!ajf_fetch_next(m, 0, ret_f, &missing));
    return missing;
}

static void as_many_threads_are_missing_as_could_begin_and_one(void)
{
    struct ajf_fetch *f[4], *queued[8];
    setup(4, 2);
    push(0, AJF_LANE_METADATA);
    CHECK_EQ(missing_after(&f[0]), 1); /* nothing waits, and nobody is ready */
    for (unsigned i = 0; i < 8; i++)
        queued[i] = push(i % 4, AJF_LANE_PREFETCH);
    CHECK_EQ(missing_after(&f[1]), 1 + 1); /* half of the fetchers */
    ajf_queue_promote(&m->queue, queued[7]);
    CHECK_EQ(missing_after(&f[2]), 1 + 1); /* the promoted one is taken */
    CHECK(f[2] == queued[7]);
    for (unsigned i = 0; i < 8; i++)
        push(i % 4, AJF_LANE_DEMAND);
    push(0, AJF_LANE_METADATA);
    CHECK_EQ(missing_after(&f[3]), 2 + 1); /* as far as data may go: f[1] and f[2] are under way */
    CHECK_EQ(f[3]->info.lane, AJF_LANE_METADATA);
    CHECK(ajf_queue_cancel(&m->queue, queued[6]));
    ajf_fetch_free(queued[6]);
    for (int i = 0; i < 4; i++)
        end(f[i]);
    while ((f[0] = next()))
        end(f[0]);
    push(0, AJF_LANE_METADATA);
    CHECK_EQ(missing_after(&f[0]), 1); /* the counts have come back to nothing */
    end(f[0]);
    teardown();
}

static void who_waits_is_not_missing(void)
{
    struct ajf_fetch *f[3];
    setup(4, 3);
    m->queue.waiting = 2; /* as if two threads were in ajf_fetch_next */
    for (int i = 0; i < 3; i++)
        push(0, AJF_LANE_METADATA);
    CHECK_EQ(missing_after(&f[0]), 1);
    CHECK_EQ(missing_after(&f[1]), 0);
    CHECK_EQ(missing_after(&f[2]), 0);
    m->queue.waiting = 0;
    for (int i = 0; i < 3; i++)
        end(f[i]);
    teardown();
}

static void a_place_given_up_is_given_up_once(void)
{
    struct ajf_fetch *f[3];
    setup(2, 1);
    for (unsigned i = 0; i < 5; i++)
        push(i % 4, AJF_LANE_DEMAND);
    f[0] = next();
    f[1] = next();
    CHECK(f[0] && f[1] && !next());
    ajf_queue_uncount(&m->queue, f[0]); /* it hangs */
    ajf_queue_uncount(&m->queue, f[0]);
    f[2] = next();
    CHECK(f[2] != NULL);
    CHECK(!next());
    end(f[0]); /* it came back after all: no second place for that */
    CHECK(!next());
    end(f[1]);
    end(f[2]);
    while ((f[0] = next()))
        end(f[0]);
    teardown();
}

/* Takes all that may begin; how many that is. However slow the test is, none of them has been under way for long. */
static unsigned take(struct ajf_fetch **got)
{
    struct ajf_fetch *f;
    unsigned n = 0;
    while ((f = next())) {
        f->picked_ns += 3600 * AJF_NS_PER_S;
        got[n++] = f;
    }
    return n;
}

static void hang(struct ajf_fetch *f)
{
    f->picked_ns -= 3601 * AJF_NS_PER_S;
}

static void as_many_are_fetched_ahead_as_it_is_worth(void)
{
    struct ajf_fetch *f[16];
    setup(16, 1);
    m->queue.max_ahead = 6;
    for (unsigned i = 0; i < 12; i++)
        push(i % 4, AJF_LANE_AHEAD);
    CHECK_EQ(take(f), AJF_PACE_LEAST);
    for (unsigned i = 0; i < 2; i++) {
        end(f[i]); /* what brought nothing says nothing */
        CHECK_EQ(take(f + i), 1);
    }
    f[0]->came = true; /* from a server that is far away */
    f[0]->started_ns -= 10 * AJF_NS_PER_MS;
    end(f[0]);
    CHECK_EQ(take(f + 2), 6 - 1);
    ajf_pace_note(&m->queue.pace, 0); /* it has come nearer */
    end(f[1]);
    CHECK_EQ(take(f), 0);
    for (unsigned i = 2; i < 7; i++)
        end(f[i]);
    while ((f[0] = next()))
        end(f[0]);
    teardown();
}

static void what_hangs_keeps_nothing_from_being_fetched_ahead(void)
{
    struct ajf_fetch *f[16];
    setup(16, 1);
    m->queue.max_ahead = 4;
    for (unsigned i = 0; i < 8; i++)
        push(i % 4, AJF_LANE_AHEAD);
    CHECK_EQ(take(f), 2);
    hang(f[0]);
    CHECK_EQ(take(f + 2), 1);
    hang(f[1]);
    ajf_queue_uncount(&m->queue, f[0]); /* given up: it does not count at all */
    CHECK_EQ(take(f + 3), 1);
    hang(f[2]);
    CHECK_EQ(take(f + 4), 1);
    hang(f[3]);
    hang(f[4]);
    CHECK_EQ(take(f + 5), 0); /* there may be no more at once, whatever becomes of them */
    for (unsigned i = 0; i < 5; i++)
        end(f[i]);
    while ((f[0] = next()))
        end(f[0]);
    teardown();
}

/* A thread in ajf_fetch_next, for one fetch. */
struct waiting {
    pthread_t thread;
    atomic_int served;
};

static void *serve_one(void *arg)
{
    struct ajf_fetch *f;
    uint32_t missing;
    CHECK(!ajf_fetch_next(m, -1, &f, &missing));
    ajf_fetch_release(f);
    atomic_store(&((struct waiting *)arg)->served, 1);
    return NULL;
}

static void until_waiting(uint32_t n)
{
    uint32_t now = UINT32_MAX;
    while (now != n) {
        sched_yield();
        pthread_mutex_lock(&m->queue.lock);
        now = m->queue.waiting;
        pthread_mutex_unlock(&m->queue.lock);
    }
}

static void what_nobody_wants_keeps_no_place_when_it_hangs(void)
{
    setup(3, 1);
    struct ajf_fetch *hanging[3], *waiting[3];
    for (unsigned i = 0; i < 3; i++)
        CHECK((hanging[i] = push(i, AJF_LANE_DEMAND)) && next() == hanging[i]);
    for (unsigned i = 0; i < 3; i++)
        waiting[i] = push(3, AJF_LANE_DEMAND);
    CHECK(!next());
    hanging[0]->picked_ns = BOOTED; /* it is wanted */
    CHECK(!ajf_queue_cancel(&m->queue, hanging[1]));
    CHECK(!ajf_queue_cancel(&m->queue, hanging[2]));
    CHECK(!next());
    hanging[1]->picked_ns = BOOTED;
    CHECK(next() == waiting[0]);
    CHECK(!next());
    end(hanging[1]); /* it comes back after all, and has no place to give up */
    CHECK(!next());
    end(hanging[2]);
    CHECK(next() == waiting[1]);
    end(hanging[0]);
    CHECK(!next()); /* of one file */
    end(waiting[0]);
    CHECK(next() == waiting[2]);
    end(waiting[1]);
    end(waiting[2]);
    for (int lane = 0; lane < AJF_LANES; lane++)
        CHECK_EQ(m->queue.running[lane], 0);
    teardown();
}

static void nor_does_a_look_up(void)
{
    setup(1, 1);
    struct ajf_fetch *hanging[2], *waiting;
    for (unsigned i = 0; i < 2; i++)
        CHECK((hanging[i] = push(0, AJF_LANE_METADATA)) && next() == hanging[i]);
    waiting = push(0, AJF_LANE_METADATA);
    CHECK(!ajf_queue_cancel(&m->queue, hanging[1]));
    CHECK(!next());
    hanging[0]->picked_ns = hanging[1]->picked_ns = BOOTED;
    CHECK(next() == waiting);
    for (unsigned i = 0; i < 2; i++)
        end(hanging[i]);
    end(waiting);
    teardown();
}

static void who_came_last_is_woken_first(void)
{
    struct waiting w[4] = {{.served = 0}};
    setup(8, 1);
    for (uint32_t i = 0; i < 4; i++) {
        NEED(!pthread_create(&w[i].thread, NULL, serve_one, &w[i]));
        until_waiting(i + 1);
    }
    for (uint32_t i = 4; i-- > 0;) {
        push(0, AJF_LANE_METADATA);
        pthread_join(w[i].thread, NULL);
        for (uint32_t j = 0; j < 4; j++)
            CHECK_EQ(atomic_load(&w[j].served), j >= i);
    }
    teardown();
}

static void *wait_for_one(void *arg)
{
    struct ajf_fetch *f = NULL;
    uint32_t missing;
    *(int *)arg = ajf_fetch_next(m, -1, &f, &missing);
    if (f)
        ajf_fetch_release(f);
    return NULL;
}

static void the_stop_wakes_everybody_and_later_calls_return_at_once(void)
{
    pthread_t threads[4];
    int errs[4] = {1, 1, 1, 1};
    setup(8, 1);
    for (int i = 0; i < 4; i++)
        NEED(!pthread_create(&threads[i], NULL, wait_for_one, &errs[i]));
    push(0, AJF_LANE_METADATA);
    ajf_queue_stop(&m->queue);
    int served = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK(errs[i] == -ESHUTDOWN || errs[i] == 0);
        served += errs[i] == 0;
    }
    CHECK(served <= 1);
    wait_for_one(&errs[0]);
    CHECK_EQ(errs[0], -ESHUTDOWN);
    ajf_queue_clear(&m->queue);
    CHECK_EQ(atomic_load(&m->stats.value[AJF_STAT_fetches_born]), atomic_load(&m->stats.value[AJF_STAT_fetches_died]));
    teardown();
}

static _Atomic unsigned under_way[AJF_LANES], served_total;

static void *serve_many(void *arg)
{
    struct ajf_fetch *f;
    uint32_t missing;
    (void)arg;
    while (!ajf_fetch_next(m, 200, &f, &missing)) {
        enum ajf_lane lane = f->info.lane;
        atomic_fetch_add(&under_way[lane], 1u);
        if (atomic_load(&under_way[AJF_LANE_PREFETCH]) > 4 ||
            atomic_load(&under_way[AJF_LANE_PREFETCH]) + atomic_load(&under_way[AJF_LANE_DEMAND]) > 8)
            CHECK_SAY("more data under way than allowed");
        atomic_fetch_sub(&under_way[lane], 1u);
        ajf_fetch_release(f);
        atomic_fetch_add(&served_total, 1u);
    }
    return NULL;
}

static void no_signal_is_lost_with_many_threads(void)
{
    enum { MANY = 20000 };
    pthread_t threads[12];
    uint64_t random = 5;
    setup(8, 4);
    atomic_store(&served_total, 0u);
    for (int i = 0; i < 12; i++)
        NEED(!pthread_create(&threads[i], NULL, serve_many, NULL));
    for (int i = 0; i < MANY; i++)
        push((unsigned)check_below(&random, 4), (enum ajf_lane)check_below(&random, AJF_LANES));
    for (int i = 0; i < 12; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(atomic_load(&served_total), MANY);
    teardown();
}

int main(void)
{
    RUN(lanes_go_metadata_demand_prefetch);
    RUN(data_leaves_fetchers_to_metadata);
    RUN(prefetch_takes_half_and_no_file_takes_all);
    RUN(files_take_turns);
    RUN(promoted_prefetch_is_demand);
    RUN(only_what_is_queued_can_be_cancelled);
    RUN(as_many_threads_are_missing_as_could_begin_and_one);
    RUN(who_waits_is_not_missing);
    RUN(a_place_given_up_is_given_up_once);
    RUN(as_many_are_fetched_ahead_as_it_is_worth);
    RUN(what_hangs_keeps_nothing_from_being_fetched_ahead);
    RUN(what_nobody_wants_keeps_no_place_when_it_hangs);
    RUN(nor_does_a_look_up);
    RUN(who_came_last_is_woken_first);
    RUN(the_stop_wakes_everybody_and_later_calls_return_at_once);
    RUN(no_signal_is_lost_with_many_threads);
    CHECK_END();
}
