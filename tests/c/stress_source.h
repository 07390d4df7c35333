/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stress_source.h - the source of the stress program: fetcher threads that answer for the imaginary tree, well or
 * badly, as the round's profile says.
 *
 * It is also a judge: whoever breaks the contract of ajf.h (a READ after its CLOSE, memory handed to two writers, a
 * range outside the file) fails the run. Before bytes are final it writes POISON where they belong, and it goes on
 * writing after its answer until the fetch is released: a reader that sees POISON was served from memory that was
 * not ready, or from memory that was reused too early.
 *
 * Threads: each fetcher has its own random numbers; handles, lent files and buffers under way are guarded by lock.
 */
#ifndef STRESS_SOURCE_H
#define STRESS_SOURCE_H

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ajf.h"
#include "stress_tree.h"

#define POISON 0xEE
#define MAX_FETCHERS 96
#define LAZY_BYTES (1u << 20)
#define MAX_HANDLES 8192

/* How the source behaves; chances are per thousand fetches. */
struct profile {
    unsigned delayed, delay_us; /* a pause of up to delay_us before the answer */
    unsigned failing, shorts, hanging, malformed, unanswered;
    unsigned fickle; /* opens that lend nothing of a file that is lent otherwise */
    unsigned hang_ms; /* at least; up to twice as long */
    bool poison, lends, handles;
    bool lazy; /* small files are never opened */
};

struct source_handle {
    bool open;
    unsigned id, reads;
    uint64_t version;
};

struct source_buffer {
    const uint8_t *at;
    size_t length;
    uint64_t handle, offset;
};

struct source {
    struct ajf *m;
    const struct profile *profile;
    _Atomic uint32_t *versions; /* FILES of them */
    uint64_t seed;
    unsigned most_threads;
    int plant; /* 'a', 'u', 't': a deliberate mistake */
    int planted; /* what it is made with */
    pthread_mutex_t lock;
    pthread_t threads[MAX_FETCHERS]; /* lock */
    unsigned n_threads;              /* lock */
    struct source_handle handles[MAX_HANDLES]; /* lock */
    unsigned open_handles, next_handle;        /* lock */
    struct source_buffer buffers[MAX_FETCHERS]; /* lock; by thread */
    struct lent {
        uint32_t version;
        int fd[2]; /* one memfd with everything; one with the second half at an odd place */
    } lent[FILES]; /* lock */
    _Atomic uint64_t fetches, late, hung, broken;
};

struct fetcher {
    struct source *s;
    unsigned index;
    uint64_t random;
};

static void source_broken(struct source *s, const char *what, const struct ajf_fetch_info *info)
{
    if (atomic_fetch_add(&s->broken, 1) < 10)
        fprintf(stderr, "CONTRACT: %s (kind %d, %s, handle %llu, %llu+%zu of %llu)\n", what, (int)info->kind,
                info->path, (unsigned long long)info->handle, (unsigned long long)info->offset, info->length,
                (unsigned long long)info->size);
}

static bool chance(struct fetcher *t, unsigned per_thousand)
{
    return check_below(&t->random, 1000) < per_thousand;
}

static void pause_us(uint64_t us)
{
    struct timespec ts = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    nanosleep(&ts, NULL);
}

static void hang(struct fetcher *t)
{
    const struct profile *p = t->s->profile;
    atomic_fetch_add(&t->s->hung, 1);
    pause_us((p->hang_ms + check_below(&t->random, p->hang_ms)) * 1000u);
}

static uint32_t version_now(const struct source *s, unsigned id)
{
    return atomic_load(&s->versions[id]);
}

/* ------------------------------------------------------------------------------------------------- metadata */

static void fill_attr(struct ajf_attr *a, uint32_t mode, uint64_t ino, uint64_t size, uint64_t version)
{
    *a = (struct ajf_attr){.ino = ino,
                           .size = size,
                           .blocks = UINT64_MAX,
                           .version = version,
                           .mtime_ns = (int64_t)version * 1000000000,
                           .ctime_ns = (int64_t)version * 1000000000,
                           .mode = mode,
                           .nlink = 1};
}

