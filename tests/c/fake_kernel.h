/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_kernel.h - the other side of /dev/fuse, played by the test: a mount without a kernel, where the order of
 * events is the test's.
 *
 * libfuse takes an open descriptor for a mount point ("/dev/fd/N"); here it is one end of a SOCK_SEQPACKET pair, so
 * that each message is one request or one reply. The test also plays the fetchers, so it decides who answers when.
 * Nothing needs privileges and nothing sleeps: deadlines pass when the test says so (fake_time_passes).
 */
#ifndef FAKE_KERNEL_H
#define FAKE_KERNEL_H

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "files/opens_waiting.h"
#include "files/readers.h"
#include "mount.h"

#define FAKE_WAIT_MS 100000 /* what must happen happens at once; this only ends a test that hangs */
#define FAKE_MESSAGE (160u << 10)
#define FAKE_PENDING 256

/* Of 6.2, which <linux/fuse.h> here may be older than. */
#define FAKE_HAS_EXPIRE_ONLY (UINT64_C(1) << 35)
#define FAKE_EXPIRE_ONLY 1

struct fake_reply {
    uint64_t unique;
    int error; /* positive errno, 0 = none */
    size_t length;
    uint8_t *bytes; /* of the caller */
};

struct fake {
    struct ajf *m;
    int fd;
    uint64_t unique;
    uint32_t pid, uid; /* the caller in requests */
    uint64_t dropped; /* the last inode whose pages it was told to drop */
    uint64_t outdated; /* the last inode whose attributes it was told to ask for */
    char expired[AJF_NAME_MAX + 1]; /* the last name that it was told to look up again, */
    unsigned n_expired, n_removed;  /* how many these were; and how many it was told to remove */
    bool old; /* before fake_start: it knows no expiry of names */
    struct fake_reply pending[FAKE_PENDING];
};

static inline struct ajf_options fake_options(void)
{
    return (struct ajf_options){.max_idle_threads = 1,
                                .max_threads = 1, /* requests are taken in turn, or the scheduler would have a say */
                                .max_readahead = 1 << 20,
                                .max_write = 65536,
                                .max_background = 256,
                                .congestion_threshold = 192,
                                .uid = -1,
                                .gid = -1,
                                .umask = -1,
                                .cache_enabled = true,
                                .cache_bytes = 16 << 20,
                                .transient_bytes = 16 << 20,
                                .page_bytes = 1 << 20,
                                .listings_bytes = 64 << 20,
                                .fetchers = 64,
                                .metadata_fetchers = 8};
}

static inline uint64_t fake_send(struct fake *k, uint32_t opcode, uint64_t nodeid, const void *body, size_t length)
{
    static uint8_t message[FAKE_MESSAGE];
    struct fuse_in_header h = {.len = (uint32_t)(sizeof h + length),
                               .opcode = opcode,
                               .unique = k->unique += 2,
                               .nodeid = nodeid,
                               .uid = k->uid,
                               .pid = k->pid};
    memcpy(message, &h, sizeof h);
    if (length)
        memcpy(message + sizeof h, body, length);
    NEED(send(k->fd, message, sizeof h + length, 0) == (ssize_t)(sizeof h + length));
    return h.unique;
}

/* One message from the daemon, kept until somebody asks for it; false when none came in time. */
static inline bool fake_receive(struct fake *k, int timeout_ms)
{
    static uint8_t message[FAKE_MESSAGE];
    struct pollfd p = {.fd = k->fd, .events = POLLIN};
    struct fuse_out_header h;
    if (poll(&p, 1, timeout_ms) <= 0)
        return false;
    ssize_t n = recv(k->fd, message, sizeof message, 0);
    if (n < (ssize_t)sizeof h)
        return false;
    memcpy(&h, message, sizeof h);
    CHECK_EQ(h.len, n);
    if (!h.unique) { /* a notification */
        struct fuse_notify_inval_inode_out out = {0};
        if (h.error == FUSE_NOTIFY_INVAL_INODE && (size_t)n >= sizeof h + sizeof out) {
            memcpy(&out, message + sizeof h, sizeof out);
            k->dropped = out.off == 0 ? out.ino : k->dropped;
            k->outdated = out.off < 0 ? out.ino : k->outdated;
        }
        if (h.error == FUSE_NOTIFY_INVAL_ENTRY) {
            struct fuse_notify_inval_entry_out entry;
            uint32_t flags;
            memcpy(&entry, message + sizeof h, sizeof entry);
            memcpy(&flags, message + sizeof h + 12, sizeof flags);
            NEED(entry.namelen <= AJF_NAME_MAX);
            memcpy(k->expired, message + sizeof h + sizeof entry, entry.namelen);
            k->expired[entry.namelen] = '\0';
            k->n_expired += flags == FAKE_EXPIRE_ONLY;
            k->n_removed += flags != FAKE_EXPIRE_ONLY;
        }
        return true;
    }
    for (unsigned i = 0; i < FAKE_PENDING; i++) {
        struct fake_reply *r = &k->pending[i];
        if (r->unique == h.unique)
            CHECK_SAY("request %llu answered twice", (unsigned long long)h.unique);
        if (r->unique)
            continue;
        *r = (struct fake_reply){h.unique, -h.error, (size_t)n - sizeof h, malloc((size_t)n)};
        memcpy(r->bytes, message + sizeof h, r->length);
        return true;
    }
    CHECK_SAY("too many replies that nobody asked for");
    return true;
}

