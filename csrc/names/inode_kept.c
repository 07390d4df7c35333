/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of an inode that the kernel keeps and may have to drop: pages of a changed file, entries of a directory. */
#include "names/inode_table.h"

void ajf_inode_saw(struct ajf_inodes *t, uint64_t nodeid, uint64_t stamp)
{
    pthread_mutex_lock(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, nodeid);
    if (i->stamp && i->stamp != stamp)
        i->changed = true;
    i->stamp = stamp;
    pthread_mutex_unlock(&t->lock);
}

void ajf_inode_spoil(struct ajf_inodes *t, uint64_t nodeid)
{
    pthread_mutex_lock(&t->lock);
    ajf_inode_at(t, nodeid)->changed = true;
    pthread_mutex_unlock(&t->lock);
}

void ajf_inode_was_read(struct ajf_inodes *t, uint64_t nodeid)
{
    pthread_mutex_lock(&t->lock);
    ajf_inode_at(t, nodeid)->read = true;
    pthread_mutex_unlock(&t->lock);
}

bool ajf_inode_take_changed(struct ajf_inodes *t, uint64_t nodeid, uint32_t token)
{
    pthread_mutex_lock(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, nodeid);
    if (i->changed)
        i->unsettled = token;
    i->changed = false;
    bool drop = i->unsettled;
    pthread_mutex_unlock(&t->lock);
    return drop;
}

enum ajf_dir_cache ajf_inode_dir_open(struct ajf_inodes *t, uint64_t nodeid, uint64_t stamp, uint32_t least,
                                      uint32_t token)
{
    enum ajf_dir_cache is = AJF_DIR_FRESH;
    pthread_mutex_lock(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, nodeid);
    if (i->unsettled) {
        is = AJF_DIR_UNSETTLED;
    } else if (stamp && i->stamp == stamp && i->refs >= least) { /* each of its files refers to it */
        is = AJF_DIR_KEEP;
    } else {
        i->stamp = stamp;
        i->unsettled = token;
    }
    pthread_mutex_unlock(&t->lock);
    return is;
}

void ajf_inode_dir_read(struct ajf_inodes *t, uint64_t nodeid, uint64_t stamp, uint32_t token)
{
    pthread_mutex_lock(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, nodeid);
    bool first = token && i->unsettled == token;
    if (first && !i->stamp)
        i->stamp = stamp;
    if (i->stamp != stamp)
        i->stamp = 0;
    if (first)
        i->unsettled = 0;
    pthread_mutex_unlock(&t->lock);
}

void ajf_inode_settle(struct ajf_inodes *t, uint64_t nodeid, uint32_t token)
{
    pthread_mutex_lock(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, nodeid);
    if (token && i->unsettled == token)
        i->unsettled = 0;
    pthread_mutex_unlock(&t->lock);
}