static int attr_of(const struct source *s, struct node node, struct ajf_attr *a)
{
    uint32_t version;
    switch (node.kind) {
    case NODE_MISSING:
        return ENOENT;
    case NODE_FILE:
        version = version_now(s, node.id);
        if (!file_exists(node.id, version))
            return ENOENT;
        fill_attr(a, S_IFREG | 0644, INO_BASE + node.id, file_size(node.id, version), version);
        return 0;
    case NODE_HUGE_FILE:
        fill_attr(a, S_IFREG | 0644, INO_HUGE + node.id, huge_size(node.id), 1);
        return 0;
    case NODE_LINK: {
        char target[64];
        fill_attr(a, S_IFLNK | 0777, 500 + node.id, link_target(node.id, target), 1);
        return 0;
    }
    default:
        fill_attr(a, S_IFDIR | 0755, 100 + (unsigned)node.kind * 10 + node.id, 0, 1);
        return 0;
    }
}

struct listing {
    struct ajf_entry entries[HUGE_NAMES + 8];
    size_t n;
    char names[HUGE_NAMES * 280];
    size_t names_len;
};

static void list_add(const struct source *s, struct listing *l, const char *dir, const char *name)
{
    char path[600];
    struct ajf_attr attr;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (attr_of(s, tree_node(path), &attr))
        return;
    size_t len = strlen(name);
    l->entries[l->n++] = (struct ajf_entry){attr, (uint32_t)l->names_len, (uint32_t)len};
    memcpy(l->names + l->names_len, name, len);
    l->names_len += len;
}

static int list_of(const struct source *s, struct node node, struct listing *l)
{
    char name[300];
    l->n = l->names_len = 0;
    if (node.kind == NODE_ROOT) {
        for (unsigned i = 0; i < DIRS - 1; i++) {
            snprintf(name, sizeof name, "d%u", i);
            list_add(s, l, "", name);
        }
        for (unsigned i = 0; i < LINKS; i++) {
            snprintf(name, sizeof name, "l%u", i);
            list_add(s, l, "", name);
        }
        list_add(s, l, "", "huge");
        return 0;
    }
    if (node.kind == NODE_HUGE) {
        for (unsigned i = HUGE_NAMES; i--;) {
            huge_name(i, name);
            list_add(s, l, "/huge", name);
        }
        return 0;
    }
    if (node.kind != NODE_DIR && node.kind != NODE_SUB)
        return node.kind == NODE_MISSING ? ENOENT : ENOTDIR;
    for (unsigned i = 0; i < FILES_PER_DIR; i++) {
        char path[64];
        file_path(node.id * FILES_PER_DIR + i, path, sizeof path);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        list_add(s, l, path, slash + 1);
    }
    if (node.kind == NODE_DIR && node.id == 2)
        list_add(s, l, "/d2", "sub");
    return 0;
}

/* ------------------------------------------------------------------------------------------------ open, close */

