/* SPDX-License-Identifier: Apache-2.0 */
#include "source/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

/* One system call for the whole path. -ENOSYS and -EPERM: this kernel or its seccomp filter does not offer it. */
static int open_at_once(int dirfd, const char *path, int flags)
{
#ifdef SYS_openat2
    struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
#else
    (void)dirfd, (void)path, (void)flags;
    return -ENOSYS;
#endif
}

static bool climbs(const char *path)
{
    for (const char *at = path; *at; at += strspn(at, "/")) {
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.')
            return true;
        at += length;
    }
    return path[0] == '/';
}

/* A descriptor for each directory on the way. */
static int walk(int dirfd, const char *path, int flags)
{
    int at = dirfd, fd;
    for (;;) {
        size_t length = strcspn(path, "/"), slashes = strspn(path + length, "/");
        char name[NAME_MAX + 1];
        if (length > NAME_MAX) {
            fd = -ENAMETOOLONG;
            break;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        path += length + slashes;
        bool last = !*path;
        int how = last ? flags | (slashes ? O_DIRECTORY : 0) : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        fd = openat(at, name, how);
        if (fd < 0)
            fd = -errno;
        if (last || fd < 0)
            break;
        if (at != dirfd)
            close(at);
        at = fd;
    }
    if (at != dirfd)
        close(at);
    return fd;
}

int ajf_open_beneath(int dirfd, const char *path, int flags)
{
    if (climbs(path))
        return -EXDEV;
    if (!*path)
        path = ".";
    flags |= O_NOFOLLOW | O_CLOEXEC;
    int fd = open_at_once(dirfd, path, flags);
    bool refused = fd == -ENOSYS || fd == -EPERM || fd == -EAGAIN; /* EAGAIN: renamed meanwhile, anywhere */
    return refused ? walk(dirfd, path, flags) : fd;
}

int ajf_open_parent(int dirfd, const char *path, int *ret_fd, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    char parent[PATH_MAX];
    int fd = dirfd;
    if (climbs(path))
        return -EXDEV;
    if (length >= sizeof parent)
        return -ENAMETOOLONG;
    if (slash) {
        memcpy(parent, path, length);
        parent[length] = '\0';
        fd = ajf_open_beneath(dirfd, parent, O_PATH | O_DIRECTORY);
        if (fd < 0)
            return fd;
    }
    *ret_fd = fd;
    *ret_name = slash ? slash + 1 : path;
    return 0;
}

int ajf_open_file_beneath(const char *top, const char *path, uint64_t least)
{
    struct stat st;
    int dirfd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return -errno;
    int fd = ajf_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK); /* a FIFO would be waited for */
    close(dirfd);
    if (fd < 0)
        return fd;
    int err = fstat(fd, &st) < 0 ? -errno : 0;
    if (!err && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < least))
        err = -ENODATA;
    if (!err)
        return fd;
    close(fd);
    return err;
}

ssize_t ajf_read_file_beneath(const char *top, const char *path, uint64_t least, uint64_t offset, void *buffer,
                              size_t size)
{
    size_t done = 0;
    ssize_t n = 1;
    int fd = offset > INT64_MAX - size ? -EINVAL : ajf_open_file_beneath(top, path, least);
    if (fd < 0)
        return fd;
    while (done < size && n > 0) {
        n = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (n < 0)
            n = errno == EINTR ? 1 : -errno;
        else
            done += (size_t)n;
    }
    close(fd);
    return n < 0 ? n : (ssize_t)done;
}
