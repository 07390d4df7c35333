/* SPDX-License-Identifier: Apache-2.0 */
#include "dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "meta.h"
#include "mount.h"

#define LEAST_PLUS_BYTES 128 /* one READDIRPLUS entry of the protocol, without its name, has 152 */
#define MOST_ASTRAY 4 /* files not read in the order of names, the first two of any reader, before another is tried */
#define FIRST_ENTRY 2 /* offsets 0 and 1 are "." and ".." */

static struct ajf_list *bucket(struct ajf_dirs *d, uint64_t nodeid)
{
    return &d->bucket[nodeid * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

static struct ajf_list *seats(struct ajf_dirs *d, uint64_t nodeid)
{
    return &d->seats[nodeid * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

void ajf_dirs_init(struct ajf_dirs *d)
{
    memset(d, 0, sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
    for (int i = 0; i < AJF_DIR_BUCKETS; i++)
        ajf_list_init(&d->bucket[i]), ajf_list_init(&d->seats[i]);
    ajf_list_init(&d->by_age);
}

static void unref_locked(struct ajf *m, struct ajf_listing *l)
{
    if (--l->refs)
        return;
    ajf_list_del(&l->by_node);
    ajf_inode_unref(&m->inodes, l->nodeid);
    AJF_COUNT(&m->stats, listings_died);
    ajf_run_done(&l->run);
    ajf_run_done(&l->run_by_number);
    ajf_ranks_done(&l->by_number);
    free(l->entries);
    free(l->names);
    free(l);
}

static void retire_locked(struct ajf *m, struct ajf_listing *l)
{
    l->current = false;
    ajf_list_del(&l->by_age);
    m->dirs.kept_bytes -= l->bytes;
    unref_locked(m, l);
}

void ajf_dirs_clear(struct ajf *m)
{
    struct ajf_dirs *d = &m->dirs;
    pthread_mutex_lock(&d->lock);
    for (int i = 0; i < AJF_DIR_BUCKETS; i++) {
        while (!ajf_list_empty(&d->bucket[i])) {
            struct ajf_listing *l = AJF_CONTAINER(d->bucket[i].next, struct ajf_listing, by_node);
            if (l->current)
                ajf_list_del(&l->by_age);
            l->refs = 1;
            unref_locked(m, l);
        }
        struct ajf_list *seat;
        while ((seat = ajf_list_pop(&d->seats[i])))
            free(AJF_CONTAINER(seat, struct ajf_seat, by_node));
    }
    d->kept_bytes = 0;
    d->closed = true;
    pthread_mutex_unlock(&d->lock);
}

void ajf_dirs_done(struct ajf_dirs *d)
{
    pthread_mutex_destroy(&d->lock);
}

static struct ajf_listing *current_locked(struct ajf_dirs *d, uint64_t nodeid)
{
    AJF_LIST_FOR(n, bucket(d, nodeid))
    {
        struct ajf_listing *l = AJF_CONTAINER(n, struct ajf_listing, by_node);
        if (l->nodeid == nodeid && l->current)
            return l;
    }
    return NULL;
}

static uint32_t count_up(uint32_t *counter)
{
    *counter += 1 + (*counter == UINT32_MAX);
    return *counter;
}

/* --------------------------------------------------------------------------------------------------- building */

struct sort_key {
    uint64_t head; /* first eight bytes of the name, big-endian: decides most comparisons */
    const char *name;
    uint32_t len, index;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c ? c : (a_len > b_len) - (a_len < b_len);
}

static int compare_keys(const void *va, const void *vb)
{
    const struct sort_key *a = va, *b = vb;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    int c = compare_names(a->name, a->len, b->name, b->len);
    return c ? c : (a->index > b->index) - (a->index < b->index); /* of equals the first stays first */
}

static uint64_t head_of(const char *name, size_t len)
{
    unsigned char head[8] = {0};
    memcpy(head, name, len < 8 ? len : 8);
    uint64_t h = 0;
    for (int i = 0; i < 8; i++)
        h = h << 8 | head[i];
    return h;
}

static bool is_name(const char *name, size_t len)
{
    return len && len <= AJF_NAME_MAX && !memchr(name, '/', len) && !memchr(name, '\0', len) &&
           !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* What the inode number is (inode.h), or is made of beside the name. */
static uint64_t identity(const struct ajf_attr *a)
{
    return a->ino ? a->ino : S_ISDIR(a->mode) ? 0 : a->version;
}

/* Copies the entries in order of their names; names that no file can have are left out and counted. */
static int copy_sorted(struct ajf_listing *l, const struct ajf_entry *entries, size_t n, size_t names_len,
                       size_t *ret_skipped)
{
    struct sort_key *keys = malloc((n + 1) * sizeof *keys);
    l->entries = malloc((n + 1) * sizeof *l->entries);
    if (!keys || !l->entries) {
        free(keys);
        return -ENOMEM;
    }
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        const volatile struct ajf_entry *e = &entries[i];
        uint32_t off = e->name_off, len = e->name_len;
        if (off > names_len || len > names_len - off) {
            free(keys);
            return -EINVAL;
        }
        const char *name = l->names + off;
        if (is_name(name, len))
            keys[used++] = (struct sort_key){head_of(name, len), name, len, (uint32_t)i};
    }
    qsort(keys, used, sizeof *keys, compare_keys);
    l->stamp = used;
    for (size_t i = 0; i < used; i++) {
        const struct sort_key *k = &keys[i];
        if (i && !compare_names(k->name, k->len, keys[i - 1].name, keys[i - 1].len))
            continue; /* the same name twice: the first wins */
        const struct ajf_entry *e = &entries[k->index];
        l->entries[l->n] = *e;
        l->entries[l->n].name_off = (uint32_t)(k->name - l->names); /* as checked: the caller's memory may change */
        l->entries[l->n++].name_len = k->len;
        uint64_t h = mix(mix(l->stamp, k->head), identity(&e->attr)) ^ (e->attr.mode & 0170000);
        for (size_t c = 8; c < k->len; c++)
            h = (h ^ (unsigned char)k->name[c]) * UINT64_C(0x100000001b3);
        l->stamp = mix(h, k->len);
    }
    *ret_skipped = n - used;
    free(keys);
    return 0;
}

static int listing_new(struct ajf *m, uint64_t nodeid, const struct ajf_entry *entries, size_t n, const char *names,
                       size_t names_len, uint64_t asked_ns, struct ajf_listing **ret_l)
{
    struct ajf_listing *l = calloc(1, sizeof *l);
    size_t skipped = 0;
    if (!l)
        return -ENOMEM;
    l->names = malloc(names_len + 1);
    if (l->names && names_len) /* without entries there may be no names at all */
        memcpy(l->names, names, names_len);
    int err = l->names ? copy_sorted(l, entries, n, names_len, &skipped) : -ENOMEM;
    if (err) {
        free(l->entries);
        free(l->names);
        free(l);
        return err;
    }
    if (skipped) {
        char *path = ajf_inode_path(&m->inodes, nodeid, NULL, 0);
        ajf_log(&m->log, AJF_LOG_WARN, "%s: %zu entries have names that no file can have; they are not shown",
                path ? path : "?", skipped);
        free(path);
    }
    l->nodeid = nodeid;
    l->asked_ns = asked_ns;
    l->bytes = sizeof *l + l->n * sizeof *l->entries + names_len;
    l->expires_ns = asked_ns + m->options.entry_timeout_ns;
    l->attr_expires_ns = asked_ns + m->options.attr_timeout_ns;
    l->negative_expires_ns = asked_ns + m->options.negative_timeout_ns;
    l->refs = 1;
    ajf_list_init(&l->by_node);
    ajf_list_init(&l->by_age);
    AJF_COUNT(&m->stats, listings_born);
    *ret_l = l;
    return 0;
}

/* A name that one of two snapshots has: what was learnt of it before the newer one counts no longer. */
static void renounce(struct ajf *m, const struct ajf_listing *l, size_t i, uint64_t learnt_ns)
{
    const struct ajf_entry *e = &l->entries[i];
    const char *name = l->names + e->name_off;
    uint64_t nodeid = ajf_inode_outdate(&m->inodes, l->nodeid, name, e->name_len, learnt_ns);
    if (nodeid)
        ajf_notify_name(&m->notify, l->nodeid, name, e->name_len, nodeid, S_ISDIR(e->attr.mode));
}

static void compare_snapshots(struct ajf *m, const struct ajf_listing *old, const struct ajf_listing *new)
{
    uint64_t learnt_ns = new->attr_expires_ns;
    for (size_t a = 0, b = 0; a < old->n || b < new->n;) {
        const struct ajf_entry *ea = &old->entries[a], *eb = &new->entries[b];
        int c = a == old->n ? 1
                : b == new->n ? -1
                              : compare_names(old->names + ea->name_off, ea->name_len, new->names + eb->name_off, eb->name_len);
        if (c < 0)
            renounce(m, old, a, learnt_ns);
        else if (c > 0)
            renounce(m, new, b, learnt_ns);
        a += c <= 0;
        b += c >= 0;
    }
}

int ajf_dir_listed(struct ajf *m, uint64_t nodeid, const struct ajf_entry *entries, size_t n, const char *names,
                   size_t names_len, uint64_t asked_ns, bool offered, struct ajf_listing **ret_l)
{
    struct ajf_dirs *d = &m->dirs;
    struct ajf_listing *l;
    int err = listing_new(m, nodeid, entries, n, names, names_len, asked_ns, &l);
    if (err)
        return err;
    ajf_inode_ref(&m->inodes, nodeid);
    pthread_mutex_lock(&d->lock);
    struct ajf_listing *old = current_locked(d, nodeid);
    bool outdated = offered && (asked_ns <= d->dropped_ns || (old && old->expires_ns >= l->expires_ns));
    if (d->closed || outdated) {
        err = offered ? 0 : -ENOTCONN;
        unref_locked(m, l);
        pthread_mutex_unlock(&d->lock);
        return err;
    }
    /* What has expired here has expired in the kernel. */
    bool compared = old && !offered && l->asked_ns < old->expires_ns;
    if (compared) {
        old->refs++;
        l->refs++;
    }
    if (old)
        retire_locked(m, old);
    l->offered = offered;
    if (offered)
        l->negative_expires_ns = 0;
    l->dropped = asked_ns <= d->forgotten_ns;
    l->id = count_up(&d->next_id);
    l->edition = mix(l->stamp, l->id);
    l->current = true;
    if (ret_l) {
        l->refs++;
        *ret_l = l;
    }
    d->kept_bytes += l->bytes;
    ajf_list_add(bucket(d, nodeid), &l->by_node);
    ajf_list_add(&d->by_age, &l->by_age);
    while (d->kept_bytes > AJF_DIR_KEEP_BYTES && d->by_age.next != &l->by_age)
        retire_locked(m, AJF_CONTAINER(d->by_age.next, struct ajf_listing, by_age));
    pthread_mutex_unlock(&d->lock);
    if (compared) {
        compare_snapshots(m, old, l);
        pthread_mutex_lock(&d->lock);
        unref_locked(m, old);
        unref_locked(m, l);
        pthread_mutex_unlock(&d->lock);
    }
    return 0;
}

static void drop_locked(struct ajf_dirs *d, struct ajf_listing *l)
{
    d->dropped_ns = ajf_now_ns();
    if (l)
        l->dropped = true;
}

void ajf_dirs_drop(struct ajf_dirs *d, uint64_t nodeid)
{
    pthread_mutex_lock(&d->lock);
    drop_locked(d, current_locked(d, nodeid));
    pthread_mutex_unlock(&d->lock);
}

void ajf_dirs_forget(struct ajf_dirs *d)
{
    pthread_mutex_lock(&d->lock);
    d->forgotten_ns = ajf_now_ns();
    pthread_mutex_unlock(&d->lock);
}

/* -------------------------------------------------------------------------------------------- open and release */

/*
 * Somebody is reading another state of the directory, or will read who knows which: the kernel must not get entries of
 * both, or names that never changed would show twice or not at all. Without `mine` any state is another one.
 */
static bool is_disputed_locked(struct ajf_dirs *d, uint64_t nodeid, const struct ajf_listing *mine)
{
    AJF_LIST_FOR(n, bucket(d, nodeid))
    {
        const struct ajf_listing *l = AJF_CONTAINER(n, struct ajf_listing, by_node);
        if (l->nodeid == nodeid && (mine ? l->stamp != mine->stamp : l->refs > l->current))
            return true;
    }
    AJF_LIST_FOR(n, seats(d, nodeid))
    {
        const struct ajf_seat *seat = AJF_CONTAINER(n, struct ajf_seat, by_node);
        if (seat->nodeid == nodeid && seat->fills && !seat->l)
            return true;
    }
    return false;
}

static struct ajf_listing *good_locked(struct ajf_dirs *d, uint64_t nodeid)
{
    struct ajf_listing *l = current_locked(d, nodeid);
    return l && !l->dropped && ajf_now_ns() < l->expires_ns ? l : NULL;
}

int ajf_dir_open(struct ajf *m, uint64_t nodeid, const struct fuse_file_info *fi, struct fuse_file_info *ret_fi)
{
    struct ajf_dirs *d = &m->dirs;
    enum ajf_dir_cache is = AJF_DIR_UNSETTLED;
    struct ajf_seat *seat = calloc(1, sizeof *seat);
    if (!seat)
        return -ENOMEM;
    pthread_mutex_lock(&d->lock);
    struct ajf_listing *l = good_locked(d, nodeid);
    uint32_t token = count_up(&d->next_token), id = l ? l->id : count_up(&d->next_id);
    if (!is_disputed_locked(d, nodeid, l))
        is = ajf_inode_dir_open(&m->inodes, nodeid, l ? l->edition : 0, token);
    if (l) {
        l->refs++;
    } else {
        *seat = (struct ajf_seat){.id = id, .nodeid = nodeid, .fills = is == AJF_DIR_FRESH};
        ajf_list_add(seats(d, nodeid), &seat->by_node);
    }
    pthread_mutex_unlock(&d->lock);
    if (l)
        free(seat);
    *ret_fi = *fi;
    ret_fi->cache_readdir = is != AJF_DIR_UNSETTLED;
    ret_fi->keep_cache = is != AJF_DIR_FRESH;
    ret_fi->fh = id | (is == AJF_DIR_FRESH ? (uint64_t)token << 32 : 0);
    return 0;
}

static struct ajf_seat *seat_locked(struct ajf_dirs *d, uint64_t nodeid, uint32_t id)
{
    AJF_LIST_FOR(n, seats(d, nodeid))
    {
        struct ajf_seat *seat = AJF_CONTAINER(n, struct ajf_seat, by_node);
        if (seat->nodeid == nodeid && seat->id == id)
            return seat;
    }
    return NULL;
}

static struct ajf_listing *find_locked(struct ajf_dirs *d, uint64_t nodeid, uint32_t id)
{
    struct ajf_listing *current = NULL;
    AJF_LIST_FOR(n, bucket(d, nodeid))
    {
        struct ajf_listing *l = AJF_CONTAINER(n, struct ajf_listing, by_node);
        if (l->nodeid == nodeid && l->id == id)
            return l;
        if (l->nodeid == nodeid && l->current)
            current = l;
    }
    return current;
}

/* An opener or a reader leaves; the last one takes a snapshot with him that nobody can open any more. */
static void leave_locked(struct ajf *m, struct ajf_listing *l)
{
    bool last = l->refs == 1u + l->current;
    if (last && l->current && (l->dropped || ajf_now_ns() >= l->expires_ns))
        retire_locked(m, l);
    unref_locked(m, l);
}

void ajf_dir_release(struct ajf *m, uint64_t nodeid, uint64_t fh)
{
    struct ajf_dirs *d = &m->dirs;
    uint32_t id = (uint32_t)fh;
    pthread_mutex_lock(&d->lock);
    ajf_inode_settle(&m->inodes, nodeid, (uint32_t)(fh >> 32));
    struct ajf_seat *seat = seat_locked(d, nodeid, id);
    struct ajf_listing *l = seat ? seat->l : find_locked(d, nodeid, id);
    if (seat)
        ajf_list_del(&seat->by_node);
    if (l && (seat || l->id == id))
        leave_locked(m, l);
    pthread_mutex_unlock(&d->lock);
    free(seat);
}

void ajf_dir_unopen(struct ajf *m, uint64_t nodeid, uint64_t fh)
{
    if (fh >> 32)
        ajf_inode_dir_read(&m->inodes, nodeid, 0, 0);
    ajf_dir_release(m, nodeid, fh);
}

void ajf_dir_unref(struct ajf *m, struct ajf_listing *l)
{
    pthread_mutex_lock(&m->dirs.lock);
    leave_locked(m, l);
    pthread_mutex_unlock(&m->dirs.lock);
}

/* ---------------------------------------------------------------------------------------------------- reading */

struct packing {
    struct ajf *m;
    fuse_req_t req;
    const struct ajf_listing *l;
    uint64_t now;
    bool plus;
    char *buffer;
    size_t size, used;
    uint64_t *given; /* nodeids whose lookup count this reply carries */
    size_t n_given;
};

static bool pack_dot(struct packing *p, const char *name, uint64_t number, uint64_t next)
{
    struct fuse_entry_param e = {.attr = {.st_ino = number, .st_mode = S_IFDIR}};
    size_t left = p->size - p->used;
    size_t n = p->plus ? fuse_add_direntry_plus(p->req, p->buffer + p->used, left, name, &e, (off_t)next)
                       : fuse_add_direntry(p->req, p->buffer + p->used, left, name, &e.attr, (off_t)next);
    if (n > left)
        return false;
    p->used += n;
    return true;
}

/* 1 packed, 0 full, -errno. */
static int pack_entry(struct packing *p, size_t i)
{
    const struct ajf_entry *entry = &p->l->entries[i];
    const char *at = p->l->names + entry->name_off;
    char name[AJF_NAME_MAX + 1];
    size_t left = p->size - p->used, n;
    off_t next = (off_t)(i + 1 + FIRST_ENTRY);
    memcpy(name, at, entry->name_len);
    name[entry->name_len] = '\0';
    struct stat st = {.st_mode = entry->attr.mode};
    if (!p->plus || !entry->attr.nlink)
        st.st_ino = ajf_inode_number(&p->m->inodes, p->l->nodeid, name, entry->name_len, &entry->attr);
    struct fuse_entry_param e = {.attr = st};
    if (!p->plus) {
        n = fuse_add_direntry(p->req, p->buffer + p->used, left, name, &st, next);
        if (n > left)
            return 0;
        p->used += n;
        return 1;
    }
    if (fuse_add_direntry_plus(p->req, NULL, 0, name, &e, next) > left)
        return 0;
    if (!entry->attr.nlink) { /* attributes unknown: inode 0 makes it a plain entry */
        p->used += fuse_add_direntry_plus(p->req, p->buffer + p->used, left, name, &e, next);
        return 1;
    }
    struct ajf_inode_view v;
    int err = ajf_inode_bind(&p->m->inodes, p->l->nodeid, name, entry->name_len, &entry->attr, p->l->attr_expires_ns,
                             true, &v);
    if (err == -ENOENT) { /* since then it was told to be gone */
        p->used += fuse_add_direntry_plus(p->req, p->buffer + p->used, left, name, &e, next);
        return 1;
    }
    if (err)
        return err;
    /* Looked at after binding: whoever drops it and then forgets the names finds this one, or this finds it dropped. */
    if (p->l->dropped && ajf_inode_outdate(&p->m->inodes, p->l->nodeid, name, entry->name_len, p->l->attr_expires_ns + 1))
        v.expires_ns = 0;
    ajf_meta_fill_entry(p->m, &v, p->now, &e);
    p->used += fuse_add_direntry_plus(p->req, p->buffer + p->used, left, name, &e, next);
    p->given[p->n_given++] = v.nodeid;
    return 1;
}

static int pack(struct packing *p, uint64_t offset)
{
    struct ajf_inodes *inodes = &p->m->inodes;
    struct ajf_inode_view v;
    int err = ajf_inode_get(inodes, p->l->nodeid, &v);
    if (err)
        return err;
    if (offset == 0 && !pack_dot(p, ".", v.attr.ino, 1))
        return 0;
    if (offset <= 1 && !pack_dot(p, "..", ajf_inode_number_above(inodes, p->l->nodeid), FIRST_ENTRY))
        return 0;
    size_t i = offset > FIRST_ENTRY ? (size_t)(offset - FIRST_ENTRY) : 0;
    for (int more = 1; i < p->l->n && more > 0; i++) {
        more = pack_entry(p, i);
        if (more < 0)
            return p->used ? 0 : more;
    }
    return 0;
}

static int read_listing(struct ajf *m, fuse_req_t req, const struct ajf_listing *l, size_t size, uint64_t offset,
                        bool plus)
{
    struct packing p = {.m = m, .req = req, .l = l, .now = ajf_now_ns(), .plus = plus, .size = size};
    p.buffer = malloc(size);
    p.given = malloc((size / LEAST_PLUS_BYTES + 1) * sizeof *p.given);
    int err = p.buffer && p.given ? pack(&p, offset) : -ENOMEM;
    if (!err && fuse_reply_buf(req, p.buffer, p.used) < 0) {
        AJF_COUNT_ADD(&m->stats, lookup_undone, p.n_given);
        for (size_t i = 0; i < p.n_given; i++)
            ajf_inode_forget(&m->inodes, p.given[i], 1);
    }
    free(p.given);
    free(p.buffer);
    return err;
}

/* What a handle reads from, with one reference more: what it has, or for a seat, from now on, what is good now. */
static struct ajf_listing *take_locked(struct ajf *m, uint64_t nodeid, uint64_t fh, struct ajf_listing *listed)
{
    struct ajf_dirs *d = &m->dirs;
    struct ajf_seat *seat = seat_locked(d, nodeid, (uint32_t)fh);
    struct ajf_listing *l = seat ? seat->l : find_locked(d, nodeid, (uint32_t)fh);
    if (!l)
        l = listed ? listed : seat ? good_locked(d, nodeid) : NULL;
    if (!l)
        return NULL;
    l->refs++;
    if (seat && !seat->l) {
        seat->l = l;
        l->refs++;
    }
    /* What the kernel caches from now on may be an older snapshot's; of a seat that fills nothing it caches none. */
    if (!seat || seat->fills)
        ajf_inode_dir_read(&m->inodes, nodeid, l->edition, (uint32_t)(fh >> 32));
    return l;
}

bool ajf_dir_read(struct ajf *m, fuse_req_t req, uint64_t nodeid, uint64_t fh, size_t size, uint64_t offset, bool plus,
                  struct ajf_listing *listed)
{
    pthread_mutex_lock(&m->dirs.lock);
    struct ajf_listing *l = take_locked(m, nodeid, fh, listed);
    pthread_mutex_unlock(&m->dirs.lock);
    if (!l)
        return false;
    int err = read_listing(m, req, l, size, offset, plus);
    if (err)
        fuse_reply_err(req, -err);
    ajf_dir_unref(m, l); /* the reply was quicker than this: the last RELEASEDIR may have come and gone */
    return true;
}

/* The index of a name; n when it is not there. */
static size_t index_of(const struct ajf_listing *l, const char *name, size_t len)
{
    size_t lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ajf_entry *e = &l->entries[mid];
        int c = compare_names(name, len, l->names + e->name_off, e->name_len);
        if (!c)
            return mid;
        if (c > 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return l->n;
}

int ajf_dir_find(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t now_ns,
                 struct ajf_attr *ret_attr, uint64_t *ret_expires_ns)
{
    struct ajf_dirs *d = &m->dirs;
    int err = -EAGAIN;
    pthread_mutex_lock(&d->lock);
    const struct ajf_listing *l = current_locked(d, parent);
    if (l && !l->dropped && (now_ns < l->attr_expires_ns || now_ns < l->negative_expires_ns)) {
        size_t i = index_of(l, name, len);
        if (i < l->n && now_ns < l->attr_expires_ns && l->entries[i].attr.nlink) {
            *ret_attr = l->entries[i].attr;
            *ret_expires_ns = l->attr_expires_ns;
            err = 0;
        } else if (i == l->n && now_ns < l->negative_expires_ns) {
            *ret_expires_ns = l->negative_expires_ns;
            err = -ENOENT;
        }
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

static bool says_so(const struct ajf_listing *l, size_t i, const struct ajf_attr *attr)
{
    if (i == l->n || !attr)
        return i == l->n && !attr;
    const struct ajf_attr *listed = &l->entries[i].attr;
    if ((listed->mode ^ attr->mode) & S_IFMT)
        return false;
    return S_ISDIR(attr->mode) || !listed->nlink || !attr->nlink || listed->version == attr->version;
}

enum ajf_dir_said ajf_dir_hear(struct ajf *m, uint64_t parent, const char *name, size_t len,
                               const struct ajf_attr *attr, uint64_t asked_ns)
{
    struct ajf_dirs *d = &m->dirs;
    enum ajf_dir_said said = AJF_DIR_SAYS_SO;
    if (attr && !attr->nlink && !attr->version)
        return said;
    pthread_mutex_lock(&d->lock);
    struct ajf_listing *l = current_locked(d, parent);
    size_t i = l && !l->dropped ? index_of(l, name, len) : 0;
    if (l && !l->dropped && !says_so(l, i, attr)) {
        bool newer = l->asked_ns > asked_ns && !(l->offered && i == l->n);
        said = newer ? AJF_DIR_KNOWS_BETTER : AJF_DIR_SAID_OTHERWISE;
        if (!newer)
            drop_locked(d, l);
    }
    pthread_mutex_unlock(&d->lock);
    return said;
}

bool ajf_dir_denies(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t now_ns, uint64_t expires_ns)
{
    struct ajf_dirs *d = &m->dirs;
    pthread_mutex_lock(&d->lock);
    const struct ajf_listing *l = current_locked(d, parent);
    bool denies = l && !l->dropped && !l->offered && now_ns < l->expires_ns && expires_ns < l->attr_expires_ns &&
                  index_of(l, name, len) == l->n;
    pthread_mutex_unlock(&d->lock);
    return denies;
}

/* ------------------------------------------------------------------------------------------------ reading ahead */

static bool is_worth_it(const struct ajf *m, const struct ajf_attr *a)
{
    return S_ISREG(a->mode) && a->nlink && a->size && a->size <= m->lazy_open_bytes;
}

/* The files of a listing in one of its orders. */
struct ordered {
    struct ajf_listing *l;
    struct ajf_run *run;
    const uint32_t *entry_at; /* NULL: as they are listed */
};

static const struct ajf_entry *entry_at(const struct ordered *o, size_t place)
{
    return &o->l->entries[o->entry_at ? o->entry_at[place] : place];
}

/* Looks through the places [from, to). */
static size_t pick_locked(struct ajf *m, const struct ordered *o, size_t from, size_t to, uint64_t room,
                          struct ajf_dir_pick *ret_picks, size_t most)
{
    size_t n = 0;
    for (size_t i = from; i < to && n < most; i++) {
        const struct ajf_entry *e = entry_at(o, i);
        if (is_worth_it(m, &e->attr) && !ajf_run_has(o->run, i)) {
            if (e->attr.size > room)
                break;
            room -= e->attr.size;
            ret_picks[n].attr = e->attr;
            ret_picks[n].len = e->name_len;
            memcpy(ret_picks[n++].name, o->l->names + e->name_off, e->name_len);
        }
        o->run->begun = i + 1;
    }
    return n;
}

/* Notes the file at `place`. What lies between the run and it, and nobody will ask to be read, is passed over. */
static bool note_locked(const struct ajf *m, const struct ordered *o, size_t place, size_t *ret_from, size_t *ret_to)
{
    for (size_t i = place > AJF_RUN_NEAR ? place - AJF_RUN_NEAR : 0; i < place; i++)
        if (i > o->run->front && !is_worth_it(m, &entry_at(o, i)->attr))
            ajf_run_pass(o->run, i);
    return ajf_run_note(o->run, o->l->n, place, ret_from, ret_to);
}

/* Puts the entries of a listing, of which the caller has a reference, in the order of their inode numbers. */
static void rank_by_number(struct ajf *m, struct ajf_listing *l)
{
    struct ajf_ranks ranks = {NULL, NULL};
    uint64_t *numbers = malloc((l->n + 1) * sizeof *numbers);
    for (size_t i = 0; numbers && i < l->n; i++) {
        const struct ajf_entry *e = &l->entries[i];
        numbers[i] = ajf_inode_number(&m->inodes, l->nodeid, l->names + e->name_off, e->name_len, &e->attr);
    }
    if (numbers && !ajf_ranks_make(numbers, l->n, &ranks)) {
        pthread_mutex_lock(&m->dirs.lock);
        l->by_number = ranks; /* this is done once */
        pthread_mutex_unlock(&m->dirs.lock);
    }
    free(numbers);
}

size_t ajf_dir_ahead(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t room,
                     struct ajf_dir_pick *ret_picks, size_t most)
{
    struct ajf_dirs *d = &m->dirs;
    size_t n = 0, from, to, numbered_from, numbered_to;
    bool to_rank = false;
    pthread_mutex_lock(&d->lock);
    struct ajf_listing *l = current_locked(d, parent);
    bool known = l && !l->dropped && ajf_now_ns() < l->attr_expires_ns;
    size_t i = known ? index_of(l, name, len) : 0;
    if (known && i < l->n) {
        struct ordered named = {l, &l->run, NULL}, numbered = {l, &l->run_by_number, l->by_number.entry_at};
        bool more = note_locked(m, &named, i, &from, &to);
        bool more_numbered = numbered.entry_at &&
                             note_locked(m, &numbered, l->by_number.place_of[i], &numbered_from, &numbered_to);
        if (ajf_run_in_order(&l->run)) {
            if (more)
                n = pick_locked(m, &named, from, to, room, ret_picks, most);
        } else if (more_numbered) {
            n = pick_locked(m, &numbered, numbered_from, numbered_to, room, ret_picks, most);
        } else if (!numbered.entry_at && ++l->astray == MOST_ASTRAY) {
            to_rank = true;
            l->refs++;
        }
    }
    pthread_mutex_unlock(&d->lock);
    if (to_rank) {
        rank_by_number(m, l);
        pthread_mutex_lock(&d->lock);
        leave_locked(m, l);
        pthread_mutex_unlock(&d->lock);
    }
    return n;
}

/* ------------------------------------------------------------------------------------------- told without asking */

int ajf_offer_list(struct ajf *m, const char *path, size_t len, const struct ajf_entry *entries, size_t n,
                   const char *names, size_t names_len, uint64_t age_ns)
{
    uint64_t nodeid = ajf_inode_resolve(&m->inodes, path, len), now = ajf_now_ns();
    struct ajf_inode_view v;
    int err = -ENOENT;
    if (!nodeid)
        return err;
    if (!ajf_inode_get(&m->inodes, nodeid, &v) && S_ISDIR(v.attr.mode) && n <= UINT32_MAX)
        err = ajf_dir_listed(m, nodeid, entries, n, names, names_len, now > age_ns ? now - age_ns : 0, true, NULL);
    ajf_inode_unref(&m->inodes, nodeid);
    return err;
}
