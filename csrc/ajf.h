/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ajf.h - the facade: everything that the binding (_core.pyx) and the C tests may use.
 *
 * One `struct ajf` is one mount; a process may hold several. The kernel's requests are served by C threads
 * (pool.h). Every request that needs the source becomes a *fetch*; the embedding program pulls fetches with
 * ajf_fetch_next() from as many threads as it likes, does the work, and ends each of them exactly once. C never
 * calls back into the embedding program.
 *
 * Life:    ajf_new -> ajf_mount -> ajf_start -> ... -> ajf_stop -> ajf_free
 * Threads: ajf_fetch_*, ajf_stats_*, ajf_times_*, ajf_log_next, ajf_wait_* may be called from any thread between
 *          ajf_new and ajf_free, and block only where they say so. Of answers to a fetch that come at once the first
 *          counts; all have returned before ajf_fetch_release is called. The life-cycle calls belong to one thread.
 * Errors:  0 or -errno; `ret_` parameters are left alone on failure.
 */
#ifndef AJF_H
#define AJF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/stats_times.h"
#include "base/types.h"
#include "source/fetch.h"

struct ajf;

/* ------------------------------------------------------------------------------------------------ life cycle */

/* Allocates tables and arenas; nothing is mounted and no thread runs yet. Copies *options. */
int ajf_new(const struct ajf_options *options, struct ajf **ret_m);

/*
 * For a source whose versions never change in place: files of up to `bytes` are opened without asking it. Their READs
 * come with handle 0, no OPEN before and no CLOSE after. The first open of one is answered when its first bytes are
 * there: a READ that fails with ESTALE or ENOENT before makes the kernel look the name up again at once, and a later
 * one is EIO and makes it do so at the next open. Of those that are fetched before anybody asks for them, at most
 * `ahead` are fetched at once: as many as the source can wait for together. Before ajf_mount.
 */
void ajf_open_lazily(struct ajf *m, uint64_t bytes, uint32_t ahead);

/*
 * With default_permissions the kernel checks who may open a file by attributes that may be as old as attr_timeout. For
 * a source that tells them with each OPEN (ajf_fetch_permissions) and that a STAT costs next to nothing: an open is
 * granted only if mode and owner are what the kernel was shown, else ESTALE makes it look the name up, and check,
 * again. One that need not reach the source has it asked if it is by another user than root and the one for whom the
 * file was opened. Before ajf_mount.
 */
void ajf_confirm_opens(struct ajf *m);

/* For a source whose handles have a descriptor of this process each. Before ajf_mount. */
void ajf_open_files(struct ajf *m);

/* Takes the root's attributes from the source, so that its number is known before the kernel asks. Before ajf_mount. */
void ajf_set_root(struct ajf *m, const struct ajf_attr *attr);

/*
 * For a source whose files may be appended to: when attributes of a file are asked for that is open, STAT tells its
 * version, also when its name leads to another one by now. Before ajf_mount.
 */
void ajf_follow_growth(struct ajf *m);

/*
 * Mounts on an absolute path. `mount_options` is the comma list for mount(2) and libfuse (ro, allow_other, fsname=,
 * max_read= ...). The kernel queues requests from here on; nothing answers before ajf_start.
 */
int ajf_mount(struct ajf *m, const char *mountpoint, const char *mount_options);

/* Starts the worker pool and the timer thread, and waits (timeout_ms) for the kernel's INIT. -ETIMEDOUT, -EPROTO. */
int ajf_start(struct ajf *m, int timeout_ms);

/*
 * For a source that is a directory of this machine: most of what it is asked is answered without a fetch being handed
 * out (direct.h). Its descriptor is copied. After ajf_mount, when the mount's own device is known, which is hidden in
 * it; once. 0 or -errno.
 */
int ajf_serve_directory(struct ajf *m, const struct ajf_directory *directory);

/* Blocks until the session ended (unmounted, or ajf_stop): 0, or -ETIMEDOUT. timeout_ms < 0 waits for ever. */
int ajf_wait_end(struct ajf *m, int timeout_ms);

/*
 * Ends the session: every request in flight is answered with an errno, fetchers are woken with -ESHUTDOWN, workers
 * are joined. Unmounts lazily if still mounted. Idempotent. Fetches still held by the embedding program stay valid
 * (their buffer is writable) until they are ended; ajf_free waits for none of them, so end them first.
 *
 * -ETIMEDOUT: after timeout_ms (negative: for ever) a worker is still in a call that does not come back, as of a lent
 * file of a network that is silent; or such a file is still being closed, for which there is a second at least. The
 * mount has ended all the same; that thread, and what it may use, is left to the end of the process.
 */
