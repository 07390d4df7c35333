/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgetting a part of the tree before its time: the embedding program's side of notify.h.
 *
 * The daemon forgets first and the kernel afterwards, so that whoever the kernel sends to us meanwhile is not answered
 * from what was to be forgotten.
 */
#include "ajf.h"
#include "dir.h"
#include "inode.h"
#include "mount.h"
#include "notify.h"

void ajf_invalidate(struct ajf *m, const char *path, size_t len)
{
    uint64_t top = ajf_inode_resolve(&m->inodes, path, len);
    if (!top)
        return;
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t n = AJF_ROOT; n < m->inodes.used; n++) {
            uint64_t parent;
            size_t name_len;
            char name[AJF_NAME_MAX];
            if (!ajf_inode_expire_below(&m->inodes, n, top, &parent, name, &name_len))
                continue;
            if (pass)
                ajf_notify_name(&m->notify, parent, name, name_len);
            else
                ajf_dirs_drop(&m->dirs, n);
            if (!pass && n == top && n != AJF_ROOT)
                ajf_dirs_drop(&m->dirs, parent); /* its listing says what `top` is */
        }
    }
    ajf_inode_unref(&m->inodes, top);
}
