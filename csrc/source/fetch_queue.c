/* SPDX-License-Identifier: Apache-2.0 */
/* The queue proper, and the life of a fetch. The modules that ask know what an answer means. */
#include "source/fetch_queue.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/sync.h"
#include "mount.h"

#define SMALL_BYTES (128 << 10)      /* of a fetch that takes as long as an answer does, whatever is in it */
#define HANGS_NS (10 * AJF_NS_PER_S)  /* what nobody wants is told so, and most sources have let go of it by then */
#define LONG_NS (20 * AJF_NS_PER_MS) /* after so long a fetch keeps no other from beginning: it may be lost */

AJF_NOT_ANALYSED void ajf_queue_init(struct ajf_queue *q, const struct ajf_options *o)
{
    pthread_mutex_init(&q->lock, NULL);
    ajf_list_init(&q->idle);
    ajf_list_init(&q->metadata);
    for (int lane = 0; lane < AJF_LANES; lane++) {
        ajf_list_init(&q->files[lane]);
        ajf_list_init(&q->taken[lane]);
        q->queued[lane] = q->running[lane] = 0;
    }
    q->pace = (struct ajf_pace){.n = 0};
    q->waiting = 0;
    q->stopped = false;
    q->max_all = o->fetchers + o->metadata_fetchers;
    q->max_data = o->fetchers;
    q->max_prefetch = o->fetchers > 1 ? o->fetchers / 2 : 1;
    q->max_ahead = q->max_prefetch;
    q->max_file = o->fetchers > 1 ? o->fetchers - (o->fetchers + 7) / 8 : 1;
}

void ajf_queue_done(struct ajf_queue *q)
{
    pthread_mutex_destroy(&q->lock);
}

void ajf_turns_init(struct ajf_turns *t)
{
    for (int lane = 0; lane < AJF_LANES; lane++) {
        ajf_list_init(&t->turn[lane]);
        ajf_list_init(&t->pending[lane]);
    }
    t->running = 0;
}

struct ajf_fetch *ajf_fetch_new(struct ajf *m, const struct ajf_fetch_ops *ops, enum ajf_fetch_kind kind,
                                enum ajf_lane lane, uint64_t nodeid, const char *name)
{
    struct ajf_fetch *f = calloc(1, ops->bytes);
    if (!f || (name && !(f->name = strdup(name)))) {
        free(f);
        return NULL;
    }
    f->m = m;
    f->ops = ops;
    f->nodeid = nodeid;
    f->name_len = name ? strlen(name) : 0;
    f->info.kind = kind;
    f->info.lane = lane;
    ajf_list_init(&f->link);
    ajf_inode_ref(&m->inodes, nodeid);
    AJF_COUNT(&m->stats, fetches_born);
    return f;
}

void ajf_fetch_free(struct ajf_fetch *f)
{
    AJF_COUNT(&f->m->stats, fetches_died);
    ajf_inode_unref(&f->m->inodes, f->nodeid);
    free(f->name);
    free(f->path);
    free(f);
}

/* The rows of times follow the kinds of fetches; READs that no reader waits for have rows of their own. */
#define ROW(name) (AJF_TIMED_source_##name - AJF_TIMED_source_stat)
_Static_assert(ROW(list) == AJF_FETCH_LIST && ROW(read) == AJF_FETCH_READ && ROW(forget) == AJF_FETCH_FORGET, "order");
_Static_assert(ROW(ahead) == AJF_TIMED_queue_ahead - AJF_TIMED_queue_stat, "the same rows");

enum ajf_timed ajf_fetch_timed(const struct ajf_fetch *f, enum ajf_timed first)
{
    unsigned row = f->info.kind;
    if (f->info.kind == AJF_FETCH_READ && f->info.lane > AJF_LANE_DEMAND)
        row = f->info.lane == AJF_LANE_AHEAD ? ROW(ahead) : ROW(prefetch);
    return first + row;
}

/* ------------------------------------------------------------------------------------------------- the queue */

/* A thread in ajf_fetch_next; on its stack. */
struct waiter {
    struct ajf_list link; /* queue->lock; in queue->idle until it is woken */
    pthread_cond_t ready;
};

/* Wakes the thread whose caches are warmest, if any waits: of many, those that are not needed can end. */
static void wake_locked(struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    struct ajf_list *l = ajf_list_pop(&q->idle);
    if (l)
        pthread_cond_signal(&AJF_CONTAINER(l, struct waiter, link)->ready);
}

