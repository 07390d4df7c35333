/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/caller.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_BYTES 512 /* "Tgid:" stands in its fourth line, behind a name of 64 bytes at most */

struct ajf_caller ajf_caller_of(const struct ajf_request *req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req->fuse);
    return (struct ajf_caller){.tid = (uint32_t)ctx->pid, .uid = ctx->uid};
}

/* The beginning of /proc/ID/WHAT, as a string. False: there is no such process. */
static bool read_of(uint32_t id, const char *what, char *text, size_t size)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%u/%s", id, what);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

void ajf_caller_find(struct ajf_caller *caller)
{
    char status[STATUS_BYTES], name[sizeof caller->name + 1]; /* and the newline behind it */
    const char *at = caller->tid && read_of(caller->tid, "status", status, sizeof status) ? strstr(status, "\nTgid:")
                                                                                          : NULL;
    uint32_t pid = at ? (uint32_t)strtoul(at + strlen("\nTgid:"), NULL, 10) : 0;
    caller->pid = 0;
    caller->name[0] = '\0';
    if (!pid || !read_of(pid, "comm", name, sizeof name))
        return;
    name[strlen(name) - 1] = '\0';
    caller->pid = pid;
    snprintf(caller->name, sizeof caller->name, "%s", name);
}
