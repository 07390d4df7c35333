/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stress_readers.h - processes that use the mount and check every byte, and the one that forks and kills them.
 *
 * The spawner is forked before any thread exists; it forks readers while a round lasts, kills some of them at random
 * moments, measures how long a killed one takes to die, and reports who would not end. Everything that is told or
 * counted lies in shared memory, in atomics; the round's fields are constant while readers run.
 */
#ifndef STRESS_READERS_H
#define STRESS_READERS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress_tree.h"

#define MAX_READERS 24
#define MAX_MOUNTS 2
#define END_MS 60000 /* a reader that was told to end and has not after so long hangs */
#define DIE_MS 60000 /* a killed one must be gone after so long */

enum task {
    TASK_SEQUENTIAL,
    TASK_RANDOM,
    TASK_MMAP,
    TASK_STAT,
    TASK_LIST,
    TASK_OPENS,
    TASK_ORDER,
    TASK_HOLD,
    TASK_ODD,
    TASKS
};

struct shared {
    _Atomic uint32_t version[FILES];
    /* the round */
    char mount[MAX_MOUNTS][64];
    unsigned n_mounts, n_readers;
    unsigned kills_per_s;
    unsigned weight[TASKS];
    bool faults;   /* the source fails: EIO and the like are answers */
    bool churn;    /* versions change */
    bool exact;    /* timeouts are 0: what was true before the call is seen by it */
    uint64_t seed;
    _Atomic bool stop;    /* end at the next operation */
    _Atomic bool lenient; /* the mount ends under the readers: any error will do */
    /* results */
    _Atomic uint64_t tasks[TASKS], calls, bytes, tolerated, stale, kills, failures, slowest_death_ms, forks;
    char failure[8][300];
};

static struct shared *shared;

