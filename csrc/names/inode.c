/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of names is a chained hash of record indices, kept in private memory: it can be rebuilt from the records.
 * Names are cut from a bump allocator in runs of 16 bytes and recycled by length. Freeing a record may free its
 * parent in turn, hence the loop in release_locked.
 *
 * Made-up numbers are hashes of paths, not of the parent's number, which may be the source's own and become known late.
 * Records of one identity share theirs: one may live on, nameless, while its name leads to the next.
 */
#include "names/inode_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/number.h"

#define FIRST_BUCKETS 4096 /* 16 KiB; doubled whenever there are as many names */

static uint32_t hash_name(uint64_t parent, const char *name, size_t len)
{
    uint64_t h = (parent + 1) * UINT64_C(0x9e3779b97f4a7c15); /* FNV-1a over the name, seeded by the parent */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

AJF_NOT_ANALYSED int ajf_inodes_init(struct ajf_inodes *t, struct ajf_stats *stats)
{
    memset(t, 0, sizeof *t);
    t->n_buckets = FIRST_BUCKETS;
    t->buckets = calloc(t->n_buckets, sizeof *t->buckets);
    if (!t->buckets)
        return -ENOMEM;
    int err = ajf_arena_init(&t->records, "ajf-inodes", AJF_INODES_MAX * sizeof(struct ajf_inode));
    if (!err && (err = ajf_arena_init(&t->names, "ajf-names", AJF_NAMES_BYTES)))
        ajf_arena_done(&t->records);
    if (err) {
        free(t->buckets);
        return err;
    }
    pthread_mutex_init(&t->lock, NULL);
    t->stats = stats;
    t->used = AJF_ROOT + 1;
    t->name_used = 1; /* 0 = no name */
    struct ajf_inode *root = ajf_inode_at(t, AJF_ROOT);
    root->attr.mode = 0040555; /* until the source has said */
    root->attr.nlink = 2;
    root->attr.ino = ajf_number_of(0);
    root->refs = 1;
    root->made = true;
    t->number_mask = UINT64_MAX;
    if (ajf_numbers_add(&t->numbers, ajf_inode_at(t, 0), AJF_ROOT)) {
        ajf_inodes_done(t);
        return -ENOMEM;
    }
    atomic_store_explicit(&root->state, AJF_INODE_LIVE, memory_order_release);
    return 0;
}

void ajf_inodes_sweep(struct ajf_inodes *t)
{
    pthread_mutex_lock(&t->lock);
    for (uint32_t n = AJF_ROOT + 1; n < t->used; n++)
        if (ajf_inode_at(t, n)->state != AJF_INODE_FREE)
            AJF_COUNT(t->stats, inodes_died);
    t->swept = true;
    pthread_mutex_unlock(&t->lock);
}

AJF_NOT_ANALYSED void ajf_inodes_done(struct ajf_inodes *t)
{
    ajf_arena_done(&t->names);
    ajf_arena_done(&t->records);
    ajf_numbers_done(&t->numbers);
    free(t->buckets);
    pthread_mutex_destroy(&t->lock);
}

/* ------------------------------------------------------------------------------------------- index of names */

static uint32_t *bucket(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len)
{
    AJF_HELD(&t->lock);
    return &t->buckets[hash_name(parent, name, len) & (t->n_buckets - 1)];
}

uint32_t ajf_inode_find_locked(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len)
{
    AJF_HELD(&t->lock);
    for (uint32_t n = *bucket(t, parent, name, len); n; n = ajf_inode_at(t, n)->hash_next) {
        const struct ajf_inode *i = ajf_inode_at(t, n);
        if (i->parent == parent && i->name_len == len && !memcmp(ajf_inode_name_of(t, i), name, len))
            return n;
    }
    return 0;
}

static void grow_index_locked(struct ajf_inodes *t)
{
    AJF_HELD(&t->lock);
    uint32_t old_n = t->n_buckets, *old = t->buckets, *grown = calloc((size_t)old_n * 2, sizeof *grown);
    if (!grown)
        return; /* longer chains, nothing worse */
    t->buckets = grown;
    t->n_buckets = old_n * 2;
    for (uint32_t b = 0; b < old_n; b++) {
        for (uint32_t n = old[b], next; n; n = next) {
            struct ajf_inode *i = ajf_inode_at(t, n);
            next = i->hash_next;
            uint32_t *to = bucket(t, i->parent, ajf_inode_name_of(t, i), i->name_len);
            i->hash_next = *to;
            *to = n;
        }
    }
    free(old);
}

static void hash_locked(struct ajf_inodes *t, uint32_t n)
{
    AJF_HELD(&t->lock);
    if (t->n_hashed >= t->n_buckets)
        grow_index_locked(t);
    struct ajf_inode *i = ajf_inode_at(t, n);
    uint32_t *b = bucket(t, i->parent, ajf_inode_name_of(t, i), i->name_len);
    i->hash_next = *b;
    *b = n;
    i->hashed = true;
    t->n_hashed++;
}

static void unhash_locked(struct ajf_inodes *t, uint32_t n)
{
    AJF_HELD(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, n);
    if (!i->hashed)
        return;
    uint32_t *p = bucket(t, i->parent, ajf_inode_name_of(t, i), i->name_len);
    while (*p != n)
        p = &ajf_inode_at(t, *p)->hash_next;
    *p = i->hash_next;
    i->hash_next = 0;
    i->hashed = false;
    t->n_hashed--;
}

/* ----------------------------------------------------------------------------------------------------- numbers */

static uint32_t type_of(const struct ajf_attr *a)
{
    return a->mode & 0170000;
}

static bool is_dir(const struct ajf_attr *a)
{
    return type_of(a) == 0040000;
}

static bool same_file(const struct ajf_attr *a, const struct ajf_attr *b)
{
    return type_of(a) == type_of(b) && (is_dir(a) || a->version == b->version);
}

static uint64_t hash_of(const struct ajf_inodes *t, uint64_t parent, const char *name, size_t len,
                        const struct ajf_attr *attr)
{
    uint64_t h = ajf_number_mix(type_of(attr), is_dir(attr) ? 0 : attr->version);
    h = ajf_number_mix_name(h, name, len);
    for (uint64_t n = parent; n != AJF_ROOT && n; n = ajf_inode_at(t, n)->parent)
        h = ajf_number_mix_name(h, ajf_inode_name_of(t, ajf_inode_at(t, n)), ajf_inode_at(t, n)->name_len);
    return h & t->number_mask;
}

static bool is_of(const struct ajf_inodes *t, uint32_t n, uint64_t parent, const char *name, size_t len,
                  const struct ajf_attr *attr)
{
    const struct ajf_inode *i = ajf_inode_at(t, n);
    return i->parent == parent && i->name_len == len && !memcmp(ajf_inode_name_of(t, i), name, len) &&
           same_file(&i->attr, attr);
}

static bool is_free_locked(const struct ajf_inodes *t, uint64_t number, uint64_t parent, const char *name, size_t len,
                           const struct ajf_attr *attr)
{
    AJF_HELD(&t->lock);
    const struct ajf_inode *records = ajf_inode_at(t, 0);
    uint32_t n = ajf_numbers_first(&t->numbers, records, number);
    while (n && is_of(t, n, parent, name, len, attr))
        n = ajf_numbers_after(records, n);
    return !n;
}

static uint64_t number_locked(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len,
                              const struct ajf_attr *attr)
{
    AJF_HELD(&t->lock);
    if (attr->ino)
        return attr->ino;
    uint32_t n = t->n_displaced ? ajf_inode_find_locked(t, parent, name, len) : 0;
    if (n && ajf_inode_at(t, n)->made && same_file(&ajf_inode_at(t, n)->attr, attr))
        return ajf_inode_at(t, n)->attr.ino;
    uint64_t number = ajf_number_of(hash_of(t, parent, name, len, attr));
    while (!is_free_locked(t, number, parent, name, len, attr))
        number = ajf_number_next(number);
    return number;
}

/* Whether the number of a record with these attributes is another one than its hash asks for, which was taken. */
static bool is_displaced(const struct ajf_inodes *t, const struct ajf_inode *i, const struct ajf_attr *attr)
{
    return i->attr.ino != ajf_number_of(hash_of(t, i->parent, ajf_inode_name_of(t, i), i->name_len, attr));
}

/* Record `n`, which is new and has the attributes `attr`, gets its number. */
static void make_locked(struct ajf_inodes *t, uint32_t n, const struct ajf_attr *attr)
{
    AJF_HELD(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, n);
    i->attr.ino = number_locked(t, i->parent, ajf_inode_name_of(t, i), i->name_len, attr);
    i->made = !attr->ino;
    if (i->made) {
        t->n_displaced += is_displaced(t, i, attr);
        ajf_numbers_add(&t->numbers, ajf_inode_at(t, 0), n); /* there is an index: the root is in it */
    }
}

/* The number of record `n` is not a made-up one any more. */
static void unmake_locked(struct ajf_inodes *t, uint32_t n)
{
    AJF_HELD(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, n);
    if (!i->made)
        return;
    if (n != AJF_ROOT && is_displaced(t, i, &i->attr))
        t->n_displaced--;
    ajf_numbers_remove(&t->numbers, ajf_inode_at(t, 0), n);
    i->made = false;
}

/* --------------------------------------------------------------------------------------------- taking, freeing */

static uint32_t take_name_locked(struct ajf_inodes *t, const char *name, size_t len)
{
    AJF_HELD(&t->lock);
    uint32_t units = (uint32_t)((len + AJF_NAME_UNIT_BYTES - 1) / AJF_NAME_UNIT_BYTES), where = t->name_free[units];
    if (where) {
        memcpy(&t->name_free[units], t->names.base + (size_t)where * AJF_NAME_UNIT_BYTES, sizeof where);
    } else {
        if ((uint64_t)(t->name_used + units) * AJF_NAME_UNIT_BYTES > AJF_NAMES_BYTES)
            return 0;
        where = t->name_used;
        t->name_used += units;
    }
    memcpy(t->names.base + (size_t)where * AJF_NAME_UNIT_BYTES, name, len);
    return where;
}

static void free_name_locked(struct ajf_inodes *t, const struct ajf_inode *i)
{
    AJF_HELD(&t->lock);
    uint32_t units = (uint32_t)((i->name_len + AJF_NAME_UNIT_BYTES - 1) / AJF_NAME_UNIT_BYTES);
    memcpy(ajf_inode_name_of(t, i), &t->name_free[units], sizeof(uint32_t));
    t->name_free[units] = i->name_at;
}

static uint32_t take_locked(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, uint8_t state)
{
    AJF_HELD(&t->lock);
    if (!len || len > AJF_NAME_MAX)
        return 0;
    uint32_t n = t->free_head;
    if (!n && t->used == AJF_INODES_MAX)
        return 0;
    uint32_t name_at = take_name_locked(t, name, len);
    if (!name_at)
        return 0;
    if (n)
        t->free_head = ajf_inode_at(t, n)->hash_next;
    else
        n = t->used++;
    struct ajf_inode *i = ajf_inode_at(t, n);
    uint32_t generation = i->generation + 1;
    *i = (struct ajf_inode){.generation = generation, .parent = (uint32_t)parent, .name_at = name_at};
    i->name_len = (uint8_t)len;
    ajf_inode_at(t, parent)->refs++;
    hash_locked(t, n);
    atomic_store_explicit(&i->state, state, memory_order_release);
    AJF_COUNT(t->stats, inodes_born);
    return n;
}

/* Frees the record, and its ancestors, as far as nothing holds them any more. */
static void release_locked(struct ajf_inodes *t, uint64_t n)
{
    AJF_HELD(&t->lock);
    while (n != AJF_ROOT && n) {
        struct ajf_inode *i = ajf_inode_at(t, n);
        if (i->nlookup || i->refs || i->state == AJF_INODE_FREE || t->swept)
            return;
        uint32_t parent = i->parent;
        unmake_locked(t, (uint32_t)n);
        unhash_locked(t, (uint32_t)n);
        free_name_locked(t, i);
        atomic_store_explicit(&i->state, AJF_INODE_FREE, memory_order_release);
        i->hash_next = t->free_head;
        t->free_head = (uint32_t)n;
        AJF_COUNT(t->stats, inodes_died);
        AJF_MUST(ajf_inode_at(t, parent)->refs);
        ajf_inode_at(t, parent)->refs--;
        n = parent;
    }
}

static void view_locked(const struct ajf_inodes *t, uint64_t n, struct ajf_inode_view *v)
{
    AJF_HELD(&t->lock);
    const struct ajf_inode *i = ajf_inode_at(t, n);
    *v = (struct ajf_inode_view){.nodeid = n,
                                 .generation = i->generation,
                                 .expires_ns = i->expires_ns,
                                 .attr = i->attr,
                                 .stale = !i->hashed && n != AJF_ROOT,
                                 .read = i->read};
}

/* ------------------------------------------------------------------------------------------------- attributes */

/* Of the same file: a number that was shown stays. */
static void set_attr_locked(struct ajf_inodes *t, uint32_t n, const struct ajf_attr *attr, uint64_t expires_ns)
{
    AJF_HELD(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, n);
    uint64_t number = attr->ino ? attr->ino : i->attr.ino;
    if (attr->ino)
        unmake_locked(t, n);
    if (i->attr.size != attr->size || i->attr.mtime_ns != attr->mtime_ns || i->attr.ctime_ns != attr->ctime_ns)
        i->changed = true;
    i->attr = *attr;
    i->attr.ino = number;
    i->expires_ns = expires_ns;
}

/* Knowledge in the order in which it was learnt: when its attributes expire, or would. */
static uint64_t learnt_locked(const struct ajf_inodes *t, uint32_t n)
{
    AJF_HELD(&t->lock);
    const struct ajf_inode *i = ajf_inode_at(t, n);
    return i->state == AJF_INODE_NEGATIVE ? i->stamp : i->expires_ns;
}

/* ----------------------------------------------------------------------------------------------------- public */

int ajf_inode_find(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, uint64_t now_ns,
                   struct ajf_inode_view *ret_view)
{
    int err = -EAGAIN;
    pthread_mutex_lock(&t->lock);
    uint32_t n = ajf_inode_find_locked(t, parent, name, len);
    struct ajf_inode *i = ajf_inode_at(t, n);
    if (n && now_ns < i->expires_ns) {
        if (i->state == AJF_INODE_NEGATIVE) {
            *ret_view = (struct ajf_inode_view){.expires_ns = i->expires_ns};
            err = -ENOENT;
        } else {
            i->nlookup++;
            view_locked(t, n, ret_view);
            err = 0;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

int ajf_inode_bind(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, const struct ajf_attr *attr,
                   uint64_t expires_ns, bool lookup, struct ajf_inode_view *ret_view)
{
    int err = 0;
    pthread_mutex_lock(&t->lock);
    uint32_t n = ajf_inode_find_locked(t, parent, name, len);
    bool newer = n && learnt_locked(t, n) > expires_ns; /* a listing may be older than a stat */
    const struct ajf_inode *known = ajf_inode_at(t, n);
    if (n && !newer && (known->state == AJF_INODE_NEGATIVE || !same_file(&known->attr, attr))) {
        unhash_locked(t, n);
        release_locked(t, n);
        n = 0;
    }
    if (n && ajf_inode_at(t, n)->state == AJF_INODE_NEGATIVE) {
        err = -ENOENT;
    } else if (n) {
        if (!newer)
            set_attr_locked(t, n, attr, expires_ns);
    } else if ((n = take_locked(t, parent, name, len, AJF_INODE_LIVE))) {
        ajf_inode_at(t, n)->attr = *attr;
        ajf_inode_at(t, n)->expires_ns = expires_ns;
        make_locked(t, n, attr);
    } else {
        err = -ENOMEM;
    }
    if (!err) {
        ajf_inode_at(t, n)->nlookup += lookup;
        view_locked(t, n, ret_view);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

bool ajf_inode_unbind(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, bool keep,
                      uint64_t expires_ns, uint64_t learnt_ns)
{
    pthread_mutex_lock(&t->lock);
    uint32_t n = ajf_inode_find_locked(t, parent, name, len);
    bool newer = n && learnt_locked(t, n) > learnt_ns;
    if (n && ajf_inode_at(t, n)->state == AJF_INODE_NEGATIVE) {
        if (!newer) {
            ajf_inode_at(t, n)->expires_ns = expires_ns;
            ajf_inode_at(t, n)->stamp = learnt_ns;
        }
    } else if (!newer) {
        if (n) {
            unhash_locked(t, n);
            release_locked(t, n);
        }
        if (keep && !t->swept && (n = take_locked(t, parent, name, len, AJF_INODE_NEGATIVE))) {
            ajf_inode_at(t, n)->expires_ns = expires_ns;
            ajf_inode_at(t, n)->stamp = learnt_ns;
            uint32_t *slot = &t->negative[t->negative_at++ % AJF_INODE_NEGATIVES];
            uint32_t oldest = *slot;
            *slot = n;
            if (oldest && ajf_inode_at(t, oldest)->state == AJF_INODE_NEGATIVE)
                release_locked(t, oldest);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return !newer;
}

uint64_t ajf_inode_outdate(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len, uint64_t learnt_ns)
{
    pthread_mutex_lock(&t->lock);
    uint32_t n = ajf_inode_find_locked(t, parent, name, len);
    bool older = n && learnt_locked(t, n) < learnt_ns;
    if (older)
        ajf_inode_at(t, n)->expires_ns = 0;
    pthread_mutex_unlock(&t->lock);
    return older ? n : 0;
}

int ajf_inode_update(struct ajf_inodes *t, uint64_t nodeid, const struct ajf_attr *attr, uint64_t expires_ns)
{
    int err = 0;
    pthread_mutex_lock(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, nodeid);
    if (i->expires_ns > expires_ns) {
        /* learnt before what is known */
    } else if (nodeid == AJF_ROOT || same_file(&i->attr, attr)) {
        set_attr_locked(t, (uint32_t)nodeid, attr, expires_ns);
    } else {
        unhash_locked(t, (uint32_t)nodeid);
        err = -ESTALE;
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

void ajf_inode_expire(struct ajf_inodes *t, uint64_t nodeid)
{
    pthread_mutex_lock(&t->lock);
    ajf_inode_at(t, nodeid)->expires_ns = 0;
    pthread_mutex_unlock(&t->lock);
}

void ajf_inode_renew(struct ajf_inodes *t, uint64_t nodeid, const struct ajf_attr *attr, uint64_t expires_ns)
{
    pthread_mutex_lock(&t->lock);
    set_attr_locked(t, (uint32_t)nodeid, attr, expires_ns);
    pthread_mutex_unlock(&t->lock);
}

void ajf_inode_gone(struct ajf_inodes *t, uint64_t nodeid)
{
    if (nodeid == AJF_ROOT)
        return;
    pthread_mutex_lock(&t->lock);
    unhash_locked(t, (uint32_t)nodeid);
    release_locked(t, nodeid);
    pthread_mutex_unlock(&t->lock);
}

uint64_t ajf_inode_number(struct ajf_inodes *t, uint64_t parent, const char *name, size_t len,
                          const struct ajf_attr *attr)
{
    if (attr->ino)
        return attr->ino;
    pthread_mutex_lock(&t->lock);
    uint64_t number = number_locked(t, parent, name, len, attr);
    pthread_mutex_unlock(&t->lock);
    return number;
}

uint64_t ajf_inode_number_above(struct ajf_inodes *t, uint64_t nodeid)
{
    pthread_mutex_lock(&t->lock);
    uint64_t number = ajf_inode_at(t, nodeid == AJF_ROOT ? AJF_ROOT : ajf_inode_at(t, nodeid)->parent)->attr.ino;
    pthread_mutex_unlock(&t->lock);
    return number;
}

int ajf_inode_get(struct ajf_inodes *t, uint64_t nodeid, struct ajf_inode_view *ret_view)
{
    if (!nodeid || nodeid >= AJF_INODES_MAX ||
        atomic_load_explicit(&ajf_inode_at(t, nodeid)->state, memory_order_acquire) != AJF_INODE_LIVE)
        return -ESTALE;
    pthread_mutex_lock(&t->lock);
    view_locked(t, nodeid, ret_view);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

void ajf_inode_forget(struct ajf_inodes *t, uint64_t nodeid, uint64_t nlookup)
{
    if (nodeid == AJF_ROOT)
        return;
    pthread_mutex_lock(&t->lock);
    struct ajf_inode *i = ajf_inode_at(t, nodeid);
    i->nlookup -= nlookup < i->nlookup ? nlookup : i->nlookup;
    if (!i->nlookup)
        i->read = false; /* the kernel has none of its bytes any more, though the record may stay */
    release_locked(t, nodeid);
    pthread_mutex_unlock(&t->lock);
}

void ajf_inode_ref(struct ajf_inodes *t, uint64_t nodeid)
{
    pthread_mutex_lock(&t->lock);
    ajf_inode_at(t, nodeid)->refs++;
    pthread_mutex_unlock(&t->lock);
}

void ajf_inode_unref(struct ajf_inodes *t, uint64_t nodeid)
{
    pthread_mutex_lock(&t->lock);
    AJF_MUST(ajf_inode_at(t, nodeid)->refs);
    ajf_inode_at(t, nodeid)->refs--;
    release_locked(t, nodeid);
    pthread_mutex_unlock(&t->lock);
}

uint64_t ajf_inodes_end(struct ajf_inodes *t)
{
    pthread_mutex_lock(&t->lock);
    uint64_t end = t->used;
    pthread_mutex_unlock(&t->lock);
    return end;
}

uint64_t ajf_inode_count(struct ajf_inodes *t)
{
    pthread_mutex_lock(&t->lock);
    uint64_t n = t->used - AJF_ROOT - 1;
    for (uint32_t f = t->free_head; f; f = ajf_inode_at(t, f)->hash_next)
        n--;
    pthread_mutex_unlock(&t->lock);
    return n;
}
