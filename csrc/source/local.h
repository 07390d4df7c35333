/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local.h - listing and stat of local files, for a source that lends them.
 *
 * Threads: any; pure, but for what the file system does.
 */
#ifndef AJF_SOURCE_LOCAL_H
#define AJF_SOURCE_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/types.h"

/*
 * Lists a local directory for a source that lends files: the open directory `dirfd` is read from its start and each
 * entry is lstat'ed; one that cannot be is listed with its type alone. Skips ".", "..", sockets, devices and FIFOs, and
 * directories of device `hide_dev` (the mount itself, when it lies inside the directory it shows; found without sending
 * it a request; 0 hides nothing).
 * `pin_contents`: version = hash of (device, inode, size, mtime, ctime), else of (device, inode) alone, which is the
 * identity of a file that is lent and may be written in place. Inode numbers are those of device `home_dev`, the
 * root's; a file of another device gets a hash of (device, inode).
 *
 * In steps: ajf_scan_more goes on until there are `most` bytes of entries and names in all, or the directory ends
 * (*ret_ended); -errno has ended the scan.
 */
struct ajf_scan {
    void *dir; /* DIR; NULL: over */
    bool pin_contents;
    uint64_t home_dev, hide_dev;
    struct ajf_entry *entries; /* these two belong to the scan */
    char *names;
    size_t n, room, names_len, names_room;
};

int ajf_scan_begin(struct ajf_scan *s, int dirfd, bool pin_contents, uint64_t home_dev, uint64_t hide_dev);
int ajf_scan_more(struct ajf_scan *s, size_t most, bool *ret_ended);
size_t ajf_scan_bytes(const struct ajf_scan *s);
void ajf_scan_end(struct ajf_scan *s);

/* Attributes of one local path relative to `dirfd` ("" = dirfd itself, an open file); rules as above, and those of
 * beneath.h for the directories on the way. */
int ajf_stat_local(int dirfd, const char *path, bool pin_contents, uint64_t home_dev, uint64_t hide_dev,
                   struct ajf_attr *ret_attr);

#endif
