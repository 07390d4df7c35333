/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There is one table per mount. All requests of a class have the same timeout, so a list in the order of parking is one
 * in the order of deadlines. The thread sleeps until the first of these: a deadline, the next look-up of an interrupted
 * caller, an alarm. If there is none of them, it sleeps until it is woken.
 */
#include "kernel/wait.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "kernel/reply.h"
#include "mount.h"

#define STATUS_BYTES 2048 /* /proc/<tid>/status up to ShdPnd is under 1 KiB */

static struct ajf_list *bucket_of(struct ajf_waits *t, fuse_req_t req)
{
    return &t->bucket[((uintptr_t)req >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 56];
}

int ajf_waits_init(struct ajf_waits *t, struct ajf *m)
{
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    ajf_cond_init(&t->wake);
    ajf_list_init(&t->interrupted);
    for (int i = 0; i < AJF_WAIT_BUCKETS; i++)
        ajf_list_init(&t->bucket[i]);
    for (int i = 0; i < AJF_WAIT_CLASSES; i++)
        ajf_list_init(&t->by_age[i]);
    t->timeout_ns[AJF_WAIT_METADATA] = m->options.metadata_timeout_ms * AJF_NS_PER_MS;
    uint32_t patience_ms = m->options.metadata_timeout_ms;
    bool brief = patience_ms && patience_ms < AJF_WAIT_BRIEF_MS;
    t->timeout_ns[AJF_WAIT_BRIEF] = (brief ? patience_ms : AJF_WAIT_BRIEF_MS) * AJF_NS_PER_MS;
    t->timeout_ns[AJF_WAIT_DATA] = m->options.read_timeout_ms * AJF_NS_PER_MS;
    t->m = m;
    return 0;
}

void ajf_waits_done(struct ajf_waits *t)
{
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
}

static void unlink_locked(struct ajf_waits *t, struct ajf_wait *w)
{
    AJF_HELD(&t->lock);
    w->parked = false;
    ajf_list_del(&w->by_req);
    ajf_list_del(&w->by_age);
    ajf_list_del(&w->by_asked);
}

static void interrupted_locked(struct ajf_waits *t, struct ajf_wait *w)
{
    AJF_HELD(&t->lock);
    if (w->interrupted_ns)
        return;
    w->interrupted_ns = ajf_now_ns();
    ajf_list_add_front(&t->interrupted, &w->by_asked);
    pthread_cond_signal(&t->wake);
}

/* libfuse calls it with the request's lock held, so it only marks the request for the table's thread. */
static void on_interrupt(fuse_req_t req, void *data)
{
    struct ajf_waits *t = &((struct ajf *)data)->waits;
    pthread_mutex_lock(&t->lock);
    AJF_LIST_FOR(l, bucket_of(t, req))
    {
        struct ajf_wait *w = AJF_CONTAINER(l, struct ajf_wait, by_req);
        if (w->request.fuse == req) {
            interrupted_locked(t, w);
            break;
        }
    }
    pthread_mutex_unlock(&t->lock);
}

static uint64_t alarm_ns(const struct ajf_waits *t)
{
    uint64_t first = AJF_FOREVER;
    for (struct ajf_alarm *a = t->alarms; a; a = a->next) {
        uint64_t at = atomic_load(&a->at_ns);
        first = at < first ? at : first;
    }
    return first;
}

static void nudge(void *waits)
{
    struct ajf_waits *t = waits;
    pthread_mutex_lock(&t->lock);
    if (alarm_ns(t) < t->sleeps_until_ns)
        pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void ajf_waits_watch(struct ajf_waits *t, struct ajf_alarm *a)
{
    a->next = t->alarms;
    t->alarms = a;
    a->watcher = t;
    a->nudge = nudge;
}

static struct ajf_waste *ring(const struct ajf_waits *t)
{
    struct ajf_waste *waste = NULL;
    uint64_t now = ajf_now_ns();
    for (struct ajf_alarm *a = t->alarms; a; a = a->next)
        if (atomic_load(&a->at_ns) <= now)
            waste = ajf_trash_join(a->ring(t->m), waste);
    return waste;
}

void ajf_wait_arm(struct ajf *m, const struct ajf_request *req)
{
    fuse_req_interrupt_func(req->fuse, on_interrupt, m);
}

int ajf_wait_park(struct ajf *m, struct ajf_wait *w)
{
    struct ajf_waits *t = &m->waits;
    int err = 0;
    pthread_mutex_lock(&t->lock);
    if (t->stopping) {
        err = -ENOTCONN;
    } else {
        w->start_ns = ajf_now_ns();
        w->deadline_ns = t->timeout_ns[w->class] ? w->start_ns + t->timeout_ns[w->class] : AJF_FOREVER;
        w->interrupted_ns = w->asked_ns = 0;
        w->number = ++t->parked;
        w->parked = true;
        ajf_list_init(&w->by_asked);
        ajf_list_add(bucket_of(t, w->request.fuse), &w->by_req);
        ajf_list_add(&t->by_age[w->class], &w->by_age);
        /* libfuse remembers an interrupt that came after ajf_wait_arm, and so found nothing in the table. */
        if (fuse_req_interrupted(w->request.fuse))
            interrupted_locked(t, w);
        else if (w->deadline_ns < t->sleeps_until_ns)
            pthread_cond_signal(&t->wake);
        AJF_COUNT(&m->stats, requests_born);
        t->unanswered++;
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

bool ajf_wait_take(struct ajf *m, struct ajf_wait *w)
{
    struct ajf_waits *t = &m->waits;
    pthread_mutex_lock(&t->lock);
    bool mine = w->parked;
    if (mine)
        unlink_locked(t, w);
    pthread_mutex_unlock(&t->lock);
    return mine;
}

bool ajf_wait_unpark(struct ajf *m, struct ajf_wait *w)
{
    struct ajf_waits *t = &m->waits;
    pthread_mutex_lock(&t->lock);
    bool mine = w->parked;
    if (mine) {
        unlink_locked(t, w);
        t->unanswered--;
        AJF_COUNT_SUB(&m->stats, requests_born, 1);
    }
    pthread_mutex_unlock(&t->lock);
    return mine;
}

/* The oldest of those that `at` stands at, each in the list of its class; NULL: all lists are at their end. */
static const struct ajf_wait *oldest_locked(const struct ajf_waits *t, const struct ajf_list *const *at)
{
    AJF_HELD(&t->lock);
    const struct ajf_wait *oldest = NULL;
    for (int class = 0; class < AJF_WAIT_CLASSES; class++) {
        const struct ajf_wait *w = AJF_CONTAINER(at[class], struct ajf_wait, by_age);
        if (at[class] != &t->by_age[class] && (!oldest || w->start_ns < oldest->start_ns))
            oldest = w;
    }
    return oldest;
}

size_t ajf_waits_copy(struct ajf_waits *t, struct ajf_parked *ret_parked, size_t most)
{
    const struct ajf_list *at[AJF_WAIT_CLASSES];
    const struct ajf_wait *w;
    size_t n = 0;
    pthread_mutex_lock(&t->lock);
    for (int class = 0; class < AJF_WAIT_CLASSES; class++)
        at[class] = t->by_age[class].next;
    while (n < most && (w = oldest_locked(t, at))) {
        const struct fuse_ctx *caller = fuse_req_ctx(w->request.fuse);
        at[w->class] = w->by_age.next;
        ret_parked[n++] = (struct ajf_parked){.op = w->request.op,
                                              .nodeid = w->request.nodeid,
                                              .offset = w->request.offset,
                                              .start_ns = w->start_ns,
                                              .size = w->request.size,
                                              .tid = caller->pid,
                                              .uid = caller->uid};
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

void ajf_wait_answered(struct ajf *m, const struct ajf_wait *w)
{
    struct ajf_waits *t = &m->waits;
    AJF_COUNT(&m->stats, requests_died);
    AJF_COUNT_ADD(&m->stats, requests_parked_us, (ajf_now_ns() - w->start_ns) / AJF_NS_PER_US);
    pthread_mutex_lock(&t->lock);
    if (!--t->unanswered && t->stopping)
        pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

/* Whether the thread `tid` is being killed: 1 if so, or if it has gone, 0 if not, -1 if it cannot be seen from here. */
static int being_killed(pid_t tid)
{
    char path[40], text[STATUS_BYTES];
    if (!tid)
        return -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 1 : -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 1;
    text[n] = '\0';
    static const char *const masks[] = {"\nSigPnd:", "\nShdPnd:"};
    for (int i = 0; i < 2; i++) {
        const char *at = strstr(text, masks[i]);
        if (at && strtoull(at + strlen(masks[i]), NULL, 16) & (UINT64_C(1) << 8)) /* bit 8 = signal 9 */
            return 1;
    }
    return 0;
}

/* A request whose caller is looked up. */
struct suspect {
    fuse_req_t req;
    uint64_t number;
    pid_t tid;
};

static struct ajf_wait *find_locked(struct ajf_waits *t, const struct suspect *s)
{
    AJF_HELD(&t->lock);
    AJF_LIST_FOR(l, bucket_of(t, s->req))
    {
        struct ajf_wait *w = AJF_CONTAINER(l, struct ajf_wait, by_req);
        if (w->number == s->number)
            return w;
    }
    return NULL;
}

/* Takes the requests whose callers are being killed. It gives the lock back while it reads /proc. */
AJF_NOT_ANALYSED static void look_up_locked(struct ajf_waits *t, struct ajf_list *ret_killed)
{
    AJF_HELD(&t->lock);
    struct suspect suspects[AJF_WAIT_ASKED];
    int killed[AJF_WAIT_ASKED];
    size_t n = 0;
    uint64_t now = ajf_now_ns(), since = now - AJF_WAIT_POLL_MS * AJF_NS_PER_MS;
    while (n < AJF_WAIT_ASKED && !ajf_list_empty(&t->interrupted)) {
        struct ajf_wait *w = AJF_CONTAINER(t->interrupted.next, struct ajf_wait, by_asked);
        if (w->asked_ns > since)
            break;
        w->asked_ns = now;
        ajf_list_del(&w->by_asked);
        ajf_list_add(&t->interrupted, &w->by_asked);
        suspects[n++] = (struct suspect){w->request.fuse, w->number, fuse_req_ctx(w->request.fuse)->pid};
    }
    if (!n)
        return;
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < n; i++)
        killed[i] = being_killed(suspects[i].tid);
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < n; i++) {
        struct ajf_wait *w = killed[i] ? find_locked(t, &suspects[i]) : NULL;
        if (w && (killed[i] > 0 || now >= w->interrupted_ns + AJF_WAIT_UNSEEN_MS * AJF_NS_PER_MS)) {
            unlink_locked(t, w);
            ajf_list_add(ret_killed, &w->by_age);
        }
    }
}

/* Takes the requests whose deadline has passed, and all when the session ends; returns when to look again. */
static uint64_t collect_locked(struct ajf_waits *t, struct ajf_list *ret_expired)
{
    AJF_HELD(&t->lock);
    uint64_t now = ajf_now_ns(), next = AJF_FOREVER;
    for (int class = 0; class < AJF_WAIT_CLASSES; class++) {
        AJF_LIST_FOR_SAFE(l, &t->by_age[class])
        {
            struct ajf_wait *w = AJF_CONTAINER(l, struct ajf_wait, by_age);
            if (!t->stopping && w->deadline_ns > now) {
                next = w->deadline_ns < next ? w->deadline_ns : next;
                break;
            }
            unlink_locked(t, w);
            ajf_list_add(ret_expired, &w->by_age);
        }
    }
    if (!ajf_list_empty(&t->interrupted)) {
        uint64_t asked = AJF_CONTAINER(t->interrupted.next, struct ajf_wait, by_asked)->asked_ns;
        uint64_t again = asked ? asked + AJF_WAIT_POLL_MS * AJF_NS_PER_MS : now;
        next = again < next ? again : next;
    }
    return next;
}

/* Drops the requests of a list and answers them; returns what is to be disposed of. */
static struct ajf_waste *answer_all(struct ajf *m, struct ajf_list *list, int err)
{
    struct ajf_waste *waste = NULL;
    struct ajf_list *l;
    while ((l = ajf_list_pop(list))) {
        struct ajf_wait *w = AJF_CONTAINER(l, struct ajf_wait, by_age);
        if (err == EIO && w->late) {
            w->late(m, w);
            ajf_wait_answered(m, w);
            waste = ajf_trash_join(w->drop(m, w, err), waste);
            continue;
        }
        const struct ajf_wait was = *w; /* for the answer; the links in it are not used */
        waste = ajf_trash_join(w->drop(m, w, err), waste);
        if (err == EINTR) {
            AJF_COUNT(&m->stats, op_interrupted);
        } else if (err == EIO) {
            AJF_COUNT(&m->stats, op_timed_out);
            char *path = ajf_inode_path(&m->inodes, was.request.nodeid, NULL, 0);
            ajf_log(&m->log, AJF_LOG_ERROR, "%s of %s at %llu+%zu: no answer from the source within %llu ms; EIO",
                    ajf_request_name(was.request.op), path ? path : "?", (unsigned long long)was.request.offset,
                    was.request.size,
                    (unsigned long long)((was.deadline_ns - was.start_ns) / AJF_NS_PER_MS));
            free(path);
        }
        ajf_reply_err(m, &was.request, err);
        ajf_wait_answered(m, &was);
    }
    return waste;
}

struct disposal {
    struct ajf_waits *t;
    struct ajf_waste *waste;
};

static void *work_off(void *arg)
{
    struct disposal *d = arg;
    struct ajf_waits *t = d->t;
    ajf_trash_dispose(d->waste);
    free(d);
    pthread_mutex_lock(&t->lock);
    if (!--t->disposals && t->stopping)
        pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Disposes on a thread of its own; on this one, while deadlines wait, if there is no memory or thread for it. */
static void dispose_apart(struct ajf_waits *t, struct ajf_waste *waste)
{
    pthread_t thread;
    struct disposal *d = waste ? malloc(sizeof *d) : NULL;
    if (d) {
        *d = (struct disposal){t, waste};
        pthread_mutex_lock(&t->lock);
        t->disposals++;
        pthread_mutex_unlock(&t->lock);
        if (!pthread_create(&thread, NULL, work_off, d))
            pthread_detach(thread);
        else
            work_off(d);
    } else {
        ajf_trash_dispose(waste);
    }
}

static void *run(void *arg)
{
    struct ajf_waits *t = arg;
    struct ajf_list killed, expired;
    ajf_list_init(&killed);
    ajf_list_init(&expired);
    pthread_setname_np(pthread_self(), "ajf-wait");
    pthread_mutex_lock(&t->lock);
    for (;;) {
        look_up_locked(t, &killed);
        uint64_t next = collect_locked(t, &expired);
        bool stopping = t->stopping;
        if (ajf_list_empty(&killed) && ajf_list_empty(&expired)) {
            if (stopping)
                break;
            uint64_t alarm = alarm_ns(t);
            if (alarm > ajf_now_ns()) {
                t->sleeps_until_ns = alarm < next ? alarm : next;
                ajf_cond_wait_until(&t->wake, &t->lock, t->sleeps_until_ns);
                t->sleeps_until_ns = 0;
                continue;
            }
        }
        pthread_mutex_unlock(&t->lock);
        struct ajf_waste *waste = answer_all(t->m, &killed, EINTR);
        waste = ajf_trash_join(answer_all(t->m, &expired, stopping ? ENOTCONN : EIO), waste);
        dispose_apart(t, ajf_trash_join(ring(t), waste));
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

int ajf_waits_start(struct ajf_waits *t)
{
    int err = pthread_create(&t->thread, NULL, run, t);
    pthread_mutex_lock(&t->lock);
    t->thread_started = !err;
    pthread_mutex_unlock(&t->lock);
    return -err;
}

int ajf_waits_stop(struct ajf_waits *t, uint64_t deadline_ns)
{
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    bool join = t->thread_started;
    t->thread_started = false;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    if (join)
        pthread_join(t->thread, NULL);
    bool more = true;
    pthread_mutex_lock(&t->lock);
    while (t->unanswered && more) /* a thread is writing a reply */
        more = ajf_cond_wait_until(&t->wake, &t->lock, deadline_ns);
    uint64_t least_ns = ajf_deadline_ns(AJF_DISPOSE_MS);
    deadline_ns = deadline_ns > least_ns ? deadline_ns : least_ns;
    for (more = true; t->disposals && more;)
        more = ajf_cond_wait_until(&t->wake, &t->lock, deadline_ns);
    int err = t->unanswered || t->disposals ? -ETIMEDOUT : 0;
    pthread_mutex_unlock(&t->lock);
    return err;
}