static uint64_t handle_new(struct source *s, unsigned id, uint64_t version)
{
    uint64_t handle = 0;
    pthread_mutex_lock(&s->lock);
    for (unsigned tries = 0; tries < MAX_HANDLES && !handle; tries++) {
        struct source_handle *h = &s->handles[s->next_handle = (s->next_handle + 1) % MAX_HANDLES];
        if (!h->open) {
            *h = (struct source_handle){true, id, 0, version};
            handle = s->next_handle + 1;
            s->open_handles++;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return handle;
}

static void handle_close(struct source *s, const struct ajf_fetch_info *info)
{
    pthread_mutex_lock(&s->lock);
    struct source_handle *h = info->handle && info->handle <= MAX_HANDLES ? &s->handles[info->handle - 1] : NULL;
    bool ok = h && h->open && !h->reads;
    if (ok) {
        h->open = false;
        s->open_handles--;
    }
    pthread_mutex_unlock(&s->lock);
    if (!ok)
        source_broken(s, "CLOSE of a handle that is not open, or is being read", info);
}

/* A memfd with [0, split) or all of a file, or one with [split, size) behind `shift` bytes of poison. */
static int make_lent(unsigned id, uint32_t version, uint64_t from, uint64_t shift)
{
    uint64_t size = file_size(id, version);
    int fd = memfd_create("stress-lent", MFD_CLOEXEC);
    uint8_t *bytes = malloc(shift + size - from + 1);
    if (fd >= 0 && bytes) {
        memset(bytes, POISON, shift);
        file_fill(bytes + shift, id, version, from, size - from);
        size_t done = 0, total = shift + size - from;
        while (done < total) {
            ssize_t n = write(fd, bytes + done, total - done);
            if (n <= 0)
                break;
            done += (size_t)n;
        }
    }
    free(bytes);
    return fd;
}

#define SHIFT 12345u

static size_t lend(struct source *s, unsigned id, uint32_t version, struct ajf_extent *extents)
{
    uint64_t size = file_size(id, version), split = size / 2;
    size_t n = file_lent(id);
    struct lent *lent = &s->lent[id];
    pthread_mutex_lock(&s->lock);
    if (lent->version != version) {
        for (int i = 0; i < 2; i++)
            if (lent->fd[i] > 0)
                close(lent->fd[i]);
        lent->fd[0] = make_lent(id, version, 0, 0);
        lent->fd[1] = make_lent(id, version, split, SHIFT);
        lent->version = version;
    }
    extents[0] = (struct ajf_extent){dup(lent->fd[0]), 0, n == 1 ? size : split};
    if (n == 2)
        extents[1] = (struct ajf_extent){dup(lent->fd[1]), SHIFT, size - split};
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void serve_open(struct fetcher *t, struct ajf_fetch *f, const struct ajf_fetch_info *info)
{
    struct source *s = t->s;
    struct node node = tree_node(info->path);
    if (node.kind == NODE_HUGE_FILE) {
        uint64_t handle = s->profile->handles ? handle_new(s, huge_id(node.id), 1) : 0;
        ajf_fetch_opened(f, handle, 1, huge_size(node.id), NULL, 0);
        return;
    }
    uint32_t version = node.kind == NODE_FILE ? version_now(s, node.id) : 0;
    if (node.kind != NODE_FILE || !file_exists(node.id, version)) {
        ajf_fetch_fail(f, ENOENT);
        return;
    }
    struct ajf_extent extents[2];
    bool lends = s->profile->lends && !chance(t, s->profile->fickle);
    size_t n = lends && file_lent(node.id) ? lend(s, node.id, version, extents) : 0;
    uint64_t size = file_size(node.id, version);
    bool keeps = s->profile->handles && (!n || s->profile->fickle || chance(t, 500));
    uint64_t handle = keeps ? handle_new(s, node.id, version) : 0;
    int err = ajf_fetch_opened(f, handle, version, size, n ? extents : NULL, n);
    if (err)
        source_broken(s, "a good answer to OPEN was found malformed", info);
}

/* ------------------------------------------------------------------------------------------------------- reads */

static void buffer_take(struct fetcher *t, const struct ajf_fetch_info *info)
{
    struct source *s = t->s;
    const uint8_t *at = info->buffer;
    const char *wrong = NULL;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < MAX_FETCHERS; i++) {
        const struct source_buffer *b = &s->buffers[i];
        if (b->length && b->at < at + info->length && at < b->at + b->length)
            wrong = "memory handed to two writers";
        if (b->length && b->handle && b->handle == info->handle && b->offset < info->offset + info->length &&
            info->offset < b->offset + b->length)
            wrong = "a range of one handle fetched twice at once";
    }
    s->buffers[t->index] = (struct source_buffer){at, info->length, info->handle, info->offset};
    if (info->handle && info->handle <= MAX_HANDLES) {
        struct source_handle *h = &s->handles[info->handle - 1];
        if (!h->open)
            wrong = "READ of a handle that was closed";
        else if (h->version != info->version)
            wrong = "READ of another version than was opened";
        h->reads++;
    } else if (s->profile->handles && !(s->profile->lazy && info->size <= LAZY_BYTES)) {
        wrong = "READ without a handle";
    }
    pthread_mutex_unlock(&s->lock);
    if (wrong)
        source_broken(s, wrong, info);
}

static void buffer_give(struct fetcher *t, const struct ajf_fetch_info *info)
{
    struct source *s = t->s;
    pthread_mutex_lock(&s->lock);
    s->buffers[t->index].length = 0;
    if (info->handle && info->handle <= MAX_HANDLES)
        s->handles[info->handle - 1].reads--;
    pthread_mutex_unlock(&s->lock);
}

static void poison(struct fetcher *t, const struct ajf_fetch_info *info, size_t from)
{
    if (t->s->profile->poison)
        memset((uint8_t *)info->buffer + from, POISON, info->length - from);
}

/* Fills up to `upto` in some steps; returns how far it came. */
static size_t fill_steps(struct fetcher *t, struct ajf_fetch *f, const struct ajf_fetch_info *info, unsigned id,
                         size_t upto)
{
    size_t done = 0, step = info->length / (1 + check_below(&t->random, 4)) + 1;
    while (done < upto) {
        size_t n = upto - done < step ? upto - done : step;
        file_fill((uint8_t *)info->buffer + done, id, info->version, info->offset + done, n);
        done += n;
        if (done < info->length) {
            int err = ajf_fetch_progress(f, done);
            if (err == -ECANCELED)
                break;
            if (err)
                source_broken(t->s, "good progress was refused", info);
        }
    }
    return done;
}

static void serve_read(struct fetcher *t, struct ajf_fetch *f, const struct ajf_fetch_info *info)
{
    struct source *s = t->s;
    const struct profile *p = s->profile;
    struct node node = tree_node(info->path);
    unsigned id = node.kind == NODE_HUGE_FILE ? huge_id(node.id) : node.id;
    uint64_t size = node.kind == NODE_HUGE_FILE ? huge_size(node.id) : file_size(id, info->version);
    if (info->size != size || info->offset + info->length > size || !info->length || !info->buffer)
        source_broken(s, "a READ outside the file", info);
    buffer_take(t, info);
    poison(t, info, 0);
    if (chance(t, p->hanging)) {
        hang(t);
        atomic_fetch_add(&s->late, 1);
        poison(t, info, 0);
    }
    size_t done = 0;
    if (p->lazy && !info->handle && node.kind == NODE_FILE && info->version != version_now(s, id) && chance(t, 500)) {
        ajf_fetch_fail(f, ESTALE);
    } else if (chance(t, p->failing)) {
        done = fill_steps(t, f, info, id, check_below(&t->random, info->length + 1));
        ajf_fetch_fail(f, check_below(&t->random, 2) ? EIO : ETIMEDOUT);
    } else if (chance(t, p->malformed)) {
        if (ajf_fetch_progress(f, info->length + 1) != -EINVAL)
            source_broken(s, "progress beyond the end was accepted", info);
        if (ajf_fetch_done(f, info->length + 1) != -EINVAL)
            source_broken(s, "more than asked was accepted", info);
    } else if (chance(t, p->shorts)) {
        done = fill_steps(t, f, info, id, check_below(&t->random, info->length));
        ajf_fetch_done(f, done);
    } else {
        done = fill_steps(t, f, info, id, info->length);
        if (!chance(t, p->unanswered) && ajf_fetch_done(f, done))
            source_broken(s, "a good answer to READ was refused", info);
    }
    /* What was not made final may be written until the release. */
    if (done < info->length && chance(t, 300)) {
        pause_us(check_below(&t->random, 2000));
        poison(t, info, done);
    }
    buffer_give(t, info);
}

/* -------------------------------------------------------------------------------------------------- the threads */

/* A mistake on purpose, to see that the alarm rings. */
static void plant(struct source *s)
{
    if (s->plant == 'a') {
        volatile size_t beyond = 16;
        volatile char *heap = malloc(16);
        heap[beyond] = 1;
        free((void *)heap);
    } else if (s->plant == 'u') {
        volatile int large = INT32_MAX;
        large = large + (int)(s->seed % 2) + 1;
    } else if (s->plant == 't') {
        s->planted++; /* unguarded, and every fetcher comes by */
    }
}

static void serve(struct fetcher *t, struct ajf_fetch *f, struct listing *l)
{
    struct source *s = t->s;
    const struct profile *p = s->profile;
    struct ajf_fetch_info info;
    ajf_fetch_info(f, &info);
    atomic_fetch_add(&s->fetches, 1);
    plant(s);
    if (chance(t, p->delayed))
        pause_us(check_below(&t->random, p->delay_us));
    if (info.kind == AJF_FETCH_READ) {
        serve_read(t, f, &info);
        return;
    }
    if (info.kind == AJF_FETCH_CLOSE) {
        handle_close(s, &info);
        ajf_fetch_done(f, 0);
        return;
    }
    if (chance(t, p->hanging))
        hang(t);
    if (chance(t, p->failing)) {
        ajf_fetch_fail(f, check_below(&t->random, 2) ? EIO : EACCES);
        return;
    }
    if (chance(t, p->unanswered))
        return;
    struct node node = tree_node(info.path);
    struct ajf_attr attr;
    char target[64];
    int err = 0;
    switch (info.kind) {
    case AJF_FETCH_STAT:
        if (chance(t, p->malformed)) {
            fill_attr(&attr, S_IFSOCK | 0777, 1, 1, 1);
            if (ajf_fetch_attr(f, &attr) != -EINVAL)
                source_broken(s, "a socket was accepted", &info);
        } else if ((err = attr_of(s, node, &attr))) {
            ajf_fetch_fail(f, err);
        } else if (ajf_fetch_attr(f, &attr)) {
            source_broken(s, "good attributes were refused", &info);
        }
        break;
    case AJF_FETCH_LIST:
        if ((err = list_of(s, node, l)))
            ajf_fetch_fail(f, err);
        else if (chance(t, p->malformed) ? ajf_fetch_list(f, l->entries, l->n, l->names, l->names_len / 2) != -EINVAL
                                         : ajf_fetch_list(f, l->entries, l->n, l->names, l->names_len) != 0)
            source_broken(s, "a listing was judged wrongly", &info);
        break;
    case AJF_FETCH_READLINK:
        if (node.kind != NODE_LINK)
            ajf_fetch_fail(f, EINVAL);
        else
            ajf_fetch_link(f, target, link_target(node.id, target));
        break;
    case AJF_FETCH_STATFS: {
        struct ajf_statfs fs = {4096, 1000, 500, 400, FILES, 0, 255};
        ajf_fetch_statfs(f, &fs);
        break;
    }
    default:
        serve_open(t, f, &info);
    }
}

static void source_grow(struct source *s);

static void *fetcher_main(void *arg)
{
    struct fetcher *t = arg;
    struct source *s = t->s;
    struct listing *l = malloc(sizeof *l);
    for (;;) {
        struct ajf_fetch *f;
        uint32_t missing;
        int err = ajf_fetch_next(s->m, 500, &f, &missing);
        if (err == -ESHUTDOWN)
            break;
        if (err)
            continue;
        if (missing)
            source_grow(s);
        serve(t, f, l);
        ajf_fetch_release(f);
    }
    free(l);
    free(t);
    return NULL;
}

static void source_grow(struct source *s)
{
    pthread_mutex_lock(&s->lock);
    struct fetcher *t = s->n_threads < s->most_threads ? malloc(sizeof *t) : NULL;
    if (t) {
        *t = (struct fetcher){s, s->n_threads, tree_mix(s->seed, s->n_threads)};
        if (pthread_create(&s->threads[s->n_threads], NULL, fetcher_main, t))
            free(t);
        else
            s->n_threads++;
    }
    pthread_mutex_unlock(&s->lock);
}

static void source_start(struct source *s, struct ajf *m, const struct profile *p, _Atomic uint32_t *versions,
                         uint64_t seed, unsigned most_threads, int plant_what)
{
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->m = m;
    s->profile = p;
    s->versions = versions;
    s->seed = seed;
    s->plant = plant_what;
    s->most_threads = most_threads < MAX_FETCHERS ? most_threads : MAX_FETCHERS;
    source_grow(s);
    source_grow(s);
}

/* After ajf_stop: waits for the threads, those that hang included. */
static void source_join(struct source *s)
{
    for (unsigned i = 0;; i++) {
        pthread_mutex_lock(&s->lock);
        bool more = i < s->n_threads;
        pthread_t thread = more ? s->threads[i] : 0;
        pthread_mutex_unlock(&s->lock);
        if (!more)
            break;
        pthread_join(thread, NULL);
    }
    for (unsigned i = 0; i < FILES; i++)
        for (int k = 0; k < 2; k++)
            if (s->lent[i].fd[k] > 0)
                close(s->lent[i].fd[k]);
    pthread_mutex_destroy(&s->lock);
}

static unsigned source_open_handles(struct source *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->open_handles;
    pthread_mutex_unlock(&s->lock);
    return n;
}

#endif
