/* SPDX-License-Identifier: Apache-2.0 */
/* Calls over HTTP/2 (h2.h): what is sent and heard, however it is cut; flow control, time, ends and broken peers. */
#include <signal.h>
#include <sys/un.h>

#include "h2_peer.h"
#include "sync.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MANY 0x20000 /* bytes: more than any answer here has */

static struct text script, data, got;

/* A new script, with what every server begins with. */
static void begin(void)
{
    drop(&script);
    drop(&data);
    drop(&got);
    put_begin(&script);
}

static struct ajf_h2 *start_call(void (*then)(int fd))
{
    struct ajf_h2 *h = start(&script, then);
    CHECK_EQ(call(h, true), 0);
    return h;
}

static void put_one_answer(uint32_t stream, const char *text)
{
    struct text message = {0};
    put_message(&message, true, text, strlen(text));
    put_headers(&script, END_HEADERS, stream);
    put_frame(&script, DATA, 0, stream, message.at, message.len);
    put_headers(&script, END_HEADERS | END_STREAM, stream);
    drop(&message);
}

static void expect_read(struct ajf_h2 *h, const char *text)
{
    char buffer[64];
    for (size_t at = 0; at < strlen(text);) {
        ssize_t n = ajf_h2_read(h, buffer, strlen(text) - at, PATIENCE_MS);
        CHECK(n > 0 && !memcmp(buffer, text + at, (size_t)n));
        if (n <= 0)
            return;
        at += (size_t)n;
    }
}

/* --------------------------------------------------------------------------------------------------- hearing */

static void an_answer_is_the_same_however_it_is_made_up_and_cut(void)
{
    uint64_t seed = 1;
    for (unsigned round = 0; round < 400; round++) {
        bool nested = check_below(&seed, 4);
        begin();
        data = some_data(check_below(&seed, check_below(&seed, 4) ? 300 : 40000));
        put_answer(&script, &seed, 1, nested, &data);
        line.rough = round % 2;
        line.most = round % 3 ? 1 + check_below(&seed, 1 << check_below(&seed, 16)) : 0;
        line.seed = round;
        CHECK_EQ(hear(&script, nested, 1 + check_below(&seed, 1 << check_below(&seed, 16)), &got), 0);
        CHECK(is_same(&got, &data));
        memset(&line, 0, sizeof line);
    }
}

static void it_may_come_byte_by_byte_or_break_off_receiving_anywhere(void)
{
    uint64_t seed = 2;
    begin();
    data = some_data(200);
    put_answer(&script, &seed, 1, true, &data);
    line.most = 1;
    CHECK_EQ(hear(&script, true, 64, &got), 0);
    CHECK(is_same(&got, &data));
    line.most = 0;
    for (line.edge = 1; line.edge <= script.len; line.edge++) {
        drop(&got);
        CHECK_EQ(hear(&script, true, MANY, &got), 0);
        CHECK(is_same(&got, &data));
    }
    memset(&line, 0, sizeof line);
}

static void messages_are_cut_into_frames_anywhere(void)
{
    struct text m = {0};
    put_message(&m, true, "0123", 4);
    put_message(&m, true, NULL, 0);
    put(&m, "\0\0\0\0\0" "\0\0\0\0\2\x0a\0", 12); /* no chunk at all; a chunk without data */
    put_message(&m, true, "456789", 6);
    for (size_t edge = 0; edge <= m.len; edge++) {
        begin();
        put_frame(&script, DATA, 0, 1, m.at, edge);
        put_frame(&script, PING, 0, 0, "12345678", 8);
        put_frame(&script, DATA, END_STREAM, 1, m.at + edge, m.len - edge);
        CHECK_EQ(hear(&script, true, MANY, &got), 0);
        CHECK(got.len == 10 && !memcmp(got.at, "0123456789", 10));
    }
    drop(&m);
}

