/* SPDX-License-Identifier: Apache-2.0 */
/* Takes what a mount tells of files, as a program does that records it (trace.h). */
#ifndef TRACED_H
#define TRACED_H

#include "check.h"
#include "fake_kernel.h"

static struct ajf_traced traced;

static inline uint64_t traced_send(struct fake *k, unsigned command, unsigned flags)
{
    struct fuse_ioctl_in in = {.flags = flags, .cmd = command};
    in.out_size = command == AJF_IOC_TRACED ? sizeof traced : 0;
    return fake_send(k, FUSE_IOCTL, 1, &in, sizeof in);
}

static inline void traced_expect(struct fake *k, unsigned command, int error)
{
    fake_expect_error(k, traced_send(k, command, FUSE_IOCTL_DIR), error);
}

/* Into `traced`. */
static inline void traced_take(struct fake *k)
{
    struct fake_reply r = fake_reply(k, traced_send(k, AJF_IOC_TRACED, FUSE_IOCTL_DIR));
    size_t head = sizeof(struct fuse_ioctl_out);
    CHECK_EQ(r.error, 0);
    NEED(r.length >= head + offsetof(struct ajf_traced, items) && r.length <= head + sizeof traced);
    memcpy(&traced, r.bytes + head, r.length - head);
    CHECK_EQ(r.length, head + offsetof(struct ajf_traced, items) + traced.bytes);
    free(r.bytes);
}

/* Reads an item at `*at`, which it moves behind it; its length, or -1 behind the last one. */
static inline int64_t traced_next(size_t *at, const char **ret_item)
{
    uint32_t n;
    if (*at == traced.bytes)
        return -1;
    NEED(*at + sizeof n <= traced.bytes);
    memcpy(&n, traced.items + *at, sizeof n);
    NEED(*at + sizeof n + n <= traced.bytes);
    *ret_item = traced.items + *at + sizeof n;
    *at += sizeof n + n;
    return n;
}

#endif