static void reader_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void reader_fail(const char *fmt, ...)
{
    uint64_t n = atomic_fetch_add(&shared->failures, 1);
    if (n >= 8)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(shared->failure[n], sizeof shared->failure[n], fmt, ap);
    va_end(ap);
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------------------------------------- one reader */

struct reader {
    const char *mount;
    uint64_t random;
    uint8_t *buffer;
};

#define BUFFER_BYTES (1u << 20)

static bool ending(void)
{
    return atomic_load(&shared->stop);
}

/* Is this errno an answer that the round allows? Says so when it is not. */
static void judge(const char *what, const char *path, int err)
{
    atomic_fetch_add(&shared->tolerated, 1);
    if (atomic_load(&shared->lenient)) {
        struct timespec ts = {0, 1000000}; /* there is nothing to be had any more */
        nanosleep(&ts, NULL);
        return;
    }
    if (err == ESTALE && shared->churn) {
        atomic_fetch_add(&shared->stale, 1);
        return;
    }
    if (shared->faults && (err == EIO || err == EACCES || err == ETIMEDOUT || err == ESTALE))
        return;
    reader_fail("%s of %s: %s", what, path, strerror(err));
}

struct opened {
    int fd;
    unsigned id;
    uint64_t version, size;
    char path[100];
};

/* As judge, for bytes of an open file: those of another version than the source has by now may be gone. */
static void judge_bytes(const char *what, const struct opened *o, int err)
{
    bool replaced = o->id < FILES && atomic_load(&shared->version[o->id]) != o->version; /* others never are */
    judge(what, o->path, err == EIO && replaced ? ESTALE : err);
}

static uint64_t pick_file(struct reader *r)
{
    /* Some files are asked for by many at once. */
    return check_below(&r->random, 3) ? check_below(&r->random, FILES) : check_below(&r->random, 12) * 10 % FILES;
}

static void check_size(const struct opened *o, const struct stat *st, const char *what)
{
    if (!file_exists(o->id, o->version) || (uint64_t)st->st_size != file_size(o->id, o->version))
        reader_fail("%s of %s: size %lld, but version %llu has %llu", what, o->path, (long long)st->st_size,
                    (unsigned long long)o->version, (unsigned long long)file_size(o->id, o->version));
    if (st->st_ino != INO_BASE + o->id)
        reader_fail("%s of %s: inode number %llu", what, o->path, (unsigned long long)st->st_ino);
}

/* What version may be seen by a call that began when the version was `before`? */
static void check_version(const struct opened *o, uint64_t before, const char *what)
{
    uint64_t after = atomic_load(&shared->version[o->id]);
    if (o->version > after || (shared->exact && o->version < before))
        reader_fail("%s of %s: version %llu, not in [%llu, %llu]", what, o->path, (unsigned long long)o->version,
                    (unsigned long long)before, (unsigned long long)after);
}

static void check_missing(const struct opened *o, uint64_t before, const char *what)
{
    uint64_t after = atomic_load(&shared->version[o->id]);
    if (file_flickers(o->id) && (!shared->exact || before != after || !file_exists(o->id, before)))
        return;
    judge(what, o->path, ENOENT);
}

static bool open_file_of(struct reader *r, struct opened *o, unsigned id)
{
    char path[64];
    struct stat st;
    o->id = id;
    file_path(o->id, path, sizeof path);
    snprintf(o->path, sizeof o->path, "%s%s", r->mount, path);
    uint64_t before = atomic_load(&shared->version[o->id]);
    atomic_fetch_add(&shared->calls, 2);
    o->fd = open(o->path, O_RDONLY | O_CLOEXEC);
    if (o->fd < 0) {
        if (errno == ENOENT)
            check_missing(o, before, "open");
        else
            judge("open", o->path, errno);
        return false;
    }
    if (fstat(o->fd, &st) < 0) {
        judge("fstat", o->path, errno);
        close(o->fd);
        return false;
    }
    o->version = (uint64_t)st.st_mtim.tv_sec;
    o->size = (uint64_t)st.st_size;
    check_version(o, before, "open");
    check_size(o, &st, "fstat");
    return true;
}

static bool open_file(struct reader *r, struct opened *o)
{
    return open_file_of(r, o, (unsigned)pick_file(r));
}

static bool check_bytes(const struct opened *o, const uint8_t *got, uint64_t offset, size_t length, const char *what)
{
    int64_t wrong = file_compare(got, o->id, o->version, offset, length);
    if (wrong < 0) {
        atomic_fetch_add(&shared->bytes, length);
        return true;
    }
    const uint8_t *at = got + ((uint64_t)wrong - offset);
    reader_fail("WRONG BYTES: %s of %s (%llu bytes, version %llu) at %lld of [%llu, +%zu): 0x%02x", what, o->path,
                (unsigned long long)o->size, (unsigned long long)o->version, (long long)wrong,
                (unsigned long long)offset, length, *at);
    return false;
}

/* pread(2) of a range, to its end; false ends the task. */
static bool read_range(struct reader *r, const struct opened *o, uint64_t offset, size_t length)
{
    size_t done = 0, due = offset >= o->size ? 0 : (size_t)(o->size - offset < length ? o->size - offset : length);
    while (done < length) {
        atomic_fetch_add(&shared->calls, 1);
        ssize_t n = pread(o->fd, r->buffer + done, length - done, (off_t)(offset + done));
        if (n < 0) {
            judge_bytes("read", o, errno);
            return false;
        }
        if (!n)
            break;
        done += (size_t)n;
    }
    /* An error in the middle of read-ahead shows as a short read. */
    if (done != due && !shared->faults && !atomic_load(&shared->lenient))
        reader_fail("read of %s at %llu: %zu bytes instead of %zu", o->path, (unsigned long long)offset, done, due);
    return check_bytes(o, r->buffer, offset, done < due ? done : due, "read") && done == due;
}

static void do_sequential(struct reader *r)
{
    static const size_t steps[] = {4096, 65536, 131072, 1u << 20, 5000};
    struct opened o;
    if (!open_file(r, &o))
        return;
    size_t step = steps[check_below(&r->random, 5)];
    uint64_t limit = step <= 5000 ? 1u << 20 : o.size; /* small steps over long files cost too much time */
    for (uint64_t at = 0; at < o.size && at < limit && !ending(); at += step)
        if (!read_range(r, &o, at, step))
            break;
    close(o.fd);
}

static void do_random(struct reader *r)
{
    struct opened o;
    if (!open_file(r, &o))
        return;
    for (unsigned i = 0; i < 12 && !ending(); i++) {
        uint64_t at = check_below(&r->random, o.size + 1);
        if (!read_range(r, &o, at, 1 + check_below(&r->random, i % 4 ? 8192 : 262144)))
            break;
    }
    close(o.fd);
}

static sigjmp_buf on_bus;

static void bus(int sig)
{
    (void)sig;
    siglongjmp(on_bus, 1);
}

static void do_mmap(struct reader *r)
{
    struct opened o;
    if (!open_file(r, &o))
        return;
    uint8_t *map = o.size ? mmap(NULL, o.size, PROT_READ, MAP_SHARED, o.fd, 0) : MAP_FAILED;
    close(o.fd); /* the mapping holds it */
    if (map == MAP_FAILED) {
        if (o.size)
            judge("mmap", o.path, errno);
        return;
    }
    if (sigsetjmp(on_bus, 1)) {
        judge_bytes("fault in a mapping", &o, EIO);
        munmap(map, o.size);
        return;
    }
    for (unsigned i = 0; i < 8 && !ending(); i++) {
        uint64_t at = check_below(&r->random, o.size) / GRANULE * GRANULE;
        uint64_t n = i % 4 ? GRANULE : 1u << 20;
        n = n < o.size - at ? n : o.size - at;
        memcpy(r->buffer, map + at, n); /* not compared in place: a fault inside memcmp of the sanitizers is theirs */
        if (!check_bytes(&o, r->buffer, at, n, "mapping"))
            break;
    }
    munmap(map, o.size);
}

static void stat_one(struct reader *r)
{
    struct opened o = {.id = (unsigned)pick_file(r)};
    char path[64];
    struct stat st;
    file_path(o.id, path, sizeof path);
    snprintf(o.path, sizeof o.path, "%s%s", r->mount, path);
    uint64_t before = atomic_load(&shared->version[o.id]);
    atomic_fetch_add(&shared->calls, 1);
    if (lstat(o.path, &st) < 0) {
        if (errno == ENOENT)
            check_missing(&o, before, "stat");
        else
            judge("stat", o.path, errno);
        return;
    }
    o.version = (uint64_t)st.st_mtim.tv_sec;
    check_version(&o, before, "stat");
    check_size(&o, &st, "stat");
}

static void do_stat(struct reader *r)
{
    char path[400], name[300];
    struct stat st;
    for (unsigned i = 0; i < 20 && !ending(); i++)
        stat_one(r);
    for (unsigned i = 0; i < 4 && !ending(); i++) {
        snprintf(path, sizeof path, "%s/d%u/missing%u", r->mount, i % 3, (unsigned)check_below(&r->random, 2000));
        atomic_fetch_add(&shared->calls, 1);
        if (!stat(path, &st))
            reader_fail("%s exists", path);
        else if (errno != ENOENT)
            judge("stat", path, errno);
        unsigned n = (unsigned)check_below(&r->random, HUGE_NAMES);
        huge_name(n, name);
        snprintf(path, sizeof path, "%s/huge/%s", r->mount, name);
        if (stat(path, &st))
            judge("stat", path, errno);
        else if ((uint64_t)st.st_size != huge_size(n) || st.st_ino != INO_HUGE + n)
            reader_fail("%s: size %lld, inode %llu", path, (long long)st.st_size, (unsigned long long)st.st_ino);
    }
}

/* Every name once, and no other; the flickering ones may be there or not. */
static void check_listing(DIR *dir, const char *path, unsigned kind, bool deep)
{
    static uint8_t seen[HUGE_NAMES];
    unsigned n_names = kind == 9 ? HUGE_NAMES : FILES_PER_DIR, dots = 0, others = 0;
    const struct dirent *d;
    struct stat st;
    memset(seen, 0, sizeof seen);
    while (errno = 0, (d = readdir(dir))) {
        const char *rest;
        unsigned n;
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")) {
            dots++;
        } else if (kind == 9 && d->d_name[0] == 'n' && (n = (unsigned)strtoul(d->d_name + 1, NULL, 10)) < HUGE_NAMES) {
            char name[300];
            huge_name(n, name);
            if (seen[n]++ || strcmp(name, d->d_name) || d->d_type != DT_REG || d->d_ino != INO_HUGE + n)
                reader_fail("%s: the entry %s is wrong or there twice", path, d->d_name);
        } else if (kind != 9 && number_after(d->d_name, "f", FILES, &n, &rest) && n / FILES_PER_DIR == kind) {
            if (seen[n % FILES_PER_DIR]++ || *rest || d->d_type != DT_REG)
                reader_fail("%s: the entry %s is wrong or there twice", path, d->d_name);
            if (deep && fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) && errno != ENOENT)
                judge("fstatat", path, errno);
        } else if (kind == 2 && !strcmp(d->d_name, "sub")) {
            others++;
        } else {
            reader_fail("%s: unknown entry %s", path, d->d_name);
        }
    }
    if (errno) {
        judge("readdir", path, errno);
        return;
    }
    if (dots != 2 || others != (kind == 2))
        reader_fail("%s: %u dots, %u directories", path, dots, others);
    for (unsigned i = 0; i < n_names; i++)
        if (!seen[i] && (kind == 9 || !file_flickers(kind * FILES_PER_DIR + i)))
            reader_fail("%s: entry %u is missing", path, i);
}

