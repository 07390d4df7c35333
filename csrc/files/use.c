/* SPDX-License-Identifier: Apache-2.0 */
#include "files/use.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "mount.h"

#define KNOWN_NS (100 * AJF_NS_PER_MS) /* a thread may become another program in place */
/* The kernel delivers READs that follow each other in any order, on several threads: by so many lengths, or bytes. */
#define REORDER_LENGTHS 4
#define REORDER_BYTES ((size_t)2 << 20)

struct ajf_use {
    uint32_t recording; /* that it belongs to */
    int64_t opened_ns;  /* CLOCK_REALTIME, */
    uint64_t began_ns;  /* and as ajf_now_ns */
    uint64_t opens, reads, bytes, runs, missed, failed, waited_ns, longest_ns;
    uint64_t fronts[AJF_USE_FRONTS]; /* where READs ended last, at several places; the last one first */
    size_t longest; /* READ */
    struct ajf_caller caller;
};

AJF_NOT_ANALYSED void ajf_uses_init(struct ajf_uses *u)
{
    memset(u, 0, sizeof *u);
    ajf_list_init(&u->list);
    pthread_mutex_init(&u->lock, NULL);
}

void ajf_uses_done(struct ajf_uses *u)
{
    pthread_mutex_destroy(&u->lock);
}

void ajf_usage_init(struct ajf_usage *u, uint64_t nodeid)
{
    *u = (struct ajf_usage){.nodeid = nodeid};
    ajf_list_init(&u->link);
}

/* The recording of uses, or 0. */
static uint32_t recording_of(const struct ajf *m)
{
    return ajf_trace_of(&m->trace, AJF_TRACE_USES);
}

/* ------------------------------------------------------------------------------------------------ who called */

static bool remembered(struct ajf_uses *u, struct ajf_caller *caller, uint64_t now)
{
    bool found = false;
    pthread_mutex_lock(&u->lock);
    for (unsigned i = 0; i < AJF_USE_CALLERS && !found; i++) {
        found = u->callers[i].tid == caller->tid && now - u->found_ns[i] < KNOWN_NS;
        if (found) { /* its user may be another one by now */
            caller->pid = u->callers[i].pid;
            memcpy(caller->name, u->callers[i].name, sizeof caller->name);
        }
    }
    pthread_mutex_unlock(&u->lock);
    return found;
}

static void remember(struct ajf_uses *u, const struct ajf_caller *caller, uint64_t now)
{
    pthread_mutex_lock(&u->lock);
    u->callers[u->next] = *caller;
    u->found_ns[u->next] = now;
    u->next = (u->next + 1) % AJF_USE_CALLERS;
    pthread_mutex_unlock(&u->lock);
}

struct ajf_caller ajf_use_caller(struct ajf *m, const struct ajf_request *req)
{
    struct ajf_caller caller = ajf_caller_of(req);
    uint64_t now;
    if (!recording_of(m) || !caller.tid || remembered(&m->uses, &caller, now = ajf_now_ns()))
        return caller;
    ajf_caller_find(&caller);
    remember(&m->uses, &caller, now);
    return caller;
}

/* ------------------------------------------------------------------------------------------------ what it does */

static void forget_locked(struct ajf *m, struct ajf_usage *u)
{
    AJF_HELD(&m->cache.lock);
    if (!u->use)
        return;
    ajf_list_del(&u->link);
    m->uses.n--;
    free(u->use);
    u->use = NULL;
}

static void begin(struct ajf_use *use, uint32_t recording, const struct ajf_caller *caller)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *use = (struct ajf_use){.recording = recording,
                            .opened_ns = now.tv_sec * (int64_t)AJF_NS_PER_S + now.tv_nsec,
                            .began_ns = ajf_now_ns(),
                            .caller = *caller};
}

bool ajf_use_is_due_locked(struct ajf *m, const struct ajf_usage *u)
{
    AJF_HELD(&m->cache.lock);
    uint32_t recording = recording_of(m);
    return recording && u->lost != recording && (!u->use || u->use->recording != recording);
}

/*
 * The use of a file that something is done with; NULL: uses are not recorded, or there is no room for it. `first`:
 * nothing of it was open, and what was fetched was fetched for this.
 */
static struct ajf_use *use_of_locked(struct ajf *m, struct ajf_usage *u, const struct ajf_caller *caller, bool first)
{
    AJF_HELD(&m->cache.lock);
    uint32_t recording = recording_of(m);
    if (!recording || u->lost == recording)
        return NULL;
    if (u->use && u->use->recording == recording)
        return u->use;
    if (!u->use) {
        if (m->uses.n >= AJF_USES_MOST || !(u->use = calloc(1, sizeof *u->use))) {
            u->lost = recording;
            ajf_trace_lose(&m->trace, recording);
            return NULL;
        }
        ajf_list_add(&m->uses.list, &u->link);
        m->uses.n++;
    }
    if (!first)
        u->fetched = 0;
    begin(u->use, recording, caller);
    return u->use;
}