static void enqueue_locked(struct ajf_queue *q, struct ajf_fetch *f)
{
    AJF_HELD(&q->lock);
    enum ajf_lane lane = f->info.lane;
    f->state = AJF_FETCH_QUEUED;
    q->queued[lane]++;
    if (lane == AJF_LANE_METADATA) {
        ajf_list_add(&q->metadata, &f->link);
        return;
    }
    struct ajf_turns *t = f->turns;
    ajf_list_add(&t->pending[lane], &f->link);
    if (ajf_list_empty(&t->turn[lane]))
        ajf_list_add(&q->files[lane], &t->turn[lane]);
}

static void dequeue_locked(struct ajf_queue *q, struct ajf_fetch *f)
{
    AJF_HELD(&q->lock);
    enum ajf_lane lane = f->info.lane;
    ajf_list_del(&f->link);
    q->queued[lane]--;
    if (lane != AJF_LANE_METADATA && ajf_list_empty(&f->turns->pending[lane]))
        ajf_list_del(&f->turns->turn[lane]);
}

/* How many of the lane ahead may be under way now. */
static uint32_t most_ahead(const struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    uint32_t most = ajf_pace_at_once(&q->pace, q->max_ahead);
    uint64_t now = q->running[AJF_LANE_AHEAD] < most ? 0 : ajf_now_ns();
    AJF_LIST_FOR(l, &q->taken[AJF_LANE_AHEAD])
    {
        const struct ajf_fetch *f = AJF_CONTAINER(l, struct ajf_fetch, link);
        if (most >= q->max_ahead || now < f->picked_ns + LONG_NS)
            break;
        most++;
    }
    return most;
}

bool ajf_queue_push(struct ajf_queue *q, struct ajf_fetch *f)
{
    if (!f->queued_ns)
        f->queued_ns = ajf_now_ns();
    pthread_mutex_lock(&q->lock);
    bool open = !q->stopped;
    if (open) {
        /* A thread that fetches ahead takes the next one itself: to wake others costs more than a small file. */
        uint32_t ahead = q->queued[AJF_LANE_AHEAD] + q->running[AJF_LANE_AHEAD];
        bool wake = f->info.lane != AJF_LANE_AHEAD || ahead < most_ahead(q);
        enqueue_locked(q, f);
        if (wake)
            wake_locked(q);
    }
    pthread_mutex_unlock(&q->lock);
    return open;
}

void ajf_queue_promote(struct ajf_queue *q, struct ajf_fetch *f)
{
    pthread_mutex_lock(&q->lock);
    if (f->state == AJF_FETCH_QUEUED && f->info.lane > AJF_LANE_DEMAND) {
        dequeue_locked(q, f);
        f->info.lane = AJF_LANE_DEMAND;
        enqueue_locked(q, f);
        wake_locked(q);
    }
    pthread_mutex_unlock(&q->lock);
}

bool ajf_queue_cancel(struct ajf_queue *q, struct ajf_fetch *f)
{
    pthread_mutex_lock(&q->lock);
    bool queued = f->state == AJF_FETCH_QUEUED;
    if (queued)
        dequeue_locked(q, f);
    else
        f->unwanted = true;
    pthread_mutex_unlock(&q->lock);
    return queued;
}

static uint32_t room(uint32_t most, uint32_t used)
{
    return most > used ? most - used : 0;
}

static uint32_t running_early(const struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    return q->running[AJF_LANE_PREFETCH] + q->running[AJF_LANE_AHEAD];
}

static uint32_t running_data(const struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    return q->running[AJF_LANE_DEMAND] + running_early(q);
}

/* The next file of a lane that may have one more fetch under way goes to the end of the turn. */
static struct ajf_fetch *pick_data_locked(struct ajf_queue *q, enum ajf_lane lane)
{
    AJF_HELD(&q->lock);
    if (!room(q->max_data, running_data(q)))
        return NULL;
    if (lane > AJF_LANE_DEMAND && !room(q->max_prefetch, running_early(q)))
        return NULL;
    if (lane == AJF_LANE_AHEAD && (ajf_list_empty(&q->files[lane]) || !room(most_ahead(q), q->running[lane])))
        return NULL;
    AJF_LIST_FOR(l, &q->files[lane])
    {
        struct ajf_turns *t = AJF_CONTAINER(l, struct ajf_turns, turn[lane]);
        if (t->running >= q->max_file)
            continue;
        struct ajf_fetch *f = AJF_CONTAINER(t->pending[lane].next, struct ajf_fetch, link);
        dequeue_locked(q, f);
        if (!ajf_list_empty(&t->turn[lane])) {
            ajf_list_del(&t->turn[lane]);
            ajf_list_add(&q->files[lane], &t->turn[lane]);
        }
        return f;
    }
    return NULL;
}