static void do_list(struct reader *r)
{
    char path[100];
    unsigned kind = check_below(&r->random, 6) ? (unsigned)check_below(&r->random, DIRS) : 9;
    if (kind == 9)
        snprintf(path, sizeof path, "%s/huge", r->mount);
    else if (kind == DIRS - 1)
        snprintf(path, sizeof path, "%s/d2/sub", r->mount);
    else
        snprintf(path, sizeof path, "%s/d%u", r->mount, kind);
    DIR *dir = opendir(path);
    if (!dir) {
        judge("opendir", path, errno);
        return;
    }
    atomic_fetch_add(&shared->calls, 2);
    check_listing(dir, path, kind, check_below(&r->random, 2));
    if (!check_below(&r->random, 4) && !shared->churn && !shared->faults) {
        rewinddir(dir);
        check_listing(dir, path, kind, false);
    }
    closedir(dir);
}

static void do_opens(struct reader *r)
{
    struct opened o;
    for (unsigned i = 0; i < 16 && !ending(); i++) {
        if (!open_file(r, &o))
            continue;
        if (i % 4 == 0)
            read_range(r, &o, check_below(&r->random, o.size + 1), 1);
        close(o.fd);
    }
}

static bool open_huge(struct reader *r, struct opened *o, unsigned n)
{
    char name[300], path[400];
    huge_name(n, name);
    snprintf(path, sizeof path, "%s/huge/%s", r->mount, name);
    *o = (struct opened){.id = huge_id(n), .version = 1, .size = huge_size(n)};
    snprintf(o->path, sizeof o->path, "/huge/n%05u", n);
    atomic_fetch_add(&shared->calls, 1);
    o->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (o->fd < 0)
        judge("open", o->path, errno);
    return o->fd >= 0;
}

