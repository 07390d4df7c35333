/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.h - requests of the kernel that wait for something, and the promise that each is answered exactly once.
 *
 * A request that cannot be answered at once is *parked*: a struct ajf_wait, embedded in whatever knows how to answer
 * it, enters the table. A thread that wants to answer must first *take* it; ajf_wait_take succeeds exactly once, for
 * the data's arrival, for the death of the caller, for the deadline, or for the end of the session. The taker answers
 * the request and frees the structure, in either order. So no two threads ever answer one request, and none is forgotten: the table
 * is what ajf_waits_stop walks.
 *
 * FUSE_INTERRUPT: the kernel sends one for any signal, but a regular file's read is not interruptible by a signal
 * that has a handler (an EINTR in a page fault would become SIGBUS). So an interrupted request goes on waiting
 * unless its caller is being killed, which is looked up in /proc at once and then every AJF_WAIT_POLL_MS; a caller
 * that cannot be seen (another PID namespace) is given AJF_WAIT_UNSEEN_MS. (docs/decisions/0003) Nobody waits for
 * /proc: it is read without the lock, AJF_WAIT_ASKED callers at a time, those first that were looked up the longest
 * ago.
 *
 * The thread that watches the time also rings the alarm of another module (alarm.h).
 *
 * Threads: any. Lock order: request lock of libfuse > table->lock > session lock of libfuse; the owners' locks lie
 * above table->lock, and `drop` is called without any.
 */
#ifndef AJF_KERNEL_WAIT_H
#define AJF_KERNEL_WAIT_H

#include "base/alarm.h"
#include "base/list.h"
#include "base/sync.h"
#include "kernel/request.h"
#include "memory/trash.h"

#define AJF_WAIT_POLL_MS 50
#define AJF_WAIT_UNSEEN_MS 1000
#define AJF_WAIT_ASKED 64

struct ajf;
struct ajf_wait;

/* BRIEF: something is known that will do as an answer, if the source does not give one soon. */
enum ajf_wait_class { AJF_WAIT_METADATA, AJF_WAIT_DATA, AJF_WAIT_BRIEF, AJF_WAIT_CLASSES };

#define AJF_WAIT_BRIEF_MS 1000

/*
 * Called by the table's own thread after it took `w`: unlinks it from its owner, takes back what nobody else waits for,
 * and frees it. `err` is the answer: EINTR, EIO (deadline), ENOTCONN (stop). It is sent afterwards, so that a caller
 * that has heard it and asks again finds nothing of the first time; after `late`, which reads `w`, it has been sent.
 *
 * Returns what is to be disposed of, or NULL. That may take long, as the close of a file of a silent network, so no
 * answer and no deadline waits for it: it happens afterwards, on a thread of its own.
 */
typedef struct ajf_waste *(*ajf_wait_drop)(struct ajf *m, struct ajf_wait *w, int err);

struct ajf_wait {
    struct ajf_request request;
    enum ajf_wait_class class;
    ajf_wait_drop drop;
    void (*late)(struct ajf *m, struct ajf_wait *w); /* answers when the deadline has passed; NULL: with EIO */
    /* the table's */
    uint64_t number; /* no other one has, or had */
    uint64_t start_ns, deadline_ns;
    uint64_t interrupted_ns; /* 0 = not */
    uint64_t asked_ns;       /* when its caller was looked up; 0 = not yet */
    bool parked;
    struct ajf_list by_req, by_age, by_asked;
};

#define AJF_WAIT_BUCKETS 256

struct ajf_waits {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct ajf_list bucket[AJF_WAIT_BUCKETS] AJF_GUARDED_BY(lock); /* hash of the request pointer */
    struct ajf_list by_age[AJF_WAIT_CLASSES] AJF_GUARDED_BY(lock); /* oldest first = next deadline first */
    uint64_t timeout_ns[AJF_WAIT_CLASSES];       /* 0 = none */
    struct ajf_list interrupted AJF_GUARDED_BY(lock); /* parked requests that saw an interrupt, by when they were asked */
    uint64_t parked AJF_GUARDED_BY(lock); /* requests so far */
    size_t unanswered AJF_GUARDED_BY(lock); /* parked, or taken and being answered */
    size_t disposals AJF_GUARDED_BY(lock); /* threads that dispose of what was dropped */
    bool stopping AJF_GUARDED_BY(lock), thread_started AJF_GUARDED_BY(lock);
    struct ajf_alarm *alarm;                     /* constant once started; or NULL */
    pthread_t thread;
    struct ajf *m;
};

int ajf_waits_init(struct ajf_waits *t, struct ajf *m);
void ajf_waits_done(struct ajf_waits *t);
int ajf_waits_start(struct ajf_waits *t);
/*
 * Answers everything parked with ENOTCONN, refuses new ones. 0: no thread is writing a reply to a parked one any more,
 * or disposing of what was dropped. -ETIMEDOUT: one still was at `deadline_ns`, because a file does not answer; those
 * that dispose have AJF_DISPOSE_MS at least.
 */
int ajf_waits_stop(struct ajf_waits *t, uint64_t deadline_ns);

/* Rings `a`, too. Before ajf_waits_start. */
void ajf_waits_watch(struct ajf_waits *t, struct ajf_alarm *a);

/* Before parking and without a lock: lets an interrupt find the request. */
void ajf_wait_arm(struct ajf *m, const struct ajf_request *req);

/*
 * Parks; the caller has filled the fields above "the table's", linked `w` with its owner and holds the owner's
 * lock. 0, or -ENOTCONN when the session is ending (not parked: unlink, answer, free).
 */
int ajf_wait_park(struct ajf *m, struct ajf_wait *w);

/* True exactly once for a parked request: the caller answers it. */
bool ajf_wait_take(struct ajf *m, struct ajf_wait *w);

/* Undoes a parking: true if it was still parked; it then counts as never parked, and the caller answers it. */
bool ajf_wait_unpark(struct ajf *m, struct ajf_wait *w);

/* After the answer: counts it. */
void ajf_wait_answered(struct ajf *m, const struct ajf_wait *w);

#endif