static bool uncount_locked(struct ajf_queue *q, struct ajf_fetch *f)
{
    AJF_HELD(&q->lock);
    bool counted = f->counted;
    f->counted = false;
    if (counted) {
        q->running[f->info.lane]--;
        if (f->turns)
            f->turns->running--;
        ajf_list_del(&f->link);
    }
    return counted;
}

/* Whether a fetch that hangs, and that nobody wants, has given up its place. */
static bool gave_up_locked(struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    uint64_t now = ajf_now_ns();
    bool any = false;
    for (int lane = 0; lane < AJF_LANES; lane++)
        AJF_LIST_FOR_SAFE(l, &q->taken[lane])
        {
            struct ajf_fetch *f = AJF_CONTAINER(l, struct ajf_fetch, link);
            if (now < f->picked_ns + HANGS_NS)
                break;
            any = (f->unwanted && uncount_locked(q, f)) || any;
        }
    return any;
}

static struct ajf_fetch *pick_now_locked(struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    struct ajf_fetch *f = NULL;
    if (room(q->max_all, running_data(q) + q->running[AJF_LANE_METADATA]) && !ajf_list_empty(&q->metadata)) {
        f = AJF_CONTAINER(q->metadata.next, struct ajf_fetch, link);
        dequeue_locked(q, f);
    }
    if (!f)
        f = pick_data_locked(q, AJF_LANE_DEMAND);
    if (!f)
        f = pick_data_locked(q, AJF_LANE_PREFETCH);
    if (!f)
        f = pick_data_locked(q, AJF_LANE_AHEAD);
    if (f) {
        f->state = AJF_FETCH_RUNNING;
        f->counted = true;
        q->running[f->info.lane]++;
        if (f->turns)
            f->turns->running++;
        f->picked_ns = ajf_now_ns();
        ajf_list_add(&q->taken[f->info.lane], &f->link);
    }
    return f;
}

static bool is_idle(const struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    return !q->queued[AJF_LANE_METADATA] && !q->queued[AJF_LANE_DEMAND] && !q->queued[AJF_LANE_PREFETCH];
}