int ajf_stop(struct ajf *m, int timeout_ms);

#define AJF_STOP_MS 10000 /* of an ajf_free without an ajf_stop */

/* Takes NULL. Every fetch must have been ended. Frees nothing when ajf_stop said -ETIMEDOUT. */
void ajf_free(struct ajf *m);

/*
 * umount2(2), or fusermount3 where that is not permitted. Lazy detaches a busy mount. 0, -EBUSY, -EINVAL, ...;
 * -ENOENT: fusermount3 needs /etc/mtab, and there is none.
 */
int ajf_unmount(const char *mountpoint, bool lazy);

/* --------------------------------------------------------------------------------------------------- fetches */

/*
 * Takes the most urgent fetch: 0, -ETIMEDOUT, or -ESHUTDOWN (the caller should end its thread). `*ret_missing` is how
 * many more threads would have to wait in here for each fetch that may begin to find one, and for one to be ready. It
 * is told with -ETIMEDOUT, too: a caller that would be missed must not end, the others may hang in the source.
 */
int ajf_fetch_next(struct ajf *m, int timeout_ms, struct ajf_fetch **ret_fetch, uint32_t *ret_missing);

/*
 * Forgets what is known of `path` ("/" or "/a/b") and everything below it: the next look at any of them asks the
 * source, also when the kernel's timeouts have not passed. Open files, working directories and what is mounted below
 * stay what they are. Walks all records; the kernel is told on a thread of its own.
 */
void ajf_invalidate(struct ajf *m, const char *path, size_t len);

/* Drops what the client cache fetched more than `age_ns` ago, but for what is in use. */
void ajf_expire(struct ajf *m, uint64_t age_ns);

/*
 * An answer to a LIST of `path` that was not asked for, which is `age_ns` old: look-ups and listings are answered from
 * it as long as they would be from any other. 0, -ENOENT (the kernel knows no such directory), -ENOMEM, -EINVAL
 * (malformed).
 */
int ajf_offer_list(struct ajf *m, const char *path, size_t len, const struct ajf_entry *entries, size_t n,
                   const char *names, size_t names_len, uint64_t age_ns);

/* --------------------------------------------------------------------------------------- looking into a mount */

/* Counters, in the order of stats.def. NULL and 0: there is no such row. The help of a gauge ends with "(gauge)". */
size_t ajf_stats_count(void);
const char *ajf_stats_name(size_t i);
const char *ajf_stats_help(size_t i);
uint64_t ajf_stats_value(const struct ajf *m, size_t i);

/* Durations, in the order of stats.def, since the mount was made: one read adds up what all threads have noted. */
size_t ajf_times_count(void);
const char *ajf_times_name(size_t i);
const char *ajf_times_help(size_t i);
void ajf_times_read(const struct ajf *m, size_t i, struct ajf_times_sum *ret_sum);
/* The name of entry `i` of `failed` in such a sum: "ENOENT", or "other" for the last one. */
const char *ajf_errno_name(size_t i);

/* A request of the kernel that has no answer yet. The path is the caller's, to be freed; NULL: it is not known. */
struct ajf_waiting {
    const char *op;  /* such as "Read" */
    char *path;      /* of a Lookup that of the directory */
    uint64_t offset; /* bytes */
    size_t size;
    uint64_t waited_ns;
    int32_t tid; /* who asked; 0: nobody of this PID namespace, or the kernel by itself */
    uint32_t uid;
};
/* A fetch that no fetcher has taken. The path is the caller's, as above. */
struct ajf_untaken {
    char *path;
    struct ajf_fetch_info info; /* but for its pointers */
    uint64_t waited_ns;
    bool starved; /* it waits for room in memory */
};
/* At most `most` of them; return how many they stored. The oldest come first; of fetches, those that are taken next. */
size_t ajf_waiting(struct ajf *m, struct ajf_waiting *ret_waiting, size_t most);
size_t ajf_untaken(struct ajf *m, struct ajf_untaken *ret_untaken, size_t most);

/* Next message of the mount's log ring: 0, -ETIMEDOUT, or -ESHUTDOWN once stopped and empty. */
int ajf_log_next(struct ajf *m, int timeout_ms, struct ajf_log_entry *ret_entry);

/* Features. `compiled` needs no mount; `granted` is what the kernel agreed to in INIT (0 before ajf_start). */
unsigned ajf_features_compiled(void);
unsigned ajf_features_granted(const struct ajf *m);
const char *ajf_libfuse_version(void);
/* bdi device number of the mount (major, minor) from mountinfo, never by touching the mount. 0 or -ENOENT. */
int ajf_device(const struct ajf *m, unsigned *ret_major, unsigned *ret_minor);

#endif
