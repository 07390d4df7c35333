/* SPDX-License-Identifier: Apache-2.0 */
#include "files/ahead.h"

#include "base/check.h"
#include "files/fill.h"
#include "files/opens.h"
#include "mount.h"

#define MOST_AT_ONCE 32 /* picks on the stack, 10 KiB; the rest comes with the next file that is read */
#define SOON_NS (5 * AJF_NS_PER_S)  /* a quick reader in order is there by then: what is older makes room, */
#define KEEP_NS (60 * AJF_NS_PER_S) /* and a slow one, at a second a file, by then */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void ajf_ahead_init(struct ajf *m)
{
    ajf_list_init(&m->files.ahead.files);
    m->files.ahead.bytes = 0;
    m->files.ahead.limit = min_u64(m->options.prefetch_bytes, m->cache.limit / 4);
}

/* Drops those for which nobody has come; returns how many bytes there is room for, and where the ring is by now. */
static uint64_t make_room(struct ajf *m, uint64_t *ret_came)
{
    struct ajf_ahead *a = &m->files.ahead;
    uint64_t now = ajf_now_ns();
    pthread_mutex_lock(&m->cache.lock);
    while (!ajf_list_empty(&a->files)) {
        struct ajf_file *file = AJF_CONTAINER(a->files.next, struct ajf_file, ahead);
        if (file->ahead_ns + (a->bytes > a->limit / 2 ? SOON_NS : KEEP_NS) > now)
            break;
        ajf_file_leave_ahead_locked(m, file);
        ajf_file_last_release_locked(m, file);
    }
    uint64_t room = a->bytes < a->limit ? a->limit - a->bytes : 0;
    *ret_came = a->n_came;
    ajf_cache_unlock(&m->cache);
    return room;
}

static unsigned coming_locked(const struct ajf *m, uint64_t nodeid)
{
    AJF_HELD(&m->cache.lock);
    const struct ajf_ahead *a = &m->files.ahead;
    unsigned i = 0;
    while (i < a->n_coming && a->coming[i] != nodeid)
        i++;
    return i;
}

/* The directory knows that a reader has come to the file. */
static void arrived(struct ajf *m, uint64_t nodeid)
{
    struct ajf_ahead *a = &m->files.ahead;
    pthread_mutex_lock(&m->cache.lock);
    a->coming[coming_locked(m, nodeid)] = a->coming[a->n_coming - 1];
    a->n_coming--;
    a->came[a->n_came++ % AJF_AHEAD_RECENT] = (uint32_t)nodeid;
    ajf_cache_unlock(&m->cache);
}

/*
 * A reader has come to the file, and the directory did not know of it when the ring was at `since`. He may have gone
 * already: the file would be fetched again, for nobody.
 */
static bool has_come_locked(const struct ajf *m, uint64_t nodeid, uint64_t since)
{
    AJF_HELD(&m->cache.lock);
    const struct ajf_ahead *a = &m->files.ahead;
    /* So many have come that it is not known any more. */
    bool found = a->n_came - since > AJF_AHEAD_RECENT || coming_locked(m, nodeid) < a->n_coming;
    for (uint64_t i = since; !found && i < a->n_came; i++)
        found = a->came[i % AJF_AHEAD_RECENT] == nodeid;
    return found;
}

/* The record `v` has a lookup, which is the caller's. It was chosen when the ring was at `since`. */
static void fetch(struct ajf *m, const struct ajf_inode_view *v, uint64_t since)
{
    struct ajf_file *file;
    struct ajf_fetch *ask = NULL;
    pthread_mutex_lock(&m->cache.lock);
    /* Other threads look for files at the same time. */
    bool room = m->files.ahead.bytes + v->attr.size <= m->files.ahead.limit;
    bool wanted = room && !ajf_file_of_locked(m, v->nodeid) && !has_come_locked(m, v->nodeid, since);
    if (wanted && ajf_file_make_locked(m, v, &file, &ask) == 0) {
        ajf_list_add(&m->files.ahead.files, &file->ahead);
        file->ahead_ns = ajf_now_ns();
        m->files.ahead.bytes += file->size;
        if (ajf_fill_ahead_locked(m, file))
            ajf_file_retire_locked(m, file);
    }
    ajf_cache_unlock(&m->cache);
    if (ask)
        ajf_direct_ask(m, ask);
}

bool ajf_ahead_is_news_locked(struct ajf *m, struct ajf_file *file)
{
    AJF_HELD(&m->cache.lock);
    struct ajf_ahead *a = &m->files.ahead;
    if (!file->lazy || file->noted || a->n_coming == AJF_AHEAD_COMING)
        return false;
    file->noted = true;
    a->coming[a->n_coming++] = (uint32_t)file->nodeid;
    ajf_inode_ref(&m->inodes, file->nodeid);
    return true;
}

static void look_ahead(struct ajf *m, uint64_t nodeid)
{
    struct ajf_dir_pick picks[MOST_AT_ONCE];
    uint64_t parent, since = 0, room = m->files.ahead.limit ? make_room(m, &since) : 0;
    size_t len, n = 0;
    char name[AJF_NAME_MAX];
    if (m->files.ahead.limit && !ajf_inode_name(&m->inodes, nodeid, &parent, name, &len))
        n = ajf_dir_ahead(m, parent, name, len, room, picks, MOST_AT_ONCE);
    arrived(m, nodeid);
    for (size_t i = 0; i < n; i++) {
        struct ajf_inode_view v;
        const struct ajf_attr *attr = &picks[i].attr;
        /* Expired: any other knowledge of the name counts for more, and a look-up asks the listing again. */
        if (ajf_inode_bind(&m->inodes, parent, picks[i].name, picks[i].len, attr, 0, true, &v))
            continue;
        if (v.attr.version == attr->version && v.attr.size == attr->size && v.attr.nlink)
            fetch(m, &v, since);
        ajf_inode_forget(&m->inodes, v.nodeid, 1);
    }
}

void ajf_ahead_note(struct ajf *m, uint64_t nodeid)
{
    look_ahead(m, nodeid);
    ajf_inode_unref(&m->inodes, nodeid);
}
