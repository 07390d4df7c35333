/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core under load on real mounts, for the sanitizers: rounds of other options and other manners of the source,
 * while processes read, list and stat, check every byte, and are killed.
 *
 *     stress [--seconds=N] [--seed=N] [--rounds=NAME,...] [--plant=asan|tsan|ubsan] [--verbose]
 *
 * Exit codes: 0 all is well; 1 something is wrong (it was said what); 77 nothing can be mounted here.
 *
 * Three processes, forked before any thread exists: the supervisor (waits, and takes away what the others leave), the
 * core (mounts, fetchers), and the spawner of readers (stress_readers.h). Each round ends in one of three ways: the
 * readers end and the mount is unmounted; ajf_stop under full load; or the mount is taken away under them. After each,
 * every counter *_born equals its *_died, nothing is mounted, and no descriptor or thread is left.
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "stress_readers.h"
#include "stress_source.h"

#include "ajf.h"

#define MS UINT64_C(1000000)
#define MIB (UINT64_C(1) << 20)
#define NO_MOUNT 77
#define DEFAULT_SECONDS 18
#define STOP_LIMIT_MS 60000 /* ajf_stop waits for nobody but the kernel */

enum ending { END_DRAIN, END_STOP, END_UNMOUNT, ENDINGS };

struct round {
    const char *name;
    unsigned share; /* of the time */
    unsigned cycles; /* the mount is made and stopped so often in that time; 0 = once */
    unsigned n_mounts, n_readers, kills_per_s;
    enum ending ending;
    bool churn, faults;
    uint64_t timeout_ms; /* attributes, entries, negative entries */
    struct profile profile;
    struct ajf_options o; /* what is 0 here comes from `usual` */
    unsigned weight[TASKS];
};

#define DELAYS .delayed = 100, .delay_us = 2000, .poison = true