static void lengths_may_be_written_with_five_bytes(void)
{
    begin();
    put(&data, "\0\0\0\0\x11\x0a\x8b\x80\x80\x80\0\x0a\x85\x80\x80\x80\0hello", 22);
    put_frame(&script, DATA, END_STREAM, 1, data.at, data.len);
    CHECK_EQ(hear(&script, true, MANY, &got), 0);
    CHECK(got.len == 5 && !memcmp(got.at, "hello", 5));
}

static void every_ending_ends_the_call(void)
{
    for (unsigned ending = 0; ending < 5; ending++) {
        begin();
        put_headers(&script, END_HEADERS, 1);
        put_message(&data, true, "hello", 5);
        uint32_t stream = ending % 2 ? 1 : UINT32_C(0x80000001); /* the highest bit says nothing */
        put_frame(&script, DATA, ending == 0 ? END_STREAM : 0, stream, data.at, data.len);
        if (ending == 1)
            put_frame(&script, DATA, END_STREAM, 1, NULL, 0);
        if (ending == 2)
            put_padded(&script, END_STREAM, 1, NULL, 0, 255);
        if (ending == 3)
            put_headers(&script, END_STREAM, 1);
        if (ending == 4)
            put_frame(&script, RST_STREAM, 0, 1, "\0\0\0\x08", 4);
        CHECK_EQ(hear(&script, true, MANY, &got), 0);
        CHECK(got.len == 5);
    }
    begin();
    put_headers(&script, END_STREAM | END_HEADERS, 1); /* nothing but trailers */
    CHECK_EQ(hear(&script, true, MANY, &got), 0);
    CHECK_EQ(got.len, 0);
}

static void what_came_before_an_end_or_an_error_is_kept(void)
{
    for (size_t most = 0; most < 3; most++) {
        line.most = most;
        begin();
        put_message(&data, true, "hello", 5);
        put_frame(&script, DATA, 0, 1, data.at, data.len - 2);
        put_headers(&script, END_STREAM | END_HEADERS, 1);
        CHECK_EQ(hear(&script, true, MANY, &got), 0);
        CHECK(got.len == 3 && !memcmp(got.at, "hel", 3));
        begin();
        put_message(&data, true, "hello", 5);
        put(&data, "\1", 1); /* a compressed message */
        put_frame(&script, DATA, 0, 1, data.at, data.len);
        CHECK_EQ(hear(&script, true, MANY, &got), -EPROTO);
        CHECK(got.len == 5 && !memcmp(got.at, "hello", 5));
        begin();
        put_message(&data, true, "hello", 5);
        put_frame(&script, DATA, 0, 1, data.at, data.len);
        script.len--; /* and the connection ends */
        CHECK_EQ(hear(&script, true, MANY, &got), -ECONNRESET);
        CHECK(got.len == 4 && !memcmp(got.at, "hell", 4));
    }
    memset(&line, 0, sizeof line);
}

static void another_frame_is_not_waited_for(void)
{
    char buffer[64];
    begin();
    put_message(&data, true, "hello", 5);
    put_frame(&script, DATA, 0, 1, data.at, data.len);
    put_frame(&script, PING, 0, 0, "12345678", 8);
    struct ajf_h2 *h = start_call(stay);
    CHECK_EQ(ajf_h2_read(h, buffer, sizeof buffer, 100), 5);
    CHECK_EQ(ajf_h2_finish(h, 0), 0); /* nothing has timed out */
    end(h);
}

