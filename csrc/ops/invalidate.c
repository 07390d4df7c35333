/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon forgets first and the kernel afterwards, so that requests that come meanwhile are not answered from
 * knowledge that was to be forgotten. Of the daemon, the listings go first: a reader that takes a name out of one looks
 * afterwards whether it is still good.
 */
#include "ops/invalidate.h"

#include <string.h>
#include <sys/stat.h>

#include "mount.h"

enum what { LISTINGS, RECORDS, KERNEL };

static bool is_directory(struct ajf *m, uint64_t nodeid)
{
    struct ajf_inode_view v;
    return !ajf_inode_get(&m->inodes, nodeid, &v) && S_ISDIR(v.attr.mode);
}

static void forget(struct ajf *m, uint64_t top, enum what what)
{
    uint64_t parent;
    size_t len;
    char name[AJF_NAME_MAX];
    for (uint64_t n = AJF_ROOT, end = ajf_inodes_end(&m->inodes); n < end; n++) {
        if (!ajf_inode_expire_below(&m->inodes, n, top, &parent, name, &len))
            continue;
        if (what == LISTINGS)
            ajf_dirs_drop(&m->dirs, n);
        else if (what == KERNEL)
            ajf_notify_name(&m->notify, parent, name, len, n, is_directory(m, n));
        if (what == LISTINGS && n == top && n != AJF_ROOT)
            ajf_dirs_drop(&m->dirs, parent); /* its listing says what `top` is */
    }
}

/* Nothing but its directory's listing may know of it. */
static void forget_unknown(struct ajf *m, const char *path, size_t len)
{
    const char *slash = memrchr(path, '/', len);
    uint64_t parent = slash ? ajf_inode_resolve(&m->inodes, path, (size_t)(slash - path)) : 0;
    if (!parent)
        return;
    ajf_dirs_drop(&m->dirs, parent);
    ajf_inode_unref(&m->inodes, parent);
}

void ajf_invalidate_path(struct ajf *m, const char *path, size_t len)
{
    uint64_t top = ajf_inode_resolve(&m->inodes, path, len);
    ajf_dirs_forget(&m->dirs);
    if (!top) {
        forget_unknown(m, path, len);
        return;
    }
    for (enum what what = LISTINGS; what <= KERNEL; what++)
        forget(m, top, what);
    ajf_inode_unref(&m->inodes, top);
}