static const struct round rounds[] = {
    {.name = "cached",
     .share = 3,
     .n_readers = 8,
     .kills_per_s = 10,
     .timeout_ms = 1000,
     .profile = {DELAYS, .handles = true},
     .o = {.cache_enabled = true, .cache_bytes = 16 * MIB}},
    {.name = "passthrough",
     .share = 3,
     .n_readers = 8,
     .kills_per_s = 10,
     .timeout_ms = 1000,
     .ending = END_STOP,
     .profile = {DELAYS, .handles = true, .lends = true},
     .o = {.cache_enabled = true, .cache_bytes = 80 * MIB, .passthrough = true}},
    {.name = "window",
     .share = 3,
     .n_readers = 8,
     .kills_per_s = 10,
     .timeout_ms = 200,
     .profile = {DELAYS, .handles = true},
     .o = {.transient_bytes = 16 * MIB, .max_idle_threads = 1, .max_threads = 3}},
    {.name = "no-handles",
     .share = 2,
     .n_readers = 6,
     .kills_per_s = 5,
     .profile = {DELAYS},
     .o = {.cache_enabled = true, .cache_bytes = 32 * MIB, .passthrough = true}},
    {.name = "churn",
     .share = 4,
     .n_readers = 8,
     .kills_per_s = 10,
     .churn = true,
     .profile = {DELAYS, .handles = true, .lends = true},
     .o = {.cache_enabled = true, .cache_bytes = 32 * MIB, .passthrough = true}},
    {.name = "churn-kept",
     .share = 3,
     .n_readers = 8,
     .churn = true,
     .timeout_ms = 300,
     .ending = END_STOP,
     .profile = {DELAYS, .handles = true, .lends = true},
     .o = {.transient_bytes = 24 * MIB, .cache_mode = AJF_CACHE_KERNEL}},
    {.name = "faults",
     .share = 4,
     .n_readers = 10,
     .kills_per_s = 10,
     .faults = true,
     .timeout_ms = 20,
     .profile = {DELAYS, .handles = true, .lends = true, .failing = 30, .shorts = 20, .hanging = 8, .malformed = 5,
                 .unanswered = 10, .hang_ms = 400, .fickle = 200},
     .o = {.cache_enabled = true, .cache_bytes = 32 * MIB, .passthrough = true, .read_timeout_ms = 300,
           .metadata_timeout_ms = 300, .slow_ms = 100, .fetchers = 24, .metadata_fetchers = 8}},
    {.name = "faults-window",
     .share = 4,
     .n_readers = 10,
     .kills_per_s = 20,
     .churn = true,
     .faults = true,
     .ending = END_UNMOUNT,
     .profile = {DELAYS, .handles = true, .failing = 10, .shorts = 10, .hanging = 8, .unanswered = 5, .hang_ms = 350},
     .o = {.transient_bytes = 16 * MIB, .read_timeout_ms = 250, .metadata_timeout_ms = 250, .fetchers = 24,
           .metadata_fetchers = 8}},
    {.name = "frames",
     .share = 4,
     .n_readers = 12,
     .kills_per_s = 10,
     .churn = true,
     .faults = true,
     .timeout_ms = 200,
     .ending = END_STOP,
     .profile = {DELAYS, .handles = true, .failing = 5, .shorts = 5, .hanging = 4, .unanswered = 3, .hang_ms = 350},
     .o = {.transient_bytes = 64 * MIB, .read_timeout_ms = 250, .metadata_timeout_ms = 250, .fetchers = 24,
           .metadata_fetchers = 8},
     .weight = {[TASK_SEQUENTIAL] = 6, [TASK_RANDOM] = 2, [TASK_MMAP] = 3, [TASK_OPENS] = 1, [TASK_HOLD] = 2}},
    {.name = "direct",
     .share = 2,
     .n_readers = 6,
     .kills_per_s = 10,
     .profile = {DELAYS, .handles = true, .lends = true},
     .o = {.cache_enabled = true, .cache_bytes = 16 * MIB, .cache_mode = AJF_CACHE_DIRECT, .sync_read = true}},
    {.name = "few-fetchers",
     .share = 2,
     .n_readers = 6,
     .kills_per_s = 5,
     .timeout_ms = 50,
     .profile = {DELAYS, .handles = true, .lends = true},
     .o = {.cache_enabled = true, .cache_bytes = 16 * MIB, .passthrough = true, .clone_fd = true, .fetchers = 1,
           .metadata_fetchers = 1}},
    {.name = "in-order",
     .share = 3,
     .n_readers = 8,
     .kills_per_s = 10,
     .timeout_ms = 1000,
     .ending = END_STOP,
     .profile = {DELAYS, .handles = true, .lazy = true},
     .o = {.transient_bytes = 32 * MIB},
     .weight = {[TASK_ORDER] = 6, [TASK_LIST] = 1, [TASK_OPENS] = 1, [TASK_MMAP] = 1}},
    {.name = "in-order-churn",
     .share = 4,
     .n_readers = 8,
     .kills_per_s = 10,
     .churn = true,
     .faults = true,
     .timeout_ms = 300,
     .profile = {DELAYS, .handles = true, .lazy = true, .failing = 20, .shorts = 10, .hanging = 8, .unanswered = 5,
                 .hang_ms = 350},
     .o = {.cache_enabled = true, .cache_bytes = 16 * MIB, .read_timeout_ms = 250, .metadata_timeout_ms = 250,
           .fetchers = 24, .metadata_fetchers = 8},
     .weight = {[TASK_ORDER] = 6, [TASK_LIST] = 2, [TASK_STAT] = 1, [TASK_SEQUENTIAL] = 1}},
    {.name = "unasked",
     .share = 3,
     .n_readers = 8,
     .kills_per_s = 10,
     .timeout_ms = 1000,
     .profile = {DELAYS, .handles = true, .lends = true},
     .o = {.transient_bytes = 16 * MIB, .asks_no_open = true}},
    {.name = "unasked-churn",
     .share = 4,
     .n_readers = 8,
     .kills_per_s = 10,
     .churn = true,
     .faults = true,
     .timeout_ms = 300,
     .ending = END_STOP,
     .profile = {DELAYS, .handles = true, .lazy = true, .failing = 20, .shorts = 10, .hanging = 8, .unanswered = 5,
                 .hang_ms = 350},
     .o = {.cache_enabled = true, .cache_bytes = 16 * MIB, .asks_no_open = true, .read_timeout_ms = 250,
           .metadata_timeout_ms = 250, .fetchers = 24, .metadata_fetchers = 8}},
    {.name = "names",
     .share = 3,
     .n_mounts = 2,
     .n_readers = 8,
     .kills_per_s = 10,
     .churn = true,
     .timeout_ms = 5,
     .profile = {DELAYS, .handles = true},
     .o = {.cache_enabled = true, .cache_bytes = 64 * MIB},
     .weight = {[TASK_STAT] = 5, [TASK_LIST] = 4, [TASK_OPENS] = 2, [TASK_ODD] = 1}},
    {.name = "stops",
     .share = 6,
     .cycles = 12,
     .n_readers = 8,
     .churn = true,
     .faults = true,
     .ending = ENDINGS, /* in turn */
     .profile = {DELAYS, .handles = true, .lends = true, .hanging = 20, .hang_ms = 100},
     .o = {.cache_enabled = true, .cache_bytes = 16 * MIB, .passthrough = true, .fetchers = 16}},
    {.name = "io_uring",
     .share = 2,
     .n_readers = 6,
     .timeout_ms = 50,
     .profile = {DELAYS, .handles = true},
     .o = {.cache_enabled = true, .cache_bytes = 32 * MIB, .io_uring = true}},
};