static inline bool fake_take(struct fake *k, uint64_t unique, struct fake_reply *ret_reply)
{
    for (unsigned i = 0; i < FAKE_PENDING; i++)
        if (k->pending[i].unique == unique) {
            *ret_reply = k->pending[i];
            k->pending[i].unique = 0;
            return true;
        }
    return false;
}

/* A reply that was taken, for whoever asks for it later. */
static inline void fake_put_back(struct fake *k, struct fake_reply r)
{
    for (unsigned i = 0; i < FAKE_PENDING; i++)
        if (!k->pending[i].unique) {
            k->pending[i] = r;
            return;
        }
    CHECK_SAY("no place for a reply");
}

/* The reply to a request, within the time; its bytes are to be freed. */
static inline bool fake_reply_within(struct fake *k, uint64_t unique, int timeout_ms, struct fake_reply *ret_reply)
{
    while (!fake_take(k, unique, ret_reply))
        if (!fake_receive(k, timeout_ms))
            return false;
    return true;
}

static inline struct fake_reply fake_reply(struct fake *k, uint64_t unique)
{
    struct fake_reply r = {0};
    NEED(fake_reply_within(k, unique, FAKE_WAIT_MS, &r));
    return r;
}

static inline void fake_expect_error(struct fake *k, uint64_t unique, int error)
{
    struct fake_reply r = fake_reply(k, unique);
    CHECK_EQ(r.error, error);
    free(r.bytes);
}

/* No reply yet. What would come at once has come when a request sent later was answered. */
static inline bool fake_is_parked(struct fake *k, uint64_t unique)
{
    struct fake_reply r;
    struct fuse_getattr_in in = {0};
    uint64_t later = fake_send(k, FUSE_GETATTR, 999999, &in, sizeof in); /* no such inode: ESTALE */
    fake_expect_error(k, later, ESTALE);
    if (!fake_take(k, unique, &r))
        return true;
    free(r.bytes);
    return false;
}

/* It is late: the deadlines of all parked requests have come, and what they wait for has been long in coming. */
static inline void fake_time_passes(struct fake *k)
{
    struct ajf_waits *t = &k->m->waits;
    uint64_t long_ago = ajf_now_ns() - 86400 * AJF_NS_PER_S; /* differences are right even where this wraps */
    pthread_mutex_lock(&k->m->cache.lock);
    pthread_mutex_lock(&t->lock);
    for (int class = 0; class < AJF_WAIT_CLASSES; class++)
        AJF_LIST_FOR(l, &t->by_age[class])
        {
            struct ajf_wait *w = AJF_CONTAINER(l, struct ajf_wait, by_age);
            w->deadline_ns = 0;
            if (w->request.op == AJF_OP_OPEN)
                AJF_CONTAINER(w, struct ajf_opener, wait)->file->opening_ns = long_ago;
            else if (w->request.op == AJF_OP_READ)
                AJF_CONTAINER(w, struct ajf_read, wait)->file->opening_ns = long_ago;
        }
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_unlock(&k->m->cache.lock);
}

