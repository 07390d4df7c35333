/* SPDX-License-Identifier: Apache-2.0 */
#include "source/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
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