static void a_message_is_read_whole(void)
{
    char buffer[8];
    struct text m = {0};
    line.most = 1;
    begin();
    put_message(&m, false, "/a/path", 7);
    put_message(&m, false, "next", 4);
    put_message(&m, false, "too long", 8);
    for (size_t i = 0; i < m.len; i++)
        put_frame(&script, DATA, 0, 1, m.at + i, 1);
    struct ajf_h2 *h = start(&script, NULL);
    CHECK_EQ(call(h, false), 0);
    CHECK_EQ(ajf_h2_read_message(h, buffer, 7, PATIENCE_MS), 7);
    CHECK(!memcmp(buffer, "/a/path", 7));
    CHECK_EQ(ajf_h2_read_message(h, buffer, 7, PATIENCE_MS), 4);
    CHECK(!memcmp(buffer, "next", 4));
    CHECK_EQ(ajf_h2_read_message(h, buffer, 7, PATIENCE_MS), -EMSGSIZE);
    end(h);
    for (unsigned whole = 0; whole < 2; whole++) {
        begin();
        put_frame(&script, DATA, END_STREAM, 1, m.at, whole ? 14 : 13);
        h = start(&script, NULL);
        CHECK_EQ(call(h, false), 0);
        CHECK_EQ(ajf_h2_read_message(h, buffer, 8, PATIENCE_MS), whole ? 7 : -EPROTO);
        CHECK_EQ(ajf_h2_read_message(h, buffer, 8, PATIENCE_MS), whole ? 0 : -EPROTO);
        end(h);
    }
    memset(&line, 0, sizeof line);
    drop(&m);
}

/* ---------------------------------------------------------------------------------------------- broken peers */

static void expect_error_behind(const void *bytes, size_t len, bool greeted, int err)
{
    drop(&script);
    drop(&got);
    if (greeted)
        put_begin(&script);
    put(&script, bytes, len);
    CHECK_EQ(hear(&script, true, MANY, &got), err);
    CHECK_EQ(got.len, 0);
}

#define EXPECT_AT_FIRST(bytes, err) expect_error_behind(bytes, sizeof bytes - 1, false, err)
#define EXPECT(bytes, err) expect_error_behind(bytes, sizeof bytes - 1, true, err)

static void who_does_not_speak_http2_is_found_out(void)
{
    EXPECT_AT_FIRST("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", -EPROTO);
    EXPECT_AT_FIRST("\x15\x03\x03\x00\x02\x02\x46", -ECONNRESET);       /* an alert of TLS is shorter than a frame */
    EXPECT_AT_FIRST("\x15\x03\x03\x00\x02\x02\x46\x15\x03", -EPROTO);
    EXPECT_AT_FIRST("SSH-2.0-OpenSSH_9.2\r\n", -EPROTO);
    EXPECT_AT_FIRST("\0\0\0\4\1\0\0\0\0", -EPROTO);                     /* settings are acknowledged, not told */
    EXPECT_AT_FIRST("\0\0\0\4\0\0\0\0\1", -EPROTO);                     /* of a stream */
    EXPECT_AT_FIRST("\0\0\x08\6\0\0\0\0\0pingping", -EPROTO);
    EXPECT_AT_FIRST("", -ECONNRESET);
}

static void broken_frames_are_errors(void)
{
    EXPECT("\x10\0\1\x42\0\0\0\0\0", -EPROTO);                           /* longer than was allowed */
    EXPECT("\0\0\7\6\0\0\0\0\0pingpon", -EPROTO);
    EXPECT("\0\0\5\4\0\0\0\0\0\0\3\0\0\0", -EPROTO);                     /* five sixths of a setting */
    EXPECT("\0\0\7\7\0\0\0\0\0\0\0\0\1\0\0\0", -EPROTO);
    EXPECT("\0\0\3\x08\0\0\0\0\0\0\0\1", -EPROTO);
    EXPECT("\0\0\4\x08\0\0\0\0\0\x7f\xff\xff\xff", -EPROTO);             /* a window of more than 2^31 - 1 */
    EXPECT("\0\0\0\0\x08\0\0\0\1", -EPROTO);                             /* padded, without a length of the padding */
    EXPECT("\0\0\4\0\x08\0\0\0\1\4abc", -EPROTO);                        /* more padding than frame */
    EXPECT("\0\0\4\0\x08\0\0\0\1\x7f" "abc", -EPROTO);
}