/* Small files one after the other, as they are listed, or nearly so. */
static void do_in_order(struct reader *r)
{
    bool huge = check_below(&r->random, 2);
    uint64_t first = huge ? check_below(&r->random, HUGE_NAMES - 60) : check_below(&r->random, DIRS) * FILES_PER_DIR;
    unsigned at = (unsigned)first;
    for (unsigned i = 0; i < (huge ? 60 : FILES_PER_DIR) && !ending(); i++) {
        struct opened o;
        if (!check_below(&r->random, 10) || !(huge ? open_huge(r, &o, at + i) : open_file_of(r, &o, at + i)))
            continue;
        read_range(r, &o, 0, BUFFER_BYTES);
        close(o.fd);
    }
}

/* Handles that stay open for a while: modes and backings are shared, memory cannot be given back. */
static void do_hold(struct reader *r)
{
    struct opened o[8];
    unsigned n = 0;
    while (n < 8 && !ending() && open_file(r, &o[n]))
        n++;
    for (unsigned i = 0; i < n && !ending(); i++) {
        read_range(r, &o[i], 0, BUFFER_BYTES);
        if (i == n / 2) {
            struct timespec ts = {0, 1000000 * (long)(1 + check_below(&r->random, 30))};
            nanosleep(&ts, NULL);
        }
    }
    while (n)
        close(o[--n].fd);
}

