/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of h2.h: one call after the other, flow control, time, abort, and how connecting fails. */
#include <signal.h>
#include <sys/un.h>

#include "base/sync.h"
#include "h2_peer.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

/* -------------------------------------------------------------------------------------------- calls in a row */

static void a_connection_serves_many_calls(void)
{
    for (unsigned wait = 0; wait < 2; wait++) {
        begin();
        for (uint32_t i = 0; i < 200; i++) {
            put_one_answer(2 * i + 1, "hello");
            put_frame(&script, WINDOW_UPDATE, 0, 0, "\0\0\0\x0c", 4);
        }
        struct ajf_h2 *h = start(&script, stay);
        for (uint32_t i = 0; i < 200; i++) {
            CHECK_EQ(call(h, true), 0);
            expect_read(h, "hello");
            CHECK_EQ(ajf_h2_finish(h, 0, wait ? PATIENCE_MS : 0), 0);
            CHECK_EQ(count_sent(HEADERS, END_HEADERS, 2 * i + 1), 1);
            CHECK_EQ(count_sent(DATA, END_STREAM, 2 * i + 1), 1);
        }
        end(h);
    }
}

static void what_is_left_of_a_call_does_not_reach_the_next(void)
{
    begin();
    put_message(&data, true, "hello", 5);
    put_padded(&script, 0, 1, data.at, data.len, 200);
    put_frame(&script, DATA, 0, 1, "more than was asked for", 23);
    put_headers(&script, END_STREAM, 1);
    put_frame(&script, CONTINUATION, END_HEADERS, 1, "rest", 4);
    put_frame(&script, RST_STREAM, 0, 1, "\0\0\0\0", 4);
    put_one_answer(3, "world");
    for (line.most = 0; line.most < 3; line.most++) {
        struct ajf_h2 *h = start_call(stay);
        expect_read(h, "hello");
        CHECK_EQ(ajf_h2_finish(h, 0, 0), 0);
        CHECK_EQ(call(h, true), 0);
        expect_read(h, "world");
        CHECK_EQ(ajf_h2_finish(h, 0, PATIENCE_MS), 0);
        end(h);
    }
    memset(&line, 0, sizeof line);
}

static void data_that_nobody_asked_for_ends_the_connection(void)
{
    for (unsigned wait = 0; wait < 2; wait++) {
        begin();
        put_one_answer(1, "hello, world");
        struct ajf_h2 *h = start_call(stay);
        expect_read(h, "hello");
        CHECK_EQ(ajf_h2_finish(h, 0, wait ? PATIENCE_MS : 0), -EPROTO);
        CHECK_EQ(call(h, true), -EPROTO);
        end(h);
    }
}

static void a_call_that_was_left_ends_behind_what_still_comes(void)
{
    struct text more = some_data(100000);
    for (line.most = 0; line.most < 20000; line.most += 7001) {
        begin();
        put_message(&data, true, "hello, ", 7);
        put_message(&data, true, more.at, more.len);
        put_padded(&script, 0, 1, data.at, 20, 9);
        put_frame(&script, PING, 0, 0, "12345678", 8);
        put_frame(&script, DATA, 0, 1, data.at + 20, data.len - 20);
        put_headers(&script, END_HEADERS | END_STREAM, 1);
        put_one_answer(3, "world");
        struct ajf_h2 *h = start_call(stay);
        expect_read(h, "hello");
        CHECK_EQ(ajf_h2_leave(h), 0);
        CHECK_EQ(ajf_h2_leave(h), 0);
        CHECK_EQ(ajf_h2_finish(h, 2 + more.len, PATIENCE_MS), 0);
        CHECK_EQ(count_sent(DATA, END_STREAM, 1), 1);
        CHECK_EQ(count_sent(PING, ACK, 0), 1);
        CHECK_EQ(call(h, true), 0);
        expect_read(h, "world");
        CHECK_EQ(ajf_h2_finish(h, 0, PATIENCE_MS), 0);
        CHECK_EQ(count_sent(DATA, END_STREAM, 3), 1);
        end(h);
        h = start_call(stay);
        expect_read(h, "hello");
        CHECK_EQ(ajf_h2_leave(h), 0);
        CHECK_EQ(ajf_h2_finish(h, 1 + more.len, PATIENCE_MS), -EPROTO);
        end(h);
    }
    memset(&line, 0, sizeof line);
    drop(&more);
}

