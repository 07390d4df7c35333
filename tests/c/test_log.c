/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of messages (log.h). */
#include <pthread.h>
#include <string.h>

#include "base/log.h"
#include "base/sync.h"
#include "check.h"

#define WRITERS 4
#define EACH 5000

static struct ajf_stats stats;
static struct ajf_log ring;

static uint64_t lost(void)
{
    return atomic_load(&stats.value[AJF_STAT_log_lost]);
}

static void setup(void)
{
    memset(&stats, 0, sizeof stats);
    NEED(!ajf_log_init(&ring, &stats));
}

static void messages_come_in_order_with_level_and_time(void)
{
    struct ajf_log_entry e;
    setup();
    for (int i = 0; i < 3; i++)
        ajf_log(&ring, AJF_LOG_WARN, "number %d", i);
    int64_t before = 0;
    for (int i = 0; i < 3; i++) {
        char want[32];
        snprintf(want, sizeof want, "number %d", i);
        CHECK_EQ(ajf_log_take(&ring, 0, &e), 0);
        CHECK(!strcmp(e.text, want));
        CHECK_EQ(e.level, AJF_LOG_WARN);
        CHECK(e.time_ns >= before);
        before = e.time_ns;
    }
    CHECK_EQ(ajf_log_take(&ring, 0, &e), -ETIMEDOUT);
    ajf_log_done(&ring);
}

static void a_full_ring_loses_the_new_ones_and_counts_them(void)
{
    struct ajf_log_entry e;
    setup();
    for (int i = 0; i < AJF_LOG_ENTRIES + 7; i++)
        ajf_log(&ring, AJF_LOG_INFO, "%d", i);
    CHECK_EQ(lost(), 7);
    for (int i = 0; i < AJF_LOG_ENTRIES; i++) {
        CHECK_EQ(ajf_log_take(&ring, 0, &e), 0);
        CHECK_EQ(atoi(e.text), i);
    }
    CHECK_EQ(ajf_log_take(&ring, 0, &e), -ETIMEDOUT);
    ajf_log_done(&ring);
}

static void long_messages_are_cut_and_ended(void)
{
    struct ajf_log_entry e;
    char text[2000];
    setup();
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ajf_log(&ring, AJF_LOG_ERROR, "%s", text);
    CHECK_EQ(ajf_log_take(&ring, 0, &e), 0);
    CHECK_EQ(strlen(e.text), AJF_LOG_TEXT_BYTES - 1);
    ajf_log_done(&ring);
}

static void after_the_stop_what_is_left_comes_and_then_the_end(void)
{
    struct ajf_log_entry e;
    setup();
    ajf_log(&ring, AJF_LOG_INFO, "last");
    ajf_log_stop(&ring);
    CHECK_EQ(ajf_log_take(&ring, -1, &e), 0);
    CHECK_EQ(ajf_log_take(&ring, -1, &e), -ESHUTDOWN);
    ajf_log_done(&ring);
}

static void waiting_takes_as_long_as_was_said(void)
{
    struct ajf_log_entry e;
    setup();
    uint64_t start = ajf_now_ns();
    CHECK_EQ(ajf_log_take(&ring, 30, &e), -ETIMEDOUT);
    CHECK(ajf_now_ns() - start >= 30 * AJF_NS_PER_MS);
    ajf_log_done(&ring);
}

static void *write_many(void *arg)
{
    for (int i = 0; i < EACH; i++)
        ajf_log(&ring, AJF_LOG_INFO, "%d %d", *(int *)arg, i);
    return NULL;
}

static void several_writers_and_a_reader_agree(void)
{
    pthread_t threads[WRITERS];
    int ids[WRITERS], next[WRITERS] = {0}, taken = 0, w, i;
    struct ajf_log_entry e;
    setup();
    for (int k = 0; k < WRITERS; k++) {
        ids[k] = k;
        NEED(!pthread_create(&threads[k], NULL, write_many, &ids[k]));
    }
    while (taken + (int)lost() < WRITERS * EACH && ajf_log_take(&ring, 1000, &e) == 0) {
        taken++;
        NEED(sscanf(e.text, "%d %d", &w, &i) == 2 && w >= 0 && w < WRITERS);
        CHECK(i >= next[w]);
        next[w] = i + 1;
    }
    for (int k = 0; k < WRITERS; k++)
        pthread_join(threads[k], NULL);
    while (ajf_log_take(&ring, 0, &e) == 0)
        taken++;
    CHECK_EQ(taken + (int)lost(), WRITERS * EACH);
    ajf_log_done(&ring);
}

int main(void)
{
    RUN(messages_come_in_order_with_level_and_time);
    RUN(a_full_ring_loses_the_new_ones_and_counts_them);
    RUN(long_messages_are_cut_and_ended);
    RUN(after_the_stop_what_is_left_comes_and_then_the_end);
    RUN(waiting_takes_as_long_as_was_said);
    RUN(several_writers_and_a_reader_agree);
    CHECK_END();
}