/* What is not there to be done: writing; and the small things: links, statfs, reading beyond the end. */
static void do_odd(struct reader *r)
{
    char path[100], target[100], want[100];
    struct statvfs fs;
    struct opened o;
    unsigned i = (unsigned)check_below(&r->random, LINKS);
    snprintf(path, sizeof path, "%s/l%u", r->mount, i);
    ssize_t n = readlink(path, target, sizeof target);
    if (n < 0)
        judge("readlink", path, errno);
    else if ((size_t)n != link_target(i, want) || memcmp(target, want, (size_t)n))
        reader_fail("%s points elsewhere", path);
    if (statvfs(r->mount, &fs))
        judge("statfs", r->mount, errno);
    else if (fs.f_blocks != 1000 && !atomic_load(&shared->lenient)) /* else: of the directory below */
        reader_fail("statfs: %llu blocks", (unsigned long long)fs.f_blocks);
    snprintf(path, sizeof path, "%s/d1/new", r->mount);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        reader_fail("%s could be written", path);
    else if (errno != EROFS)
        judge("create", path, errno);
    if (open_file(r, &o)) {
        read_range(r, &o, o.size, 100);
        read_range(r, &o, o.size + 100000, 100);
        close(o.fd);
    }
    atomic_fetch_add(&shared->calls, 5);
}

static void (*const doing[TASKS])(struct reader *) = {
    [TASK_SEQUENTIAL] = do_sequential, [TASK_RANDOM] = do_random, [TASK_MMAP] = do_mmap, [TASK_STAT] = do_stat,
    [TASK_LIST] = do_list,             [TASK_OPENS] = do_opens,   [TASK_HOLD] = do_hold, [TASK_ODD] = do_odd,
    [TASK_ORDER] = do_in_order,
};

static void reader_main(uint64_t number)
{
    struct reader r = {.random = tree_mix(shared->seed, number)};
    struct sigaction action = {.sa_handler = bus, .sa_flags = SA_NODEFER};
    unsigned total = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigaction(SIGBUS, &action, NULL);
    r.mount = shared->mount[number % shared->n_mounts];
    r.buffer = malloc(BUFFER_BYTES);
    for (int i = 0; i < TASKS; i++)
        total += shared->weight[i];
    while (!ending()) {
        uint64_t at = check_below(&r.random, total);
        enum task task = 0;
        while (at >= shared->weight[task])
            at -= shared->weight[task++];
        atomic_fetch_add(&shared->tasks[task], 1);
        doing[task](&r);
    }
    _exit(0);
}

/* ------------------------------------------------------------------------------------------------- the spawner */

struct spawner {
    pid_t pid[MAX_READERS];
    uint64_t killed_ms[MAX_READERS]; /* 0: not killed */
    uint64_t forks, random;
    bool gave_up[MAX_READERS];
};

