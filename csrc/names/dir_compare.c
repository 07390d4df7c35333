/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "mount.h"
#include "names/dir.h"

/* A name that one of two snapshots has: what was learnt of it before the newer one counts no longer. */
static void renounce(struct ajf *m, const struct ajf_listing *l, size_t i, uint64_t learnt_ns)
{
    const struct ajf_entry *e = &l->entries[i];
    const char *name = l->names + e->name_off;
    uint64_t nodeid = ajf_inode_outdate(&m->inodes, l->nodeid, name, e->name_len, learnt_ns);
    if (nodeid)
        m->dirs.tell(m, l->nodeid, name, e->name_len, nodeid, S_ISDIR(e->attr.mode));
}

void ajf_dir_compare(struct ajf *m, const struct ajf_listing *old, const struct ajf_listing *new)
{
    uint64_t learnt_ns = new->attr_expires_ns;
    for (size_t a = 0, b = 0; a < old->n || b < new->n;) {
        const struct ajf_entry *ea = &old->entries[a], *eb = &new->entries[b];
        int c = a == old->n   ? 1
                : b == new->n ? -1
                : ajf_listing_compare(old->names + ea->name_off, ea->name_len, new->names + eb->name_off, eb->name_len);
        if (c < 0)
            renounce(m, old, a, learnt_ns);
        else if (c > 0)
            renounce(m, new, b, learnt_ns);
        a += c <= 0;
        b += c >= 0;
    }
}