void ajf_use_open_locked(struct ajf *m, struct ajf_usage *u, const struct ajf_caller *caller, bool first)
{
    struct ajf_use *use = use_of_locked(m, u, caller, first);
    if (use)
        use->opens++;
}

/* Whether it goes on near the end of another READ. Moves that front to its own end, and to the first place. */
static bool goes_on(struct ajf_use *use, uint64_t offset, size_t length)
{
    use->longest = length > use->longest ? length : use->longest;
    size_t apart = use->longest * REORDER_LENGTHS < REORDER_BYTES ? use->longest * REORDER_LENGTHS : REORDER_BYTES;
    uint64_t slack = apart > use->longest ? apart : use->longest, end = offset + length;
    unsigned most = use->runs < AJF_USE_FRONTS ? (unsigned)use->runs : AJF_USE_FRONTS, i = 0;
    while (i < most && !(offset <= use->fronts[i] + slack && use->fronts[i] <= end + slack))
        i++;
    bool found = i < most;
    if (i == AJF_USE_FRONTS)
        i--;
    memmove(use->fronts + 1, use->fronts, i * sizeof use->fronts[0]);
    use->fronts[0] = end;
    return found;
}

void ajf_use_read_locked(struct ajf *m, struct ajf_usage *u, const struct ajf_caller *caller, uint64_t offset,
                         size_t length, bool hit)
{
    struct ajf_use *use = length ? use_of_locked(m, u, caller, false) : NULL;
    if (!use)
        return;
    use->reads++;
    use->bytes += length;
    use->missed += !hit;
    use->runs += !goes_on(use, offset, length);
}

uint64_t ajf_use_wait_locked(const struct ajf_usage *u, const struct ajf_request *req)
{
    if (!u->use)
        return 0;
    uint64_t now = ajf_now_ns(), began = req->started_ns > u->use->began_ns ? req->started_ns : u->use->began_ns;
    return now > began ? now - began : 0;
}

void ajf_use_waited_locked(struct ajf_usage *u, const struct ajf_request *req, bool failed)
{
    if (!u->use)
        return;
    uint64_t waited = ajf_use_wait_locked(u, req);
    u->use->waited_ns += waited;
    if (waited > u->use->longest_ns)
        u->use->longest_ns = waited;
    u->use->failed += failed;
}

void ajf_use_move_locked(struct ajf_usage *from, struct ajf_usage *to)
{
    to->fetched = from->fetched;
    if (!from->use)
        return;
    to->use = from->use;
    from->use = NULL;
    ajf_list_add(&from->link, &to->link); /* in its place */
    ajf_list_del(&from->link);
}

/* ---------------------------------------------------------------------------------------------------- it is told */

/* 0, or as of ajf_trace_add; -ENOMEM. */
static int tell_locked(struct ajf *m, const struct ajf_usage *u, const struct ajf_use *use, uint64_t size, int mode,
                       bool open)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_use_told told = {.opened = use->opened_ns,
                                .lasted = ajf_now_ns() - use->began_ns,
                                .size = size,
                                .opens = use->opens,
                                .reads = use->reads,
                                .bytes = use->bytes,
                                .runs = use->runs,
                                .missed = use->missed,
                                .fetched = u->fetched,
                                .waited = use->waited_ns,
                                .longest = use->longest_ns,
                                .failed = use->failed,
                                .mode = (uint32_t)mode,
                                .still = open,
                                .tid = use->caller.tid,
                                .pid = use->caller.pid,
                                .uid = use->caller.uid};
    memcpy(told.name, use->caller.name, sizeof use->caller.name);
    char *path = ajf_inode_path(&m->inodes, u->nodeid, NULL, 0);
    int err = path ? ajf_trace_add(&m->trace, use->recording, &told, offsetof(struct ajf_use_told, path), path,
                                   strlen(path))
                   : -ENOMEM;
    free(path);
    return err;
}

void ajf_use_end_locked(struct ajf *m, struct ajf_usage *u, uint64_t size, int mode)
{
    AJF_HELD(&m->cache.lock);
    if (u->use && tell_locked(m, u, u->use, size, mode, false))
        ajf_trace_lose(&m->trace, u->use->recording);
    forget_locked(m, u);
    u->fetched = 0;
}

bool ajf_use_tell_locked(struct ajf *m, struct ajf_usage *u, uint64_t size, int mode, uint64_t parked_ns,
                         uint64_t longest_ns)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_use told = *u->use;
    told.waited_ns += parked_ns;
    if (longest_ns > told.longest_ns)
        told.longest_ns = longest_ns;
    int err = tell_locked(m, u, &told, size, mode, true);
    if (err == -EAGAIN)
        return false;
    if (err)
        ajf_trace_lose(&m->trace, told.recording);
    forget_locked(m, u);
    u->fetched = 0;
    return true;
}