#define ROUNDS (sizeof rounds / sizeof rounds[0])

static const unsigned usual_weight[TASKS] = {
    [TASK_SEQUENTIAL] = 3, [TASK_RANDOM] = 4, [TASK_MMAP] = 3, [TASK_STAT] = 2,
    [TASK_LIST] = 2,       [TASK_OPENS] = 2,  [TASK_HOLD] = 2, [TASK_ODD] = 1,  [TASK_ORDER] = 1,
};

struct settings {
    uint64_t seed;
    unsigned seconds;
    const char *only;
    int plant;
    bool verbose;
};

static struct settings settings = {.seed = 1, .seconds = DEFAULT_SECONDS};
static char directory[40];
static int spawner_sock;
static unsigned wrong;

static void say_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say_wrong(const char *fmt, ...)
{
    va_list ap;
    wrong++;
    fputs("WRONG: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ------------------------------------------------------------------------------------------------ one mount */

struct run {
    struct ajf *m;
    struct source source;
    pthread_t log_thread;
    _Atomic uint64_t log_lines;
    char mountpoint[64];
};

static void *drain_log(void *arg)
{
    struct run *r = arg;
    struct ajf_log_entry e;
    int err;
    while ((err = ajf_log_next(r->m, 1000, &e)) != -ESHUTDOWN) {
        if (err)
            continue;
        atomic_fetch_add(&r->log_lines, 1);
        if (settings.verbose)
            fprintf(stderr, "log %d: %s\n", (int)e.level, e.text);
    }
    return NULL;
}

static struct ajf_options options_of(const struct round *round)
{
    struct ajf_options o = round->o;
    uint64_t timeout_ns = round->timeout_ms * MS;
    o.attr_timeout_ns = o.entry_timeout_ns = o.negative_timeout_ns = timeout_ns;
    o.max_idle_threads = o.max_idle_threads ? o.max_idle_threads : 4;
    o.stack_depth = 2; /* the files that are lent may lie on an overlay */
    o.max_threads = o.max_threads ? o.max_threads : 12;
    o.busy_poll_us = 50;
    o.max_readahead = 1u << 20;
    o.max_write = 1u << 17;
    o.max_background = 256;
    o.congestion_threshold = 192;
    o.uid = o.gid = -1;
    o.umask = -1;
    o.cache_bytes = o.cache_bytes ? o.cache_bytes : 16 * MIB;
    o.transient_bytes = o.transient_bytes ? o.transient_bytes : 16 * MIB;
    o.listings_bytes = 64 * MIB;
    o.page_bytes = 1u << 20;
    o.prefetch_bytes = 8 * MIB;
    o.fetchers = o.fetchers ? o.fetchers : 12;
    o.metadata_fetchers = o.metadata_fetchers ? o.metadata_fetchers : 4;
    return o;
}

static uint64_t stat_of(const struct ajf *m, const char *name)
{
    for (size_t i = 0; i < ajf_stats_count(); i++)
        if (!strcmp(ajf_stats_name(i), name))
            return ajf_stats_value(m, i);
    say_wrong("no counter %s", name);
    return 0;
}

static bool run_start(struct run *r, const struct round *round, unsigned number, uint64_t seed)
{
    struct ajf_options o = options_of(round);
    snprintf(r->mountpoint, sizeof r->mountpoint, "%s/m%u", directory, number);
    mkdir(r->mountpoint, 0755);
    int err = ajf_new(&o, &r->m);
    if (err) {
        say_wrong("%s: ajf_new: %s", round->name, strerror(-err));
        return false;
    }
    if (round->profile.lazy)
        ajf_open_lazily(r->m, LAZY_BYTES, 5);
    err = ajf_mount(r->m, r->mountpoint, "fsname=ajf-stress");
    if (err) {
        fprintf(stderr, "stress: cannot mount on %s (%s): is this root, with /dev/fuse?\n", r->mountpoint,
                strerror(-err));
        ajf_free(r->m);
        exit(NO_MOUNT);
    }
    err = ajf_start(r->m, 10000);
    if (err)
        say_wrong("%s: ajf_start: %s", round->name, strerror(-err));
    atomic_store(&r->log_lines, 0);
    pthread_create(&r->log_thread, NULL, drain_log, r);
    source_start(&r->source, r->m, &round->profile, shared->version, seed, o.fetchers + o.metadata_fetchers,
                 settings.plant);
    return true;
}

static void check_pairs(const struct round *round, const struct ajf *m)
{
    for (size_t i = 0; i < ajf_stats_count(); i++) {
        const char *name = ajf_stats_name(i), *end = strstr(name, "_born");
        char other[80];
        if (!end)
            continue;
        snprintf(other, sizeof other, "%.*s_died", (int)(end - name), name);
        uint64_t born = ajf_stats_value(m, i), died = stat_of(m, other);
        if (born != died)
            say_wrong("%s: %s is %llu, but %s %llu", round->name, name, (unsigned long long)born, other,
                      (unsigned long long)died);
    }
    if (stat_of(m, "cache_used_bytes") || stat_of(m, "threads"))
        say_wrong("%s: %llu bytes of cache and %llu threads are left", round->name,
                  (unsigned long long)stat_of(m, "cache_used_bytes"), (unsigned long long)stat_of(m, "threads"));
}

/* Nobody reads any more: the core lets go of everything that is open. */
static void check_quiet(const struct round *round, struct run *r)
{
    uint64_t until = now_ms() + 20000; /* what READs opened is held for a while */
    uint64_t parked = 0, handles = 0, backings = 0;
    do {
        pause_us(2000);
        parked = stat_of(r->m, "requests_born") - stat_of(r->m, "requests_died");
        backings = stat_of(r->m, "backing_ids_born") - stat_of(r->m, "backing_ids_died");
        handles = source_open_handles(&r->source);
    } while ((parked || handles || backings) && now_ms() < until);
    if (parked || handles || backings)
        say_wrong("%s: with nobody there, %llu requests are parked, %llu handles and %llu backing ids open",
                  round->name, (unsigned long long)parked, (unsigned long long)handles,
                  (unsigned long long)backings);
}

/* Where every thread of ours is; for whoever has to find out why something hangs. */
static void show_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    const struct dirent *d;
    while (dir && (d = readdir(dir))) {
        char file[300], name[64], syscall[200], stack[400];
        if (d->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "task/%s/comm", d->d_name);
        show_proc(getpid(), file, name, sizeof name);
        snprintf(file, sizeof file, "task/%s/syscall", d->d_name);
        show_proc(getpid(), file, syscall, sizeof syscall);
        snprintf(file, sizeof file, "task/%s/stack", d->d_name);
        show_proc(getpid(), file, stack, sizeof stack);
        fprintf(stderr, "  thread %s %s: syscall %s\n    %s\n", d->d_name, name, syscall, stack);
    }
    if (dir)
        closedir(dir);
}

static void run_stop(struct run *r, const struct round *round, enum ending ending)
{
    if (ending == END_DRAIN) {
        check_quiet(round, r);
        int err = ajf_unmount(r->mountpoint, false);
        if (err)
            say_wrong("%s: unmounting with nobody there: %s", round->name, strerror(-err));
        else if ((err = ajf_wait_end(r->m, 10000))) {
            say_wrong("%s: the session did not end with the mount: %s", round->name, strerror(-err));
            show_threads();
        }
    } else if (ending == END_UNMOUNT) {
        int err = ajf_unmount(r->mountpoint, true);
        if (err)
            say_wrong("%s: lazy unmount: %s", round->name, strerror(-err));
    }
    uint64_t start = now_ms();
    ajf_stop(r->m, STOP_LIMIT_MS);
    ajf_stop(r->m, STOP_LIMIT_MS); /* idempotent */
    uint64_t took = now_ms() - start;
    if (took > STOP_LIMIT_MS)
        say_wrong("%s: ajf_stop took %llu ms", round->name, (unsigned long long)took);
}

static void run_end(struct run *r, const struct round *round)
{
    source_join(&r->source);
    pthread_join(r->log_thread, NULL);
    check_pairs(round, r->m);
    if (atomic_load(&r->source.broken))
        say_wrong("%s: the core broke its contract with the source", round->name);
    if (settings.verbose)
        for (size_t i = 0; i < ajf_stats_count(); i++)
            if (ajf_stats_value(r->m, i))
                fprintf(stderr, "  %s %llu\n", ajf_stats_name(i), (unsigned long long)ajf_stats_value(r->m, i));
    ajf_free(r->m);
    if (rmdir(r->mountpoint))
        say_wrong("%s: %s stays: %s", round->name, r->mountpoint, strerror(errno));
}

/* ---------------------------------------------------------------------------------------------------- a round */

static void tell_spawner(char word)
{
    if (write(spawner_sock, &word, 1) != 1)
        say_wrong("the spawner is gone");
}

static void await_spawner(void)
{
    char word;
    if (read(spawner_sock, &word, 1) != 1)
        say_wrong("the spawner is gone");
}

/* Changes versions, one file after another, until the round's time is up. */
static void pass_time(const struct round *round, uint64_t until_ms, uint64_t *random)
{
    while (now_ms() < until_ms) {
        pause_us(round->churn ? 500 : 10000);
        if (round->churn)
            atomic_fetch_add(&shared->version[check_below(random, FILES)], 1);
    }
}

static void tell_readers(const struct round *round, const struct run *runs, unsigned n_mounts, uint64_t seed)
{
    shared->n_mounts = n_mounts;
    for (unsigned i = 0; i < n_mounts; i++)
        memcpy(shared->mount[i], runs[i].mountpoint, sizeof runs[i].mountpoint);
    shared->n_readers = round->n_readers;
    shared->kills_per_s = round->kills_per_s;
    shared->faults = round->faults;
    shared->churn = round->churn;
    shared->exact = !round->timeout_ms;
    shared->seed = seed;
    unsigned sum = 0;
    for (int i = 0; i < TASKS; i++)
        sum += shared->weight[i] = round->weight[i];
    if (!sum)
        memcpy(shared->weight, usual_weight, sizeof usual_weight);
    atomic_store(&shared->stop, false);
    atomic_store(&shared->lenient, false);
    tell_spawner('S');
}

static void one_cycle(const struct round *round, uint64_t ms, enum ending ending, uint64_t seed)
{
    static struct run runs[MAX_MOUNTS];
    unsigned n = round->n_mounts ? round->n_mounts : 1;
    uint64_t random = seed;
    for (unsigned i = 0; i < n; i++)
        if (!run_start(&runs[i], round, i, seed + i))
            return;
    if (round->o.io_uring && !(ajf_features_granted(runs[0].m) & AJF_FEATURE_IO_URING))
        printf("  (io_uring is not granted here: read through /dev/fuse)\n");
    tell_readers(round, runs, n, seed);
    pass_time(round, now_ms() + ms, &random);
    if (ending == END_DRAIN) {
        atomic_store(&shared->stop, true);
        tell_spawner('E');
        await_spawner();
    } else {
        atomic_store(&shared->lenient, true);
    }
    for (unsigned i = 0; i < n; i++)
        run_stop(&runs[i], round, ending);
    if (ending != END_DRAIN) {
        atomic_store(&shared->stop, true);
        tell_spawner('E');
        await_spawner();
    }
    for (unsigned i = 0; i < n; i++)
        run_end(&runs[i], round);
}

static unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static void check_leftovers(const struct round *round, unsigned fds, unsigned threads)
{
    char line[600];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (strstr(line, directory))
            say_wrong("%s: still mounted: %s", round->name, line);
    if (file)
        fclose(file);
    unsigned now = count_entries("/proc/self/fd");
    if (now > fds)
        say_wrong("%s: %u descriptors before, %u after", round->name, fds, now);
    uint64_t until = now_ms() + 2000; /* a joined thread may still be seen for a moment */
    while ((now = count_entries("/proc/self/task")) > threads && now_ms() < until)
        pause_us(1000);
    if (now > threads)
        say_wrong("%s: %u threads before, %u after", round->name, threads, now);
}

static void show_failures(const struct round *round)
{
    uint64_t n = atomic_exchange(&shared->failures, 0);
    for (uint64_t i = 0; i < n && i < 8; i++)
        say_wrong("%s: %s", round->name, shared->failure[i]);
    if (n > 8)
        say_wrong("%s: and %llu more", round->name, (unsigned long long)n - 8);
}

static void one_round(const struct round *round, uint64_t ms, uint64_t seed)
{
    uint64_t bytes = atomic_load(&shared->bytes), calls = atomic_load(&shared->calls), start = now_ms();
    uint64_t kills = atomic_load(&shared->kills), tolerated = atomic_load(&shared->tolerated);
    unsigned fds = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    unsigned cycles = round->cycles ? round->cycles : 1, wrong_before = wrong;
    for (unsigned i = 0; i < cycles && wrong == wrong_before; i++)
        one_cycle(round, ms / cycles, round->ending == ENDINGS ? (enum ending)(i % ENDINGS) : round->ending, seed + i);
    show_failures(round);
    check_leftovers(round, fds, threads);
    printf("%-14s %6.1f s %9llu calls %7.1f MiB checked %4llu kills %5llu errors allowed\n", round->name,
           (double)(now_ms() - start) / 1000, (unsigned long long)(atomic_load(&shared->calls) - calls),
           (double)(atomic_load(&shared->bytes) - bytes) / (double)MIB,
           (unsigned long long)(atomic_load(&shared->kills) - kills),
           (unsigned long long)(atomic_load(&shared->tolerated) - tolerated));
    fflush(stdout);
}

static bool chosen(const struct round *round)
{
    size_t len = strlen(round->name);
    for (const char *at = settings.only; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, round->name, len) && (!at[len] || at[len] == ','))
            return true;
    }
    return !settings.only;
}

