/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beneath.h - opening what lies below a directory, and nothing that lies elsewhere.
 *
 * A path comes from what the kernel looked up before. Since then a user who may write into the tree can have put a
 * symbolic link in the place of a directory; the path would then lead out of the tree, with the rights of the daemon.
 * So no component of a path is followed when it is a symbolic link, the last one included, and `..` is refused. Mounts
 * inside the tree are part of it.
 *
 * Threads: any; no state. May block as long as the file system does.
 */
#ifndef AJF_SOURCE_BENEATH_H
#define AJF_SOURCE_BENEATH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * open(2) of `path` relative to the directory `dirfd`; "" is the directory itself. O_NOFOLLOW and O_CLOEXEC are added
 * to `flags`. Returns the descriptor, or -errno: -ELOOP or -ENOTDIR where a component is a symbolic link (the last one
 * may be, with O_PATH), -EXDEV for an absolute path and for one with `..`.
 */
int ajf_open_beneath(int dirfd, const char *path, int flags);

/*
 * The directory in which the last component of `path` is a name (`*ret_name`, within `path`), for calls that take a
 * name and do not follow it. `*ret_fd` is `dirfd` itself where the path is a single name or "", else a descriptor that
 * the caller closes. 0, or -errno as above.
 */
int ajf_open_parent(int dirfd, const char *path, int *ret_fd, const char **ret_name);

/*
 * A regular file of at least `least` bytes, for reading, beneath the directory that is called `top`, whose own path may
 * have links. Returns the descriptor, -ENODATA for a shorter file and for what is no regular one, or -errno.
 */
int ajf_open_file_beneath(const char *top, const char *path, uint64_t least);

/* Up to `size` bytes from `offset` of such a file, which is opened for that alone: fewer only at its end. Or -errno. */
ssize_t ajf_read_file_beneath(const char *top, const char *path, uint64_t least, uint64_t offset, void *buffer,
                              size_t size);

#endif
