/* SPDX-License-Identifier: Apache-2.0 */
/* Small answers of HTTP (http.h), from a peer that has said everything before it is asked. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"
#include "wire/http.h"

#define REQUEST "GET /k HTTP/1.1\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n"
#define SIZE 5

static char in[AJF_HTTP_HEAD_BYTES], body[1 << 16];
static struct ajf_http_answer answer;

/* The peer says `text`, hangs up if it `ends`, and is asked for a body of `size` bytes. */
static int ask(const char *text, size_t len, bool ends, size_t size)
{
    int fd[2];
    char asked[sizeof REQUEST] = "";
    const struct timeval soon = {.tv_usec = 20000};
    NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
    NEED(!setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
    NEED(!setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int)));
    NEED(send(fd[1], text, len, 0) == (ssize_t)len);
    if (ends)
        NEED(!shutdown(fd[1], SHUT_WR));
    memset(body, '.', sizeof body);
    memset(in, 0, sizeof in);
    int err = ajf_http_exchange(fd[0], REQUEST, sizeof REQUEST - 1, in, body, size, &answer);
    CHECK_EQ(recv(fd[1], asked, sizeof asked, 0), sizeof REQUEST - 1);
    CHECK(!strcmp(asked, REQUEST));
    close(fd[0]);
    close(fd[1]);
    return err;
}

static void check_came(size_t end, size_t head, size_t taken, size_t filled, int err)
{
    CHECK_EQ(answer.end, end);
    CHECK_EQ(answer.head, head);
    CHECK_EQ(answer.taken, taken);
    CHECK_EQ(answer.filled, filled);
    CHECK_EQ(answer.err, err);
}

static void a_body_goes_where_it_is_wanted(void)
{
    static const char *heads[] = {
        OK "Content-Length: 5\r\n\r\n",
        "HTTP/1.1 200\r\ncontent-length:5\r\n\r\n",
        "HTTP/1.1 206 Partial Content\r\nX: Content-Length: 7\r\nCONTENT-LENGTH:   0005\r\nY:\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char text[256];
        size_t head = strlen(heads[i]);
        snprintf(text, sizeof text, "%shello", heads[i]);
        CHECK(!ask(text, head + SIZE, false, SIZE));
        check_came(head + SIZE, head, head + SIZE, SIZE, 0);
        CHECK(!memcmp(in, heads[i], head));
        CHECK(!memcmp(body, "hello.", 6));
    }
}

static void most_of_a_body_is_received_where_it_is_wanted(void)
{
    static char text[sizeof body + 256];
    const size_t size = sizeof body - 1;
    size_t head = (size_t)snprintf(text, sizeof text, OK "Content-Length: %zu\r\n\r\n", size);
    for (size_t i = 0; i < size; i++)
        text[head + i] = (char)(i % 251);
    CHECK(!ask(text, head + size, false, size));
    check_came(sizeof in, head, sizeof in, size, 0);
    CHECK(!memcmp(body, text + head, size));
    CHECK_EQ(body[size], '.');
}

static void what_lies_behind_a_body_is_left(void)
{
    static const char text[] = OK "Content-Length: 5\r\n\r\nhelloHTTP/1.1 ";
    CHECK(!ask(text, sizeof text - 1, false, SIZE));
    check_came(sizeof text - 1, sizeof text - 1 - 9 - SIZE, sizeof text - 1 - 9, SIZE, 0);
    CHECK(!memcmp(body, "hello.", 6));
}

static void anything_else_is_the_callers(void)
{
    static const char *heads[] = {
        "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
        OK "\r\n",
        OK "Content-Length: 6\r\n\r\n",
        OK "Content-Length: 5 \r\n\r\n",
        OK "Content-Length: +5\r\n\r\n",
        OK "Content-Length: \r\n\r\n",
        OK "Content-Length:\r\n\r\n",
        OK "Content-Length\r\n\r\n",
        OK "Content-Length : 5\r\n\r\n",
        OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        OK "Content-Length: 18446744073709551621\r\n\r\n",
        OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK "transfer-encoding:\r\nContent-Length: 5\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char text[256];
        size_t head = strlen(heads[i]);
        snprintf(text, sizeof text, "%shello", heads[i]);
        CHECK(!ask(text, head + SIZE, false, SIZE));
        check_came(head + SIZE, head, head, 0, 0);
        CHECK(!memcmp(in, text, head + SIZE));
        CHECK_EQ(body[0], '.');
    }
}

static void no_place_is_no_body(void)
{
    static const char text[] = OK "Content-Length: 0\r\n\r\n";
    CHECK(!ask(text, sizeof text - 1, false, 0));
    check_came(sizeof text - 1, sizeof text - 1, sizeof text - 1, 0, 0);
}

static void what_came_is_kept_when_the_rest_does_not_come(void)
{
    static const char head[] = OK "Content-Length: 5\r\n\r\n", text[] = OK "Content-Length: 5\r\n\r\nhel";
    for (int ends = 0; ends < 2; ends++) {
        int err = ends ? -ENOTCONN : -EAGAIN;
        CHECK(!ask(text, sizeof text - 1, ends, SIZE));
        check_came(sizeof text - 1, sizeof head - 1, sizeof text - 1, 3, err);
        CHECK(!memcmp(body, "hel..", 5));
        CHECK(!ask(head, sizeof head - 1, ends, SIZE));
        check_came(sizeof head - 1, sizeof head - 1, sizeof head - 1, 0, err);
        CHECK(!ask(head, 20, ends, SIZE)); /* not waited for: the caller sees to it */
        check_came(20, 0, 0, 0, 0);
        CHECK(!ask("", 0, ends, SIZE));
        check_came(0, 0, 0, 0, err);
        CHECK(ends || answer.waited_ns >= 10000000);
    }
}

static void who_cannot_be_asked_is_an_error(void)
{
    int fd[2];
    NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
    close(fd[1]);
    CHECK_EQ(ajf_http_exchange(fd[0], REQUEST, sizeof REQUEST - 1, in, body, SIZE, &answer), -EPIPE);
    close(fd[0]);
    CHECK_EQ(ajf_http_exchange(-1, REQUEST, sizeof REQUEST - 1, in, body, SIZE, &answer), -EBADF);
}

int main(void)
{
    RUN(a_body_goes_where_it_is_wanted);
    RUN(most_of_a_body_is_received_where_it_is_wanted);
    RUN(what_lies_behind_a_body_is_left);
    RUN(anything_else_is_the_callers);
    RUN(no_place_is_no_body);
    RUN(what_came_is_kept_when_the_rest_does_not_come);
    RUN(who_cannot_be_asked_is_an_error);
    CHECK_END();
}