static void nothing_more_is_said_of_a_call_that_was_reset(void)
{
    begin();
    put_frame(&script, RST_STREAM, 0, 1, "\0\0\0\0", 4);
    put_one_answer(3, "hello");
    struct ajf_h2 *h = start_call(stay);
    CHECK_EQ(ajf_h2_read(h, (char[1]){0}, 1, PATIENCE_MS), 0);
    CHECK_EQ(ajf_h2_finish(h, 0, 0), 0);
    CHECK_EQ(count_sent(DATA, END_STREAM, 1), 0);
    CHECK_EQ(call(h, true), 0);
    expect_read(h, "hello");
    end(h);
}

static void goaway_lets_the_call_under_way_end_and_no_other_begin(void)
{
    for (unsigned wait = 0; wait < 2; wait++) {
        begin();
        put_frame(&script, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0with text", 17);
        put_one_answer(1, "hello");
        struct ajf_h2 *h = start_call(stay);
        expect_read(h, "hello");
        CHECK_EQ(ajf_h2_finish(h, 0, wait ? PATIENCE_MS : 0), -ECONNRESET);
        CHECK_EQ(call(h, true), -ECONNRESET);
        end(h);
    }
    begin(); /* the second call has crossed the peer's farewell */
    put_one_answer(1, "hello");
    put_frame(&script, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
    struct ajf_h2 *h = start_call(stay);
    expect_read(h, "hello");
    CHECK_EQ(ajf_h2_finish(h, 0, 0), 0);
    CHECK_EQ(call(h, true), 0);
    CHECK_EQ(ajf_h2_read(h, (char[1]){0}, 1, PATIENCE_MS), -ECONNRESET);
    end(h);
}

static void an_end_of_the_connection_between_calls_shows_in_the_next(void)
{
    begin();
    put_one_answer(1, "hello");
    struct ajf_h2 *h = start_call(NULL);
    expect_read(h, "hello");
    CHECK_EQ(ajf_h2_finish(h, 0, 0), 0);
    CHECK_EQ(call(h, true), 0);
    CHECK_EQ(ajf_h2_read(h, (char[1]){0}, 1, PATIENCE_MS), -ECONNRESET);
    end(h);
}

/* ---------------------------------------------------------------------------------------------- flow control */

#define FRAME_BYTES (UINT32_C(1) << 20)
#define FRAME_DATA_BYTES (FRAME_BYTES - 13) /* the rest is lengths */

static struct {
    uint32_t stream;
    uint32_t at; /* in the frame */
    bool greeted;
    uint64_t of_stream, of_connection; /* bytes of frames */
} endless;

static void check_window(uint32_t stream, uint64_t begin_bytes, uint64_t taken)
{
    uint64_t window = begin_bytes;
    size_t at = 0;
    for (const uint8_t *f; (f = next_sent(&at));)
        if (f[3] == WINDOW_UPDATE && number(f + 5, 4) == stream)
            window += number(f + 9, 4);
    CHECK(window >= taken + GIB); /* nor does it come close */
    CHECK(window - taken <= INT32_MAX);
}

/* An answer of frames of 1 MiB, of which only the lengths are written: the data is not looked at. */
static size_t endless_source(uint8_t *to, size_t room)
{
    static const uint8_t settings[9] = {[3] = SETTINGS};
    uint8_t head[22] = {0x10, 0, 0, DATA, 0, 0, 0, 0, (uint8_t)endless.stream, 0, 0, 0x0f, 0xff, 0xfb,
                        0x0a, 0xf7, 0xff, 0x3f, 0x0a, 0xf3, 0xff, 0x3f};
    size_t done = 0;
    if (!endless.greeted && room >= sizeof settings) {
        endless.greeted = true;
        memcpy(to, settings, sizeof settings);
        done = sizeof settings;
    }
    while (done < room) {
        if (!endless.at) {
            check_window(endless.stream, INT32_MAX, endless.of_stream);
            check_window(0, 65535, endless.of_connection);
            endless.of_stream += FRAME_BYTES;
            endless.of_connection += FRAME_BYTES;
        }
        size_t n = endless.at < sizeof head ? 1 : 9 + FRAME_BYTES - endless.at;
        if (n > room - done)
            n = room - done;
        if (endless.at < sizeof head)
            to[done] = head[endless.at];
        endless.at = (endless.at + (uint32_t)n) % (9 + FRAME_BYTES);
        done += n;
        if (!endless.at)
            break; /* the next call begins with a frame of its own */
    }
    return done;
}

static uint64_t read_endless(struct ajf_h2 *h, uint8_t *buffer, uint64_t bytes)
{
    uint64_t done = 0;
    CHECK_EQ(call(h, true), 0);
    while (done < bytes) {
        ssize_t n = ajf_h2_read(h, buffer, bytes - done < 2 * MIB ? bytes - done : 2 * MIB, PATIENCE_MS);
        if (n <= 0)
            break;
        done += (uint64_t)n;
    }
    CHECK_EQ(ajf_h2_finish(h, 0, 0), 0);
    return done;
}

static void windows_never_close_nor_overflow(void)
{
    uint8_t *buffer = malloc(2 * MIB);
    NEED(buffer);
    begin();
    script.len = 0;
    struct ajf_h2 *h = start(&script, stay);
    memset(&endless, 0, sizeof endless);
    endless.stream = 1;
    line.source = endless_source;
    uint64_t much = 5 * GIB / FRAME_BYTES * FRAME_DATA_BYTES, some = 150 * UINT64_C(1) * FRAME_DATA_BYTES;
    CHECK_EQ(read_endless(h, buffer, much), much);
    for (unsigned i = 0; i < 40; i++) { /* 6 GiB in calls none of which needs a larger window of its own */
        endless.stream += 2;
        endless.of_stream = 0;
        CHECK_EQ(read_endless(h, buffer, some), some);
    }
    CHECK_EQ(endless.of_connection, 5 * GIB + 40 * 150 * UINT64_C(1) * FRAME_BYTES);
    memset(&line, 0, sizeof line);
    end(h);
    free(buffer);
}

static void requests_heed_the_windows_of_the_peer(void)
{
    static char request[1024];
    for (unsigned updates = 0; updates < 2; updates++) {
        unsigned calls = 0;
        begin();
        for (uint32_t i = 0; i < 200; i++) {
            put_one_answer(2 * i + 1, "hello");
            if (updates)
                put_frame(&script, WINDOW_UPDATE, 0, 0, "\0\0\4\5", 4);
        }
        struct ajf_h2 *h = start(&script, stay);
        int err = 0;
        for (; !err && calls < 200; calls++) {
            CHECK_EQ(ajf_h2_call(h, "/m", "a", "", request, sizeof request, true, PATIENCE_MS), 0);
            expect_read(h, "hello");
            err = ajf_h2_finish(h, 0, 0);
        }
        CHECK_EQ(err, updates ? 0 : -ECONNRESET);
        CHECK_EQ(calls, updates ? 200 : 52); /* then less is left than the longest request needs */
        if (err)
            CHECK_EQ(ajf_h2_call(h, "/m", "a", "", request, sizeof request, true, PATIENCE_MS), -ECONNRESET);
        end(h);
    }
    begin();
    put_frame(&script, SETTINGS, 0, 0, "\0\4\0\0\0\x10", 6);
    put_one_answer(1, "hello");
    struct ajf_h2 *h = start_call(stay);
    expect_read(h, "hello");
    CHECK_EQ(ajf_h2_finish(h, 0, PATIENCE_MS), -ECONNRESET);
    end(h);
}

/* ------------------------------------------------------------------------------------------- time and threads */

static void drip_pings(int fd)
{
    while (sendto(fd, "\0\0\x08\6\0\0\0\0\0pingping", 17, MSG_NOSIGNAL, NULL, 0) > 0)
        usleep(5000);
}

static pthread_t interrupted;

static void interrupt_often(int fd)
{
    char end;
    while (recv(fd, &end, 1, MSG_DONTWAIT)) {
        pthread_kill(interrupted, SIGUSR1);
        usleep(5000);
    }
}

static void ignore(int signal)
{
    (void)signal;
}

static void who_says_nothing_to_the_point_times_out(void)
{
    void (*const peers[])(int fd) = {stay, drip_pings, interrupt_often};
    struct sigaction action = {.sa_handler = ignore}; /* without SA_RESTART */
    sigaction(SIGUSR1, &action, NULL);
    interrupted = pthread_self();
    for (unsigned i = 0; i < 3; i++) {
        begin();
        put_message(&data, true, "hello", 5);
        put_frame(&script, DATA, 0, 1, data.at, data.len);
        struct ajf_h2 *h = start_call(peers[i]);
        expect_read(h, "hello");
        uint64_t before = ajf_now_ns();
        CHECK_EQ(ajf_h2_read(h, (char[1]){0}, 1, 250), -ETIMEDOUT);
        uint64_t took = ajf_now_ns() - before;
        CHECK(took >= 249 * AJF_NS_PER_MS && took < PATIENCE_MS * AJF_NS_PER_MS);
        CHECK_EQ(ajf_h2_read(h, (char[1]){0}, 1, -1), -ETIMEDOUT); /* and is asked nothing more */
        CHECK_EQ(ajf_h2_finish(h, 0, -1), -ETIMEDOUT);
        end(h);
    }
}

/* What brings no data, as fast as it can be sent. */
static void no_flood_outlasts_the_patience(void)
{
    static const struct {
        uint8_t type, flags;
        uint32_t stream;
        const char *payload;
        size_t len;
        int err;
    } floods[] = {
        {PING, 0, 0, "pingping", 8, -EPROTO},          {PING, ACK, 0, "pingping", 8, -EPROTO},
        {SETTINGS, 0, 0, "\0\3\0\0\0\x64", 6, -EPROTO}, {WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4, -EPROTO},
        {DATA, 0, 1, "", 0, -EPROTO},                  {HEADERS, END_HEADERS, 1, "\x88", 1, -EPROTO},
        {CONTINUATION, 0, 1, "x", 1, -EPROTO},         {UNKNOWN, 0, 1, "x", 1, -EPROTO},
        {DATA, 0, 3, "x", 1, -ETIMEDOUT},              {DATA, 0, 1, "\0\0\0\0\0", 5, -ETIMEDOUT},
    };
    for (unsigned i = 0; i < sizeof floods / sizeof *floods; i++) {
        begin();
        for (unsigned n = 0; n < 10001; n++)
            put_frame(&script, floods[i].type, floods[i].flags, floods[i].stream, floods[i].payload, floods[i].len);
        struct ajf_h2 *h = start_call(stay);
        CHECK_EQ(ajf_h2_read(h, (char[1]){0}, 1, floods[i].err == -EPROTO ? PATIENCE_MS : 250), floods[i].err);
        end(h);
    }
}

#define DRIPS 20
#define DRIP_MS 60
#define DRIP_PATIENCE_MS 1000
#define DRIP_BYTES 4096

static uint64_t longest_drip_ns;

static void drip_data(int fd)
{
    static const char drip[DRIP_BYTES];
    uint64_t last = ajf_now_ns();
    longest_drip_ns = 0;
    for (unsigned i = 0; i < DRIPS; i++) {
        usleep(DRIP_MS * 1000);
        sendto(fd, drip, sizeof drip, MSG_NOSIGNAL, NULL, 0);
        uint64_t now = ajf_now_ns();
        longest_drip_ns = now - last > longest_drip_ns ? now - last : longest_drip_ns;
        last = now;
    }
}

/* An answer of that many bytes of data, of which none is in the script. */
static void begin_large_answer(size_t len)
{
    struct text bytes = some_data(len);
    begin();
    put_message(&data, true, bytes.at, len);
    put_frame(&script, DATA, 0, 1, data.at, data.len);
    script.len -= len;
    drop(&bytes);
}

static void data_renews_the_patience(void)
{
    static char buffer[DRIPS * DRIP_BYTES];
    ssize_t length;
    do { /* again where this peer itself was kept waiting */
        begin_large_answer(sizeof buffer);
        struct ajf_h2 *h = start_call(drip_data);
        uint64_t before = ajf_now_ns();
        length = ajf_h2_read(h, buffer, sizeof buffer, DRIP_PATIENCE_MS);
        CHECK(length < DRIPS * DRIP_BYTES || ajf_now_ns() - before >= (DRIPS - 1) * DRIP_MS * AJF_NS_PER_MS);
        end(h);
    } while (length < DRIPS * DRIP_BYTES && longest_drip_ns > (DRIP_PATIENCE_MS - DRIP_MS) * AJF_NS_PER_MS);
    CHECK_EQ(length, DRIPS * DRIP_BYTES);
}

static void drip_bytes(int fd)
{
    while (sendto(fd, "x", 1, MSG_NOSIGNAL, NULL, 0) > 0)
        usleep(5000);
}

static void single_bytes_do_not(void)
{
    static char buffer[1 << 19];
    begin_large_answer(sizeof buffer);
    struct ajf_h2 *h = start_call(drip_bytes);
    ssize_t length = ajf_h2_read(h, buffer, sizeof buffer, 250);
    CHECK(length == -ETIMEDOUT || (length > 0 && length < 4096)); /* what came is not lost */
    CHECK_EQ(ajf_h2_read(h, buffer, sizeof buffer, -1), -ETIMEDOUT);
    end(h);
}

static void drip_pieces(int fd)
{
    static const char piece[DRIP_BYTES];
    while (sendto(fd, piece, sizeof piece, MSG_NOSIGNAL, NULL, 0) > 0)
        usleep(50000);
}

static void data_does_not_prolong_a_call_that_was_left(void)
{
    void (*const peers[])(int fd) = {stay, drip_bytes, drip_pieces};
    for (unsigned i = 0; i < 3; i++) {
        begin_large_answer(MIB - 100); /* one frame */
        struct ajf_h2 *h = start_call(peers[i]);
        CHECK_EQ(ajf_h2_leave(h), 0);
        uint64_t before = ajf_now_ns();
        CHECK_EQ(ajf_h2_finish(h, MIB, 250), -ETIMEDOUT);
        uint64_t took = ajf_now_ns() - before;
        CHECK(took >= 249 * AJF_NS_PER_MS && took < PATIENCE_MS * AJF_NS_PER_MS);
        end(h);
    }
}

static void *abort_later(void *h)
{
    usleep(30000);
    ajf_h2_abort(h);
    return NULL;
}

/* Data of another stream, which brings nothing. */
static size_t endless_nothing(uint8_t *to, size_t room)
{
    static const uint8_t settings[9] = {[3] = SETTINGS}, nothing[10] = {[2] = 1, [8] = 3};
    size_t len = endless.greeted ? sizeof nothing : sizeof settings;
    NEED(room >= len);
    memcpy(to, endless.greeted ? nothing : settings, len);
    endless.greeted = true;
    return len;
}

static void an_abort_ends_whatever_goes_on(void)
{
    static char buffer[1 << 16];
    size_t (*const sources[])(uint8_t *to, size_t room) = {NULL, NULL, endless_source, endless_nothing};
    for (unsigned i = 0; i < 4; i++) {
        pthread_t thread;
        ssize_t n;
        begin();
        struct ajf_h2 *h = start_call(i == 1 ? drip_pings : stay);
        memset(&endless, 0, sizeof endless);
        endless.stream = 1;
        line.source = sources[i]; /* with one there is always something to receive */
        NEED(!pthread_create(&thread, NULL, abort_later, h));
        do
            n = ajf_h2_read(h, buffer, sizeof buffer, -1);
        while (n > 0);
        CHECK_EQ(n, -ECANCELED);
        pthread_join(thread, NULL);
        CHECK_EQ(ajf_h2_read(h, buffer, 1, -1), -ECANCELED);
        CHECK_EQ(call(h, true), -ECANCELED);
        memset(&line, 0, sizeof line);
        end(h);
    }
    begin();
    put_one_answer(1, "hello");
    struct ajf_h2 *h = start_call(stay);
    expect_read(h, "h");
    ajf_h2_abort(h); /* what has come already is of no interest either */
    CHECK_EQ(ajf_h2_read(h, buffer, 4, -1), -ECANCELED);
    CHECK_EQ(ajf_h2_finish(h, 0, 0), -ECANCELED);
    end(h);
}

/* ------------------------------------------------------------------------------------------------- connecting */

static void nobody_there_is_an_error_of_connecting(void)
{
    struct ajf_h2 *h = NULL;
    char path[200], port[8];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(!bind(fd, (struct sockaddr *)&address, len) && !getsockname(fd, (struct sockaddr *)&address, &len));
    snprintf(port, sizeof port, "%u", ntohs(address.sin_port)); /* bound, and nobody listens */
    CHECK_EQ(ajf_h2_connect("127.0.0.1", port, PATIENCE_MS, &h), -ECONNREFUSED);
    close(fd);
    memset(path, '/', sizeof path - 1);
    path[sizeof path - 1] = 0;
    CHECK_EQ(ajf_h2_connect(path, "", PATIENCE_MS, &h), -ENAMETOOLONG);
    CHECK_EQ(ajf_h2_connect("/nowhere/at/all", "", PATIENCE_MS, &h), -ENOENT);
    CHECK(!h);
    ajf_h2_free(NULL);
}

static void *accept_later(void *listener)
{
    usleep(50000);
    close(accept(*(int *)listener, NULL, NULL));
    return NULL;
}

/* The kernel says EAGAIN there, and does not let it be waited for. */
static void a_full_queue_of_a_unix_socket_is_waited_for(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ajf_h2 *h[3] = {NULL};
    pthread_t thread;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/ajf-test-h2-%d", (int)getpid());
    unlink(address.sun_path);
    NEED(!bind(listener, (struct sockaddr *)&address, sizeof address) && !listen(listener, 0));
    CHECK_EQ(ajf_h2_connect(address.sun_path, "", PATIENCE_MS, &h[0]), 0);
    CHECK_EQ(ajf_h2_connect(address.sun_path, "", 30, &h[1]), -ETIMEDOUT);
    NEED(!pthread_create(&thread, NULL, accept_later, &listener));
    CHECK_EQ(ajf_h2_connect(address.sun_path, "", PATIENCE_MS, &h[2]), 0);
    pthread_join(thread, NULL);
    ajf_h2_free(h[0]);
    ajf_h2_free(h[2]);
    close(listener);
    unlink(address.sun_path);
}

int main(void)
{
    RUN(a_connection_serves_many_calls);
    RUN(what_is_left_of_a_call_does_not_reach_the_next);
    RUN(data_that_nobody_asked_for_ends_the_connection);
    RUN(a_call_that_was_left_ends_behind_what_still_comes);
    RUN(nothing_more_is_said_of_a_call_that_was_reset);
    RUN(goaway_lets_the_call_under_way_end_and_no_other_begin);
    RUN(an_end_of_the_connection_between_calls_shows_in_the_next);
    RUN(windows_never_close_nor_overflow);
    RUN(requests_heed_the_windows_of_the_peer);
    RUN(who_says_nothing_to_the_point_times_out);
    RUN(no_flood_outlasts_the_patience);
    RUN(data_renews_the_patience);
    RUN(single_bytes_do_not);
    RUN(data_does_not_prolong_a_call_that_was_left);
    RUN(an_abort_ends_whatever_goes_on);
    RUN(nobody_there_is_an_error_of_connecting);
    RUN(a_full_queue_of_a_unix_socket_is_waited_for);
    begin();
    drop(&script);
    drop(&sent);
    CHECK_END();
}