static void *nothing(void *arg)
{
    return arg;
}

static int core_main(void)
{
    pthread_t first; /* a sanitizer starts threads of its own with it: they shall be there when threads are counted */
    unsigned shares = 0;
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!pthread_create(&first, NULL, nothing, NULL))
        pthread_join(first, NULL);
    for (size_t i = 0; i < ROUNDS; i++)
        shares += chosen(&rounds[i]) ? rounds[i].share : 0;
    for (size_t i = 0; i < ROUNDS; i++)
        if (chosen(&rounds[i]))
            one_round(&rounds[i], settings.seconds * 1000u * rounds[i].share / shares, settings.seed * 1000 + i * 50);
    printf("%llu calls, %.1f MiB checked, %llu readers, %llu killed (slowest death %llu ms), %llu errors allowed "
           "(%llu stale): %s\n",
           (unsigned long long)atomic_load(&shared->calls), (double)atomic_load(&shared->bytes) / (double)MIB,
           (unsigned long long)atomic_load(&shared->forks), (unsigned long long)atomic_load(&shared->kills),
           (unsigned long long)atomic_load(&shared->slowest_death_ms),
           (unsigned long long)atomic_load(&shared->tolerated), (unsigned long long)atomic_load(&shared->stale),
           wrong ? "WRONG" : "well");
    return wrong ? 1 : 0;
}