static struct ajf_fetch *pick_locked(struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    struct ajf_fetch *f = pick_now_locked(q);
    return f || is_idle(q) || !gave_up_locked(q) ? f : pick_now_locked(q);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Supposes that no file has its share of fetches under way: to look at each costs more than a thread too many. */
static uint32_t missing_locked(const struct ajf_queue *q)
{
    AJF_HELD(&q->lock);
    uint32_t ahead = least(q->queued[AJF_LANE_AHEAD], room(most_ahead(q), q->running[AJF_LANE_AHEAD]));
    uint32_t early = least(q->queued[AJF_LANE_PREFETCH] + ahead, room(q->max_prefetch, running_early(q)));
    uint32_t data = least(q->queued[AJF_LANE_DEMAND] + early, room(q->max_data, running_data(q)));
    uint32_t metadata =
        least(q->queued[AJF_LANE_METADATA], room(q->max_all, running_data(q) + q->running[AJF_LANE_METADATA]));
    return room(metadata + data + 1, q->waiting);
}

void ajf_queue_uncount(struct ajf_queue *q, struct ajf_fetch *f)
{
    pthread_mutex_lock(&q->lock);
    if (uncount_locked(q, f))
        wake_locked(q); /* what was held back by a limit may go now */
    pthread_mutex_unlock(&q->lock);
}

/* Usually the thread comes back at once and takes the next one. Another is woken to fetch ahead if that is worth it. */
void ajf_queue_ended(struct ajf_queue *q, struct ajf_fetch *f)
{
    uint64_t now = f->queued_ns ? ajf_now_ns() : 0;
    if (f->begun && f->queued_ns) /* else the time of its request is its own */
        ajf_times_note(&f->m->times, ajf_fetch_timed(f, AJF_TIMED_source_stat), now - f->started_ns);
    pthread_mutex_lock(&q->lock);
    bool others = !is_idle(q);
    bool counted = uncount_locked(q, f);
    if (counted && f->came && f->info.length <= SMALL_BYTES)
        ajf_pace_note(&q->pace, now - f->started_ns);
    if (counted && (others || (q->queued[AJF_LANE_AHEAD] && room(most_ahead(q), q->running[AJF_LANE_AHEAD]) > 1)))
        wake_locked(q);
    pthread_mutex_unlock(&q->lock);
}

void ajf_fetch_copy(const struct ajf_fetch *f, struct ajf_queued *ret_queued)
{
    *ret_queued = (struct ajf_queued){.info = f->info, .nodeid = f->nodeid, .queued_ns = f->queued_ns};
    ret_queued->info.path = NULL;
    ret_queued->info.buffer = NULL;
    if (f->name)
        memcpy(ret_queued->name, f->name, f->name_len <= AJF_NAME_MAX ? f->name_len : AJF_NAME_MAX);
}

size_t ajf_queue_copy(struct ajf_queue *q, struct ajf_queued *ret_queued, size_t most)
{
    size_t n = 0;
    pthread_mutex_lock(&q->lock);
    AJF_LIST_FOR(l, &q->metadata)
    {
        if (n == most)
            break;
        ajf_fetch_copy(AJF_CONTAINER(l, struct ajf_fetch, link), &ret_queued[n++]);
    }
    for (int lane = 0; lane < AJF_LANES; lane++)
        AJF_LIST_FOR(l, &q->files[lane])
        {
            if (n == most)
                break;
            AJF_LIST_FOR(k, &AJF_CONTAINER(l, struct ajf_turns, turn[lane])->pending[lane])
            {
                if (n == most)
                    break;
                ajf_fetch_copy(AJF_CONTAINER(k, struct ajf_fetch, link), &ret_queued[n++]);
            }
        }
    pthread_mutex_unlock(&q->lock);
    return n;
}

void ajf_queue_stop(struct ajf_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->stopped = true;
    while (!ajf_list_empty(&q->idle))
        wake_locked(q);
    pthread_mutex_unlock(&q->lock);
}

void ajf_queue_clear(struct ajf_queue *q)
{
    for (;;) {
        pthread_mutex_lock(&q->lock);
        struct ajf_fetch *f = NULL;
        if (!ajf_list_empty(&q->metadata)) {
            f = AJF_CONTAINER(q->metadata.next, struct ajf_fetch, link);
            dequeue_locked(q, f);
        }
        pthread_mutex_unlock(&q->lock);
        if (!f)
            return;
        f->answered = true;
        ajf_fetch_release(f);
    }
}

/* --------------------------------------------------------------------------------------- the fetchers' side */

bool ajf_fetch_begin(struct ajf_fetch *f)
{
    struct ajf *m = f->m;
    f->started_ns = ajf_now_ns();
    if (!f->path)
        f->path = ajf_inode_path(&m->inodes, f->nodeid, f->name, f->name_len);
    if (!f->path) {
        ajf_log(&m->log, AJF_LOG_ERROR, "no memory for the path of a fetch%s",
                f->info.kind == AJF_FETCH_CLOSE ? ": a handle of the source stays open" : "");
        ajf_fetch_fail(f, ENOMEM);
        ajf_fetch_release(f);
        return false;
    }
    f->info.path = f->path;
    f->info.path_len = strlen(f->path);
    if (f->ops->begin && !f->ops->begin(f))
        return false;
    if (!f->begun)
        atomic_fetch_add_explicit(&m->stats.value[f->ops->counts], 1, memory_order_relaxed);
    f->begun = true;
    return true;
}

/* False when the deadline has come; there may be something all the same. */
static bool wait_locked(struct ajf_queue *q, uint64_t deadline_ns)
{
    AJF_HELD(&q->lock);
    struct waiter w;
    ajf_cond_init(&w.ready);
    ajf_list_add_front(&q->idle, &w.link);
    bool more = ajf_cond_wait_until(&w.ready, &q->lock, deadline_ns);
    ajf_list_del(&w.link);
    pthread_cond_destroy(&w.ready);
    return more;
}

int ajf_fetch_next(struct ajf *m, int timeout_ms, struct ajf_fetch **ret_fetch, uint32_t *ret_missing)
{
    struct ajf_queue *q = &m->queue;
    uint64_t deadline = ajf_deadline_ns(timeout_ms);
    for (;;) {
        struct ajf_fetch *f = NULL;
        bool more = true;
        pthread_mutex_lock(&q->lock);
        q->waiting++;
        while (!q->stopped && !(f = pick_locked(q)) && more)
            more = wait_locked(q, deadline);
        q->waiting--;
        uint32_t missing = missing_locked(q);
        bool stopped = q->stopped;
        pthread_mutex_unlock(&q->lock);
        *ret_missing = missing;
        if (!f)
            return stopped ? -ESHUTDOWN : -ETIMEDOUT;
        if (ajf_fetch_begin(f)) {
            ajf_times_note(&m->times, ajf_fetch_timed(f, AJF_TIMED_queue_stat), f->started_ns - f->queued_ns);
            *ret_fetch = f;
            return 0;
        }
    }
}