static inline void fake_start(struct fake *k, const struct ajf_options *o)
{
    int pair[2], room = 4 << 20;
    char path[32];
    bool old = k->old;
    memset(k, 0, sizeof *k);
    k->pid = (uint32_t)getpid();
    NEED(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    k->fd = pair[0];
    NEED(!ajf_new(o, &k->m));
    snprintf(path, sizeof path, "/dev/fd/%d", pair[1]);
    NEED(!ajf_mount(k->m, path, "ro"));
    struct fuse_init_in in = {.major = 7,
                              .minor = old ? 36 : 38,
                              .max_readahead = 1 << 20,
                              .flags2 = old ? 0 : FAKE_HAS_EXPIRE_ONLY >> 32,
                              .flags = FUSE_INIT_EXT | FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
                                       FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                                       FUSE_AUTO_INVAL_DATA};
    uint64_t init = fake_send(k, FUSE_INIT, 0, &in, sizeof in);
    NEED(!ajf_start(k->m, FAKE_WAIT_MS));
    k->m->session.most_spliced = 0; /* a socket would make several messages of one reply */
    fake_expect_error(k, init, 0);
}

static inline uint64_t fake_stat(const struct fake *k, const char *name)
{
    for (size_t i = 0; i < ajf_stats_count(); i++)
        if (!strcmp(ajf_stats_name(i), name))
            return ajf_stats_value(k->m, i);
    CHECK_SAY("no counter %s", name);
    return 0;
}

static inline void fake_check_pairs(const struct fake *k)
{
    for (size_t i = 0; i < ajf_stats_count(); i++) {
        const char *name = ajf_stats_name(i), *end = strstr(name, "_born");
        char other[80];
        if (!end)
            continue;
        snprintf(other, sizeof other, "%.*s_died", (int)(end - name), name);
        if (ajf_stats_value(k->m, i) != fake_stat(k, other))
            CHECK_SAY("%s %llu, %s %llu", name, (unsigned long long)ajf_stats_value(k->m, i), other,
                      (unsigned long long)fake_stat(k, other));
    }
    CHECK_EQ(fake_stat(k, "cache_used_bytes"), 0);
    if (k->m->cache.frames.free)
        CHECK_EQ(k->m->cache.frames.n_free, k->m->cache.frames.n);
}

/* The session ends as with an unmount; every fetch must have been released, or be released before fake_end. */
static inline void fake_stop(struct fake *k)
{
    k->m->session.device = 1; /* not what lies at that path: there is nothing to unmount */
    CHECK_EQ(ajf_stop(k->m, FAKE_WAIT_MS), 0);
}

static inline void fake_end(struct fake *k)
{
    fake_stop(k);
    fake_check_pairs(k);
    ajf_free(k->m);
    close(k->fd);
    for (unsigned i = 0; i < FAKE_PENDING; i++)
        if (k->pending[i].unique)
            free(k->pending[i].bytes);
}

/* ------------------------------------------------------------------------------------------------- requests */

static inline uint64_t fake_lookup(struct fake *k, uint64_t parent, const char *name)
{
    return fake_send(k, FUSE_LOOKUP, parent, name, strlen(name) + 1);
}

static inline uint64_t fake_open(struct fake *k, uint64_t nodeid)
{
    struct fuse_open_in in = {0};
    return fake_send(k, FUSE_OPEN, nodeid, &in, sizeof in);
}

static inline uint64_t fake_read(struct fake *k, uint64_t nodeid, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.offset = offset, .size = size};
    return fake_send(k, FUSE_READ, nodeid, &in, sizeof in);
}

static inline void fake_release(struct fake *k, uint64_t nodeid)
{
    struct fuse_release_in in = {0};
    fake_expect_error(k, fake_send(k, FUSE_RELEASE, nodeid, &in, sizeof in), 0);
}

static inline void fake_interrupt(struct fake *k, uint64_t unique)
{
    struct fuse_interrupt_in in = {.unique = unique};
    fake_send(k, FUSE_INTERRUPT, 0, &in, sizeof in);
}

/* The nodeid of an entry that was looked up; 0 when it is missing. */
static inline uint64_t fake_entry(struct fake *k, uint64_t unique)
{
    struct fake_reply r = fake_reply(k, unique);
    struct fuse_entry_out out = {0};
    if (!r.error && r.length >= sizeof out)
        memcpy(&out, r.bytes, sizeof out);
    free(r.bytes);
    return out.nodeid;
}

/* What the daemon tells of its own accord comes on a thread of its own. */
static inline void fake_notified(struct fake *k, const unsigned *count, unsigned want)
{
    while (*count < want && fake_receive(k, FAKE_WAIT_MS))
        ;
    CHECK_EQ(*count, want);
}

/* As fake_entry; *ret_timeout: how long the kernel may believe it, seconds; 0 for an error. */
static inline uint64_t fake_entry_for(struct fake *k, uint64_t unique, double *ret_timeout)
{
    struct fake_reply r = fake_reply(k, unique);
    struct fuse_entry_out out = {0};
    if (!r.error && r.length >= sizeof out)
        memcpy(&out, r.bytes, sizeof out);
    free(r.bytes);
    *ret_timeout = (double)out.entry_valid + (double)out.entry_valid_nsec / 1e9;
    return out.nodeid;
}

/* ---------------------------------------------------------------------------------------------- the fetchers */