/* ------------------------------------------------------------------------------------------------- supervisor */

static int supervise(pid_t core, unsigned limit_s)
{
    uint64_t until = now_ms() + limit_s * 1000u;
    int status;
    while (waitpid(core, &status, WNOHANG) != core) {
        if (now_ms() > until) {
            fprintf(stderr, "stress: the core has not ended after %u s\n", limit_s);
            kill(core, SIGABRT);
            kill(core, SIGKILL);
            waitpid(core, &status, 0);
            return 1;
        }
        pause_us(5000);
    }
    if (WIFSIGNALED(status))
        fprintf(stderr, "stress: the core was ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = strchr(a, '=');
        value = value ? value + 1 : "";
        if (!strncmp(a, "--seconds=", 10))
            settings.seconds = (unsigned)strtoul(value, NULL, 10);
        else if (!strncmp(a, "--seed=", 7))
            settings.seed = strtoull(value, NULL, 10);
        else if (!strncmp(a, "--rounds=", 9))
            settings.only = value;
        else if (!strcmp(a, "--verbose"))
            settings.verbose = true;
        else if (!strcmp(a, "--plant=asan") || !strcmp(a, "--plant=tsan") || !strcmp(a, "--plant=ubsan"))
            settings.plant = value[0];
        else {
            fprintf(stderr, "stress: unknown argument %s\n", a);
            exit(2);
        }
    }
    if (settings.plant) {
        settings.seconds = 1;
        settings.only = rounds[0].name;
    }
}

