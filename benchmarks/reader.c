/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.c - the readers that fio does not have: many small files, metadata, and bursts of reads.
 *
 *   reader stat SECONDS <PATHS      lstat of every path, again and again        -> calls SECONDS CPU
 *   reader open SECONDS <PATHS      open and close of every path, as above      -> opens SECONDS CPU
 *   reader files [N] <PATHS         each file opened, read to its size, closed, by N threads (1) of which each takes
 *                                   the next path that no other has taken       -> files SECONDS CPU
 *   reader list DIRECTORY           readdir, and lstat of every entry           -> entries SECONDS CPU
 *   reader burst N BYTES FILE...    N threads read at once, each at an offset of its own and through the descriptor
 *                                   of its file (thread i: file i modulo their number)  -> N SECONDS
 *
 * PATHS are separated by NUL. CPU is in seconds of this process. It prints the numbers after the arrow on one line; a
 * failure is exit code 1 and the reason on stderr.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (1 << 20) /* what one read asks for; larger than any small file */
#define MAX_BURST 1024

static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, ": %s\n", strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* When something began, by the clock and in CPU time of this process. */
struct start {
    double wall, cpu;
};

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static struct start begin(void)
{
    return (struct start){now(), cpu()};
}

static void report(struct start start, size_t count)
{
    printf("%zu %.9f %.6f\n", count, now() - start.wall, cpu() - start.cpu);
}

/* --------------------------------------------------------------------------------------------------- many files */

struct paths {
    char *text;
    const char **at;
    size_t n;
};

static struct paths read_paths(void)
{
    struct paths p = {0};
    size_t used = 0, room = 0;
    ssize_t got;
    do {
        if (used == room && !(p.text = realloc(p.text, room = room ? 2 * room : 1 << 20)))
            die("paths");
        got = read(0, p.text + used, room - used);
        if (got < 0)
            die("stdin");
        used += (size_t)got;
    } while (got);
    for (size_t i = 0; i < used; i++)
        p.n += !p.text[i];
    if (!p.n || !(p.at = calloc(p.n, sizeof *p.at)))
        die("paths");
    const char *start = p.text;
    for (size_t i = 0; i < p.n; i++, start += strlen(start) + 1)
        p.at[i] = start;
    return p;
}

static void stat_one(const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        die("%s", path);
}

static void open_one(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("%s", path);
    close(fd);
}

static void repeat(double seconds, void (*one)(const char *))
{
    struct paths p = read_paths();
    size_t calls = 0;
    struct start start = begin();
    do {
        for (size_t i = 0; i < p.n; i++)
            one(p.at[i]);
        calls += p.n;
    } while (now() - start.wall < seconds);
    report(start, calls);
}

static void read_one(const char *path, char *buffer)
{
    struct stat st;
    size_t done = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        die("%s", path);
    while (done < (size_t)st.st_size) {
        ssize_t got = read(fd, buffer, READ_BYTES);
        if (got < 0)
            die("%s", path);
        if (!got)
            break;
        done += (size_t)got;
    }
    close(fd);
}

static struct paths given; /* of read_files; constant while its threads run */
static atomic_size_t taken;

static void *read_some(void *go)
{
    char *buffer = malloc(READ_BYTES);
    if (!buffer)
        die("buffer");
    memset(buffer, 1, READ_BYTES); /* its pages are not part of the measurement */
    pthread_barrier_wait(go);
    for (size_t i; (i = atomic_fetch_add(&taken, 1)) < given.n;)
        read_one(given.at[i], buffer);
    free(buffer);
    return NULL;
}

static void read_files(size_t n)
{
    pthread_t threads[MAX_BURST];
    pthread_barrier_t go;
    if (n < 1 || n > MAX_BURST)
        die("files: bad number");
    given = read_paths();
    pthread_barrier_init(&go, NULL, (unsigned)n + 1);
    for (size_t i = 0; i < n; i++)
        if ((errno = pthread_create(&threads[i], NULL, read_some, &go)))
            die("thread");
    struct start start = begin(); /* before: the last to arrive lets the others go before it comes back itself */
    pthread_barrier_wait(&go);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    report(start, given.n);
}

static void list(const char *path)
{
    struct start start = begin();
    DIR *dir = opendir(path);
    struct dirent *entry;
    struct stat st;
    size_t n = 0;
    if (!dir)
        die("%s", path);
    while (errno = 0, (entry = readdir(dir))) {
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
            die("%s", entry->d_name);
        n++;
    }
    if (errno)
        die("%s", path);
    closedir(dir);
    report(start, n);
}

/* ------------------------------------------------------------------------------------------------------- bursts */

struct burst_thread {
    pthread_t id;
    pthread_barrier_t *go;
    int fd;
    off_t offset;
    size_t bytes;
    double end;
};

static void *burst_run(void *arg)
{
    struct burst_thread *t = arg;
    char *buffer = malloc(t->bytes);
    if (!buffer)
        die("buffer");
    memset(buffer, 1, t->bytes);
    pthread_barrier_wait(t->go);
    for (size_t done = 0; done < t->bytes;) {
        ssize_t got = pread(t->fd, buffer + done, t->bytes - done, t->offset + (off_t)done);
        if (got <= 0)
            die("read at %lld", (long long)t->offset);
        done += (size_t)got;
    }
    t->end = now();
    free(buffer);
    return NULL;
}

static void burst(size_t n, size_t bytes, char **files, size_t n_files)
{
    struct burst_thread threads[MAX_BURST];
    int fds[MAX_BURST];
    struct stat st;
    pthread_barrier_t go;
    double start, end = 0;
    if (n < 1 || n > MAX_BURST || n_files < 1 || n_files > n)
        die("burst: bad numbers");
    for (size_t i = 0; i < n_files; i++)
        if ((fds[i] = open(files[i], O_RDONLY | O_CLOEXEC)) < 0 || fstat(fds[i], &st))
            die("%s", files[i]);
    off_t stride = (st.st_size - (off_t)bytes) / (off_t)n / 4096 * 4096;
    pthread_barrier_init(&go, NULL, (unsigned)n + 1);
    for (size_t i = 0; i < n; i++) {
        threads[i] = (struct burst_thread){
            .go = &go, .fd = fds[i % n_files], .offset = (off_t)i * stride, .bytes = bytes};
        if ((errno = pthread_create(&threads[i].id, NULL, burst_run, &threads[i])))
            die("thread");
    }
    start = now(); /* before: the last to arrive lets the others go before it comes back itself */
    pthread_barrier_wait(&go);
    for (size_t i = 0; i < n; i++) {
        pthread_join(threads[i].id, NULL);
        end = threads[i].end > end ? threads[i].end : end;
    }
    printf("%zu %.9f\n", n, end - start);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    errno = EINVAL;
    if (!strcmp(what, "stat") && argc == 3)
        repeat(atof(argv[2]), stat_one);
    else if (!strcmp(what, "open") && argc == 3)
        repeat(atof(argv[2]), open_one);
    else if (!strcmp(what, "files") && argc <= 3)
        read_files(argc == 3 ? strtoul(argv[2], NULL, 10) : 1);
    else if (!strcmp(what, "list") && argc == 3)
        list(argv[2]);
    else if (!strcmp(what, "burst") && argc > 4)
        burst(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), argv + 4, (size_t)argc - 4);
    else
        die("reader %s", what);
    return 0;
}
