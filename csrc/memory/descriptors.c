/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/descriptors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* 40 fetchers with two each, as many again that are lost in the source, ten workers with two pipes each. */
#define RESERVED 256
#define RESERVED_PART 4 /* of few */
#define SHARE 3

/* Beside those that are open already, and those that are not for files. */
static uint64_t most_for_files(uint64_t n_open)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= n_open)
        return 0;
    uint64_t left = limit.rlim_cur - n_open;
    return left - (left / RESERVED_PART < RESERVED ? left / RESERVED_PART : RESERVED);
}

void ajf_descriptors_init(struct ajf_descriptors *d)
{
    int lowest_free = open("/", O_PATH | O_CLOEXEC);
    *d = (struct ajf_descriptors){.most = most_for_files(lowest_free < 0 ? 0 : (uint64_t)lowest_free)};
    if (lowest_free >= 0)
        close(lowest_free);
}

void ajf_descriptors_done(struct ajf_descriptors *d)
{
    free(d->users);
}

static struct ajf_descriptors_user *find(const struct ajf_descriptors *d, uint32_t uid)
{
    for (size_t i = 0; i < d->n_users; i++)
        if (d->users[i].uid == uid)
            return &d->users[i];
    return NULL;
}

uint64_t ajf_descriptors_of(const struct ajf_descriptors *d, uint32_t uid)
{
    const struct ajf_descriptors_user *u = find(d, uid);
    return u ? u->n : 0;
}

bool ajf_descriptors_may_take(const struct ajf_descriptors *d, uint32_t uid, uint64_t n)
{
    uint64_t with = d->used + n;
    return with <= d->most && ajf_descriptors_of(d, uid) + n <= SHARE * (d->most - with) + 1;
}

/* Out of memory: nobody's. */
static struct ajf_descriptors_user *add(struct ajf_descriptors *d, uint32_t uid)
{
    if (d->n_users == d->n_room) {
        size_t room = d->n_room ? 2 * d->n_room : 16;
        struct ajf_descriptors_user *users = realloc(d->users, room * sizeof *users);
        if (!users)
            return NULL;
        d->users = users;
        d->n_room = room;
    }
    d->users[d->n_users] = (struct ajf_descriptors_user){.uid = uid};
    return &d->users[d->n_users++];
}

void ajf_descriptors_take(struct ajf_descriptors *d, uint32_t uid, uint64_t n)
{
    struct ajf_descriptors_user *u = n ? find(d, uid) : NULL;
    d->used += n;
    if (n && (u || (u = add(d, uid))))
        u->n += n;
}

void ajf_descriptors_give(struct ajf_descriptors *d, uint32_t uid, uint64_t n)
{
    struct ajf_descriptors_user *u = find(d, uid);
    d->used -= n;
    if (!u)
        return;
    u->n -= u->n < n ? u->n : n;
    if (!u->n)
        *u = d->users[--d->n_users];
}