int main(int argc, char **argv)
{
    int socks[2];
    parse(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Mounts that nobody else sees: none outlives this run, and no other namespace takes a copy that keeps it alive. */
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        fprintf(stderr, "stress: no mount namespace of its own (%s): is this root?\n", strerror(errno));
        return NO_MOUNT;
    }
    snprintf(directory, sizeof directory, "/tmp/ajf-stress-%d", (int)getpid());
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mkdir(directory, 0700) || shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks)) {
        perror("stress");
        return 1;
    }
    printf("stress: seed %llu, %u s\n", (unsigned long long)settings.seed, settings.seconds);
    tree_init();
    for (unsigned i = 0; i < FILES; i++)
        atomic_store(&shared->version[i], 1);
    fflush(NULL);
    pid_t spawner = fork();
    if (spawner == 0) {
        close(socks[0]);
        spawner_main(socks[1]);
    }
    pid_t core = fork();
    if (core == 0) {
        close(socks[1]);
        spawner_sock = socks[0];
        return core_main();
    }
    close(socks[0]);
    close(socks[1]);
    int code = supervise(core, settings.seconds * 5 + 120);
    kill(spawner, SIGKILL);
    waitpid(spawner, NULL, 0);
    for (unsigned i = 0; i < MAX_MOUNTS; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/m%u", directory, i);
        umount2(path, MNT_DETACH); /* after a crash */
        rmdir(path);
    }
    rmdir(directory);
    return code;
}