static void broken_messages_are_errors(void)
{
    EXPECT("\0\0\7\0\0\0\0\0\1\1\0\0\0\2\x0a\0", -EPROTO);               /* compressed */
    EXPECT("\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x12\0", -EPROTO);               /* field 2 */
    EXPECT("\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x0a\1", -EPROTO);               /* longer than its message */
    EXPECT("\0\0\x09\0\0\0\0\0\1\0\0\0\0\4\x0a\0\x0a\0", -EPROTO);       /* two fields */
    EXPECT("\0\0\x09\0\0\0\0\0\1\0\0\0\0\4\x0a\2\x12\0", -EPROTO);       /* field 2 of the chunk */
    EXPECT("\0\0\x0b\0\0\0\0\0\1\0\0\0\0\6\x0a\4\x0a\0\x0a\0", -EPROTO); /* two fields of the chunk */
    EXPECT("\0\0\6\0\0\0\0\0\1\0\0\0\0\1\x0a", -ECONNRESET);             /* no length yet: it may still come */
    EXPECT("\0\0\7\0\0\0\0\0\1\0\0\0\0\1\x0a\0", -EPROTO);               /* behind the end of the message */
    EXPECT("\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x0a\x80", -ECONNRESET);
    EXPECT("\0\0\x0c\0\0\0\0\0\1\0\0\0\0\2\x0a\x80\x80\x80\x80\x80\0", -EPROTO);
    EXPECT("\0\0\x0e\0\0\0\0\0\1\0\0\0\0\x09\x0a\x82\x80\x80\x80\x80\0\x0a\0", -EPROTO); /* six bytes of length */
    EXPECT("\0\0\x0b\0\0\0\0\0\1\0\0\0\0\1\x0a\xfb\xff\xff\xff\x0f", -EPROTO);
}

/* ----------------------------------------------------------------------------------------------- what is sent */

/* The next field of a header block: RFC 7541 without Huffman codes and the dynamic table. */
static size_t take_field(const uint8_t *p, char *ret_name, char *ret_value)
{
    static const char *const names[] = {[1] = ":authority", [4] = ":path", [31] = "content-type", [58] = "user-agent"};
    const uint8_t *at = p;
    unsigned index = *at++;
    NEED(index <= 15);
    if (index == 15)
        index += *at++;
    NEED(index < 59);
    strcpy(ret_name, index ? names[index] : "");
    for (char *to = index ? ret_value : ret_name;; to = ret_value) {
        size_t len = *at++;
        if (len == 127)
            for (unsigned shift = 0;; shift += 7) {
                len += (size_t)(*at & 127) << shift;
                if (!(*at++ & 128))
                    break;
            }
        NEED(len < 1000);
        memcpy(to, at, len);
        to[len] = 0;
        at += len;
        if (to == ret_value)
            return (size_t)(at - p);
    }
}

static void a_call_is_proper_http2_and_grpc(void)
{
    static const char *const names[] = {":path", ":authority", "content-type", "te", "user-agent", "channel-id"};
    char authority[701], name[1000], value[1000];
    const char *values[] = {"/p.Service/Method", authority, "application/grpc", "trailers", "alluxio-jnifuse", "id"};
    const size_t lengths[] = {1, 100, 126, 127, 128, 254, 255, 256, 382, 383, 384, 700}; /* of what is coded */
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t at = 0, n = 0, len = lengths[i];
        memset(authority, 'h', len);
        authority[len] = 0;
        begin();
        put_one_answer(1, "hello");
        line.most = len % 11;
        struct ajf_h2 *h = start(&script, NULL);
        CHECK_EQ(ajf_h2_call(h, values[0], authority, len % 2 ? "id" : "", "request", 7, true, PATIENCE_MS), 0);
        expect_read(h, "hello");
        CHECK_EQ(ajf_h2_finish(h, PATIENCE_MS), 0);
        end(h);
        CHECK(!memcmp(sent.at, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PREFACE_BYTES));
        const uint8_t *f = next_sent(&at);
        CHECK(number(f, 3) == 18 && !memcmp(f + 3, "\4\0\0\0\0\0\0\2\0\0\0\0\0\4\x7f\xff\xff\xff\0\5\0\x10\0\0", 24));
        CHECK(!memcmp(next_sent(&at), "\0\0\4\x08\0\0\0\0\0\x7f\xff\0\0", 13));
        f = next_sent(&at);
        CHECK(f[3] == HEADERS && f[4] == END_HEADERS && number(f + 5, 4) == 1);
        CHECK(!memcmp(f + 9, "\x20\x83\x86", 3)); /* no dynamic table, POST, http */
        for (size_t field = 12; field < 9 + number(f, 3); n++) {
            field += take_field(f + field, name, value);
            CHECK(n < 6 && !strcmp(name, names[n]) && !strcmp(value, values[n]));
        }
        CHECK_EQ(n, len % 2 ? 6 : 5);
        CHECK(!memcmp(next_sent(&at), "\0\0\x0c\0\0\0\0\0\1\0\0\0\0\7request", 21));
        CHECK_EQ(count_sent(SETTINGS, ACK, 0), 1);
        CHECK_EQ(count_sent(DATA, END_STREAM, 1), 1);
    }
    memset(&line, 0, sizeof line);
}

