/* SPDX-License-Identifier: Apache-2.0 */
/* One call over HTTP/2 (h2.h): what is sent and heard, however it is cut, how calls end, and broken peers. */
#include "h2_peer.h"

#define MANY 0x20000 /* bytes: more than any answer here has */

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

/* A message of `n` frames of `len` bytes each, the last one apart; `odd` of them has something else before it. */
static void put_frames(size_t n, size_t len, size_t odd)
{
    struct text m = {0};
    drop(&data);
    data = some_data(n * len);
    put_message(&m, true, data.at, data.len);
    put_headers(&script, END_HEADERS, 1);
    for (size_t at = 0, i = 0; at < m.len; at += len, i++) {
        if (i == odd)
            put_frame(&script, PING, 0, 0, "12345678", 8);
        put_frame(&script, DATA, 0, 1, m.at + at, m.len - at < len ? m.len - at : len);
    }
    put_headers(&script, END_HEADERS | END_STREAM, 1);
    drop(&m);
}

static void frames_of_one_length_are_received_together(void)
{
    begin();
    put_frames(60, 1000, 0);
    CHECK_EQ(hear(&script, true, MANY, &got), 0);
    CHECK(is_same(&got, &data));
    CHECK(line.receives < 30);
}

static void what_is_no_frame_of_that_length_is_no_data(void)
{
    for (size_t odd = 0; odd < 25; odd++) {
        begin();
        put_frames(20, 100 + odd, odd);
        put_frames(3, 50, 2); /* shorter ones follow, which are no answer any more */
        drop(&data);
        data = some_data(20 * (100 + odd));
        CHECK_EQ(hear(&script, true, MANY, &got), 0);
        CHECK(is_same(&got, &data));
        CHECK_EQ(count_sent(PING, ACK, 0), odd < 21);
    }
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
    CHECK_EQ(ajf_h2_finish(h, 0, 0), 0); /* nothing has timed out */
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
        CHECK_EQ(ajf_h2_finish(h, 0, PATIENCE_MS), 0);
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

int main(void)
{
    RUN(an_answer_is_the_same_however_it_is_made_up_and_cut);
    RUN(it_may_come_byte_by_byte_or_break_off_receiving_anywhere);
    RUN(messages_are_cut_into_frames_anywhere);
    RUN(frames_of_one_length_are_received_together);
    RUN(what_is_no_frame_of_that_length_is_no_data);
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
    begin();
    drop(&script);
    drop(&sent);
    CHECK_END();
}