/* The next fetch, which must be of this kind. */
static inline struct ajf_fetch *fake_fetch(struct fake *k, enum ajf_fetch_kind kind, struct ajf_fetch_info *ret_info)
{
    struct ajf_fetch *f;
    struct ajf_fetch_info info;
    uint32_t missing;
    NEED(!ajf_fetch_next(k->m, FAKE_WAIT_MS, &f, &missing));
    ajf_fetch_info(f, &info);
    if (info.kind != kind) {
        CHECK_SAY("fetch of kind %d (%s), not %d", (int)info.kind, info.path, (int)kind);
        exit(1);
    }
    if (ret_info)
        *ret_info = info;
    return f;
}

/* Takes all fetches there are, and may be under way at once. */
static inline unsigned fake_fetch_all(struct fake *k, struct ajf_fetch **held, unsigned room)
{
    unsigned n = 0;
    uint32_t missing;
    while (n < room && !ajf_fetch_next(k->m, 0, &held[n], &missing))
        n++;
    return n;
}

static inline bool fake_no_fetch(struct fake *k)
{
    struct ajf_fetch *f;
    uint32_t missing;
    return ajf_fetch_next(k->m, 0, &f, &missing) == -ETIMEDOUT;
}

static inline struct ajf_attr fake_attr(uint64_t size, uint64_t version)
{
    return (struct ajf_attr){
        .ino = 77, .size = size, .version = version, .blocks = UINT64_MAX, .mode = S_IFREG | 0644, .nlink = 1};
}

static inline uint8_t fake_byte(uint64_t offset, uint64_t version)
{
    return (uint8_t)((offset * UINT64_C(0x9e3779b97f4a7c15) + version * 77) >> 37);
}

static inline void fake_fill(const struct ajf_fetch_info *info, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        ((uint8_t *)info->buffer)[i] = fake_byte(info->offset + i, info->version);
}

static inline void fake_answer_close(struct fake *k, uint64_t handle)
{
    struct ajf_fetch_info info;
    struct ajf_fetch *f = fake_fetch(k, AJF_FETCH_CLOSE, &info);
    CHECK_EQ(info.handle, handle);
    CHECK_EQ(ajf_fetch_done(f, 0), 0);
    ajf_fetch_release(f);
}

static inline void fake_answer_open(struct fake *k, uint64_t handle, uint64_t version, uint64_t size)
{
    struct ajf_fetch *f = fake_fetch(k, AJF_FETCH_OPEN, NULL);
    CHECK_EQ(ajf_fetch_opened(f, handle, version, size, NULL, 0), 0);
    ajf_fetch_release(f);
}

static inline void fake_answer_read(struct fake *k)
{
    struct ajf_fetch_info info;
    struct ajf_fetch *f = fake_fetch(k, AJF_FETCH_READ, &info);
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_done(f, info.length), 0);
    ajf_fetch_release(f);
}

/* Looks a file up, with one STAT. */
static inline uint64_t fake_find(struct fake *k, const char *name, uint64_t size, uint64_t version)
{
    struct ajf_attr attr = fake_attr(size, version);
    uint64_t asked = fake_lookup(k, 1, name);
    struct ajf_fetch *f = fake_fetch(k, AJF_FETCH_STAT, NULL);
    CHECK_EQ(ajf_fetch_attr(f, &attr), 0);
    ajf_fetch_release(f);
    return fake_entry(k, asked);
}

/* Looks up a name that is not there, with one STAT. */
static inline void fake_miss(struct fake *k, uint64_t parent, const char *name)
{
    uint64_t asked = fake_lookup(k, parent, name);
    struct ajf_fetch *f = fake_fetch(k, AJF_FETCH_STAT, NULL);
    ajf_fetch_fail(f, ENOENT);
    ajf_fetch_release(f);
    CHECK_EQ(fake_entry(k, asked), 0);
}

/* And opens it, with one OPEN, under handle 100 + version. */
static inline uint64_t fake_find_and_open(struct fake *k, const char *name, uint64_t size, uint64_t version)
{
    uint64_t nodeid = fake_find(k, name, size, version), asked = fake_open(k, nodeid);
    fake_answer_open(k, 100 + version, version, size);
    fake_expect_error(k, asked, 0);
    return nodeid;
}

static inline void fake_expect_bytes(struct fake *k, uint64_t unique, uint64_t offset, size_t length, uint64_t version)
{
    struct fake_reply r = fake_reply(k, unique);
    CHECK_EQ(r.error, 0);
    CHECK_EQ(r.length, length);
    for (size_t i = 0; i < r.length; i++)
        if (r.bytes[i] != fake_byte(offset + i, version)) {
            CHECK_SAY("wrong byte at %llu", (unsigned long long)(offset + i));
            break;
        }
    free(r.bytes);
}

#endif