static void what_is_too_long_is_not_sent(void)
{
    static char text[13000];
    bool fits = true;
    memset(text, 'x', sizeof text - 1);
    begin();
    for (size_t len = 12285; len < 12292; len++) {
        struct ajf_h2 *h = start(&script, NULL);
        int err = len <= 12288 ? 0 : -E2BIG;
        CHECK_EQ(ajf_h2_call(h, "/m", "a", "id", text, len, true, PATIENCE_MS), err);
        CHECK_EQ(count_sent(HEADERS, END_HEADERS, 1), !err);
        end(h);
    }
    for (size_t len = 0; len < 2100; len += len > 1800 && len < 2050 ? 1 : 50) {
        struct ajf_h2 *h = start(&script, NULL);
        int err = ajf_h2_call(h, "/m", text + sizeof text - 1 - len, "id", "", 0, true, PATIENCE_MS);
        CHECK(err == -E2BIG || (!err && fits));
        CHECK(!err || len > 1800);
        CHECK_EQ(count_sent(HEADERS, END_HEADERS, 1), !err);
        fits = !err;
        end(h);
    }
    CHECK(!fits);
}

static void settings_and_pings_are_answered_in_the_middle_of_data(void)
{
    begin();
    put_message(&data, true, "hello", 5);
    put_frame(&script, DATA, 0, 1, data.at, data.len - 3);
    put_frame(&script, PING, 0, 0, "12345678", 8);
    put_frame(&script, PING, ACK, 0, "not this", 8);
    put_frame(&script, SETTINGS, 0, 0, NULL, 0);
    put_frame(&script, DATA, 0, 1, data.at + data.len - 3, 3);
    struct ajf_h2 *h = start_call(stay);
    expect_read(h, "hello");
    end(h);
    CHECK_EQ(count_sent(SETTINGS, ACK, 0), 2);
    CHECK_EQ(count_sent(PING, ACK, 0), 1);
    size_t at = 0;
    for (const uint8_t *f; (f = next_sent(&at));)
        CHECK(f[3] != PING || !memcmp(f + 9, "12345678", 8));
}

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
            CHECK_EQ(ajf_h2_finish(h, wait ? PATIENCE_MS : 0), 0);
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
        CHECK_EQ(ajf_h2_finish(h, 0), 0);
        CHECK_EQ(call(h, true), 0);
        expect_read(h, "world");
        CHECK_EQ(ajf_h2_finish(h, PATIENCE_MS), 0);
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
        CHECK_EQ(ajf_h2_finish(h, wait ? PATIENCE_MS : 0), -EPROTO);
        CHECK_EQ(call(h, true), -EPROTO);
        end(h);
    }
}

