/* SPDX-License-Identifier: Apache-2.0 */
/* From a record to its path, and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names/inode_table.h"

int ajf_inode_name(struct ajf_inodes *t, uint64_t nodeid, uint64_t *ret_parent, char *ret_name, size_t *ret_len)
{
    if (nodeid == AJF_ROOT)
        return -ENOENT;
    pthread_mutex_lock(&t->lock);
    const struct ajf_inode *i = ajf_inode_at(t, nodeid);
    *ret_parent = i->parent;
    *ret_len = i->name_len;
    memcpy(ret_name, ajf_inode_name_of(t, i), i->name_len);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

char *ajf_inode_path(struct ajf_inodes *t, uint64_t nodeid, const char *name, size_t len)
{
    pthread_mutex_lock(&t->lock);
    size_t total = name ? len + 1 : 0;
    for (uint64_t n = nodeid; n != AJF_ROOT && n; n = ajf_inode_at(t, n)->parent)
        total += ajf_inode_at(t, n)->name_len + 1u;
    if (!total)
        total = 1; /* "/" */
    char *path = malloc(total + 1);
    if (path) {
        char *end = path + total;
        path[0] = '/';
        *end = '\0';
        if (name) {
            end -= len;
            memcpy(end, name, len);
            *--end = '/';
        }
        for (uint64_t n = nodeid; n != AJF_ROOT && n; n = ajf_inode_at(t, n)->parent) {
            const struct ajf_inode *i = ajf_inode_at(t, n);
            end -= i->name_len;
            memcpy(end, ajf_inode_name_of(t, i), i->name_len);
            *--end = '/';
        }
    }
    pthread_mutex_unlock(&t->lock);
    return path;
}

uint64_t ajf_inode_resolve(struct ajf_inodes *t, const char *path, size_t len)
{
    const char *end = path + len;
    uint64_t n = AJF_ROOT;
    pthread_mutex_lock(&t->lock);
    while (n && path < end) {
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t part = (size_t)((slash ? slash : end) - path);
        if (part)
            n = ajf_inode_find_locked(t, n, path, part);
        path += part + (slash != NULL);
    }
    if (n)
        ajf_inode_at(t, n)->refs++;
    pthread_mutex_unlock(&t->lock);
    return n;
}

bool ajf_inode_expire_below(struct ajf_inodes *t, uint64_t nodeid, uint64_t top, uint64_t *ret_parent, char *ret_name,
                            size_t *ret_len)
{
    pthread_mutex_lock(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, nodeid);
    bool known = i->state != AJF_INODE_FREE && (i->hashed || nodeid == AJF_ROOT);
    uint64_t n = nodeid;
    while (known && n != top && n)
        n = ajf_inode_at(t, n)->parent;
    known = known && n == top;
    if (known) {
        i->expires_ns = 0;
        *ret_parent = i->parent;
        *ret_len = nodeid == AJF_ROOT ? 0 : i->name_len;
        memcpy(ret_name, ajf_inode_name_of(t, i), *ret_len);
    }
    pthread_mutex_unlock(&t->lock);
    return known;
}
