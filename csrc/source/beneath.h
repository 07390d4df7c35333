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

#endif