static void raise_to(_Atomic uint64_t *value, uint64_t to)
{
    uint64_t old = atomic_load(value);
    while (old < to && !atomic_compare_exchange_weak(value, &old, to))
        ;
}

static void spawn(struct spawner *s, unsigned slot)
{
    uint64_t number = s->forks++;
    pid_t pid = fork();
    if (pid == 0)
        reader_main(number);
    s->pid[slot] = pid > 0 ? pid : 0;
    s->killed_ms[slot] = 0;
    s->gave_up[slot] = false;
    atomic_fetch_add(&shared->forks, 1);
}

static void show_proc(pid_t pid, const char *file, char *text, size_t room)
{
    char path[400];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, room - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = ' ';
}

/* Collects the dead; returns how many live. */
static unsigned reap(struct spawner *s)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < MAX_READERS; i++) {
        int status;
        if (!s->pid[i])
            continue;
        if (waitpid(s->pid[i], &status, WNOHANG) != s->pid[i]) {
            uint64_t dying = s->killed_ms[i] ? now_ms() - s->killed_ms[i] : 0;
            if (dying > DIE_MS && !s->gave_up[i]) {
                char stack[200];
                s->gave_up[i] = true;
                show_proc(s->pid[i], "stack", stack, sizeof stack);
                reader_fail("the killed reader %d does not die; it is in %s", (int)s->pid[i], stack);
            }
            alive++;
            continue;
        }
        if (s->killed_ms[i])
            raise_to(&shared->slowest_death_ms, now_ms() - s->killed_ms[i]);
        else if (!WIFEXITED(status) || WEXITSTATUS(status))
            reader_fail("a reader ended with status %#x", (unsigned)status);
        s->pid[i] = 0;
    }
    return alive;
}

static void kill_one(struct spawner *s)
{
    unsigned i = (unsigned)check_below(&s->random, shared->n_readers);
    if (s->pid[i] && !s->killed_ms[i]) {
        kill(s->pid[i], SIGKILL);
        s->killed_ms[i] = now_ms();
        atomic_fetch_add(&shared->kills, 1);
    }
}

static void end_readers(struct spawner *s)
{
    uint64_t until = now_ms() + END_MS;
    bool killed = false;
    while (reap(s)) {
        if (now_ms() > until && killed)
            return; /* said so in reap */
        if (now_ms() > until) {
            for (unsigned i = 0; i < MAX_READERS; i++) {
                char call[200];
                if (!s->pid[i])
                    continue;
                show_proc(s->pid[i], "syscall", call, sizeof call);
                reader_fail("the reader %d does not end; it is in %s", (int)s->pid[i], call);
                kill(s->pid[i], SIGKILL);
                s->killed_ms[i] = now_ms();
            }
            until += DIE_MS + 1000;
            killed = true;
        }
        struct timespec ts = {0, 1000000};
        nanosleep(&ts, NULL);
    }
}

/* Told 'S' runs readers until told 'E', answers 'D' when none is left; ends with the socket. */
static void spawner_main(int sock)
{
    static struct spawner s;
    bool running = false;
    uint64_t next_kill = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        struct pollfd p = {.fd = sock, .events = POLLIN};
        char word;
        if (poll(&p, 1, running ? 2 : -1) > 0) {
            if (read(sock, &word, 1) != 1)
                _exit(0);
            running = word == 'S';
            s.random = tree_mix(shared->seed, 1234567);
            if (!running) {
                end_readers(&s);
                if (write(sock, "D", 1) != 1)
                    _exit(0);
            }
        }
        if (!running)
            continue;
        reap(&s);
        for (unsigned i = 0; i < shared->n_readers; i++)
            if (!s.pid[i] && !ending())
                spawn(&s, i);
        if (shared->kills_per_s && now_ms() >= next_kill) {
            kill_one(&s);
            next_kill = now_ms() + check_below(&s.random, 2000 / shared->kills_per_s + 1);
        }
    }
}

#endif