static void nothing_more_is_said_of_a_call_that_was_reset(void)
{
    begin();
    put_frame(&script, RST_STREAM, 0, 1, "\0\0\0\0", 4);
    put_one_answer(3, "hello");
    struct ajf_h2 *h = start_call(stay);
    CHECK_EQ(ajf_h2_read(h, (char[1]){0}, 1, PATIENCE_MS), 0);
    CHECK_EQ(ajf_h2_finish(h, 0), 0);
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
        CHECK_EQ(ajf_h2_finish(h, wait ? PATIENCE_MS : 0), -ECONNRESET);
        CHECK_EQ(call(h, true), -ECONNRESET);
        end(h);
    }
    begin(); /* the second call has crossed the peer's farewell */
    put_one_answer(1, "hello");
    put_frame(&script, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
    struct ajf_h2 *h = start_call(stay);
    expect_read(h, "hello");
    CHECK_EQ(ajf_h2_finish(h, 0), 0);
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
    CHECK_EQ(ajf_h2_finish(h, 0), 0);
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
    CHECK_EQ(ajf_h2_finish(h, 0), 0);
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
            err = ajf_h2_finish(h, 0);
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
    CHECK_EQ(ajf_h2_finish(h, PATIENCE_MS), -ECONNRESET);
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
        CHECK_EQ(ajf_h2_finish(h, -1), -ETIMEDOUT);
        end(h);
    }
}

static void drip_data(int fd)
{
    for (unsigned i = 0; i < 20; i++) {
        usleep(60000);
        sendto(fd, "x", 1, MSG_NOSIGNAL, NULL, 0);
    }
}

static void each_byte_of_data_renews_the_patience(void)
{
    char buffer[20];
    begin();
    put_message(&data, true, "01234567890123456789", 20);
    put_frame(&script, DATA, 0, 1, data.at, data.len);
    script.len -= 20;
    struct ajf_h2 *h = start_call(drip_data);
    CHECK_EQ(ajf_h2_read(h, buffer, sizeof buffer, 1000), 20); /* takes 1200 ms */
    end(h);
}

static void *abort_later(void *h)
{
    usleep(30000);
    ajf_h2_abort(h);
    return NULL;
}

/* Frames of an unknown type, which nobody answers. */
static size_t endless_nothing(uint8_t *to, size_t room)
{
    static const uint8_t settings[9] = {[3] = SETTINGS}, nothing[9] = {[3] = UNKNOWN};
    NEED(room >= 9);
    memcpy(to, endless.greeted ? nothing : settings, 9);
    endless.greeted = true;
    return 9;
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
    CHECK_EQ(ajf_h2_finish(h, 0), -ECANCELED);
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
    RUN(an_answer_is_the_same_however_it_is_made_up_and_cut);
    RUN(it_may_come_byte_by_byte_or_break_off_receiving_anywhere);
    RUN(messages_are_cut_into_frames_anywhere);
    RUN(lengths_may_be_written_with_five_bytes);
    RUN(every_ending_ends_the_call);
    RUN(what_came_before_an_end_or_an_error_is_kept);
    RUN(another_frame_is_not_waited_for);
    RUN(a_message_is_read_whole);
    RUN(who_does_not_speak_http2_is_found_out);
    RUN(broken_frames_are_errors);
    RUN(broken_messages_are_errors);
    RUN(a_call_is_proper_http2_and_grpc);
    RUN(what_is_too_long_is_not_sent);
    RUN(settings_and_pings_are_answered_in_the_middle_of_data);
    RUN(a_connection_serves_many_calls);
    RUN(what_is_left_of_a_call_does_not_reach_the_next);
    RUN(data_that_nobody_asked_for_ends_the_connection);
    RUN(nothing_more_is_said_of_a_call_that_was_reset);
    RUN(goaway_lets_the_call_under_way_end_and_no_other_begin);
    RUN(an_end_of_the_connection_between_calls_shows_in_the_next);
    RUN(windows_never_close_nor_overflow);
    RUN(requests_heed_the_windows_of_the_peer);
    RUN(who_says_nothing_to_the_point_times_out);
    RUN(each_byte_of_data_renews_the_patience);
    RUN(an_abort_ends_whatever_goes_on);
    RUN(nobody_there_is_an_error_of_connecting);
    RUN(a_full_queue_of_a_unix_socket_is_waited_for);
    begin();
    drop(&script);
    drop(&sent);
    CHECK_END();
}
