/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.h - requests of the kernel that wait for something, and the promise that each is answered exactly once.
 *
 * A request that cannot be answered at once is *parked*: a struct ajf_wait enters the table, embedded in a structure
 * that knows how to answer it. A thread that wants to answer must first *take* it. ajf_wait_take succeeds exactly once:
 * when the data has arrived, the caller dies, the deadline has passed, or the session ends. The thread that took it
 * answers the request and frees the structure, in either order. So no two threads answer one request, and none is
 * forgotten, because ajf_waits_stop takes all that the table still has.
 *
 * FUSE_INTERRUPT: the kernel sends one for any signal, but a signal with a handler must not interrupt the read of a
 * regular file (an EINTR in a page fault would become SIGBUS). So an interrupted request goes on waiting unless its
 * caller is being killed. That is looked up in /proc at once, and then every AJF_WAIT_POLL_MS. A caller that cannot be
 * seen there (another PID namespace) is answered after AJF_WAIT_UNSEEN_MS (docs/decisions/0003). /proc is read without
 * the lock, for AJF_WAIT_ASKED callers at a time, beginning with the one whose last look-up is the longest ago.
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

/* BRIEF: there is an older answer, which is given if the source does not answer soon. */
enum ajf_wait_class { AJF_WAIT_METADATA, AJF_WAIT_DATA, AJF_WAIT_BRIEF, AJF_WAIT_CLASSES };

#define AJF_WAIT_BRIEF_MS 1000

/*
 * Called by the table's own thread after it took `w`: unlinks `w` from its owner, takes back the fetches that no other
 * request waits for, and frees it. `err` is the answer: EINTR, EIO (deadline) or ENOTCONN (stop). It is sent after this
 * call, so that a caller that asks again finds nothing of its first request. Only `late`, which reads `w`, sends an
 * answer before it.
 *
 * Returns what is to be disposed of, or NULL. Closing a file of a silent network may take long, so a thread of its own
 * disposes of it, and no answer and no deadline waits for that.
 */
typedef struct ajf_waste *(*ajf_wait_drop)(struct ajf *m, struct ajf_wait *w, int err);

struct ajf_wait {
    struct ajf_request request;
    enum ajf_wait_class class;
    ajf_wait_drop drop;
    void (*late)(struct ajf *m, struct ajf_wait *w); /* answers when the deadline has passed; NULL: the answer is EIO */
    /* The table's own fields. */
    uint64_t number; /* no other request has it, or had it */
    uint64_t start_ns, deadline_ns;
    uint64_t interrupted_ns; /* 0 = not */
    uint64_t asked_ns;       /* when its caller was last looked up; 0 = not yet */
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
    struct ajf_list interrupted AJF_GUARDED_BY(lock); /* parked requests that were interrupted, by asked_ns */
    uint64_t parked AJF_GUARDED_BY(lock); /* how many requests were parked so far */
    size_t unanswered AJF_GUARDED_BY(lock); /* parked, or taken and being answered */
    size_t disposals AJF_GUARDED_BY(lock); /* how many threads dispose of what `drop` returned */
    bool stopping AJF_GUARDED_BY(lock), thread_started AJF_GUARDED_BY(lock);
    /* Nobody needs to wake the thread for what comes later; 0: it is awake. It sleeps on when a request is answered, so
     * that it need not be woken for the next one. */
    uint64_t sleeps_until_ns AJF_GUARDED_BY(lock);
    struct ajf_alarm *alarms;                    /* constant once started; chained */
    pthread_t thread;
    struct ajf *m;
};

int ajf_waits_init(struct ajf_waits *t, struct ajf *m);
void ajf_waits_done(struct ajf_waits *t);
int ajf_waits_start(struct ajf_waits *t);
/*
 * Answers all parked requests with ENOTCONN, and refuses new ones. 0: no thread writes a reply to a parked request any
 * more, or disposes of what was dropped. -ETIMEDOUT: one still did at `deadline_ns`, because a file does not answer;
 * threads that dispose have AJF_DISPOSE_MS at least.
 */
int ajf_waits_stop(struct ajf_waits *t, uint64_t deadline_ns);

/* Has the table's thread ring `a`, too. Call it before ajf_waits_start. */
void ajf_waits_watch(struct ajf_waits *t, struct ajf_alarm *a);

/* Lets an interrupt find the request. Call it without a lock, before ajf_wait_park. */
void ajf_wait_arm(struct ajf *m, const struct ajf_request *req);

/*
 * Parks `w`. The caller has filled all fields but the table's own, has linked `w` with its owner, and holds the owner's
 * lock. -ENOTCONN: the session ends, and `w` is not parked; the caller unlinks it, answers and frees it.
 */
int ajf_wait_park(struct ajf *m, struct ajf_wait *w);

/* True exactly once for a parked request: the caller answers it. */
bool ajf_wait_take(struct ajf *m, struct ajf_wait *w);

/* True if it was still parked: then it counts as if it had never been, and the caller answers it. */
bool ajf_wait_unpark(struct ajf *m, struct ajf_wait *w);

/* A parked request, as it was at one moment. */
struct ajf_parked {
    enum ajf_op op;
    uint64_t nodeid, offset, start_ns; /* as of the request, and of its wait */
    size_t size;
    int32_t tid; /* who asked; 0: nobody of this PID namespace, or the kernel by itself */
    uint32_t uid;
};

/* Copies those that are parked, the oldest first, `most` at most; returns how many it copied. */
size_t ajf_waits_copy(struct ajf_waits *t, struct ajf_parked *ret_parked, size_t most);

/* Counts an answer to a request that was taken, after it was sent. */
void ajf_wait_answered(struct ajf *m, const struct ajf_wait *w);

#endif
