/* SPDX-License-Identifier: Apache-2.0 */
#include "names/dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "mount.h"

#define TELL_AGAIN_NS (60 * AJF_NS_PER_S)
#define MOST_ASTRAY 4 /* files not read in the order of names, the first two of any reader, before another is tried */

static struct ajf_list *bucket(struct ajf_dirs *d, uint64_t nodeid)
{
    return &d->bucket[nodeid * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

static struct ajf_list *seats(struct ajf_dirs *d, uint64_t nodeid)
{
    return &d->seats[nodeid * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

void ajf_dirs_init(struct ajf_dirs *d, uint64_t most, ajf_dirs_tell tell)
{
    memset(d, 0, sizeof *d);
    d->tell = tell;
    pthread_mutex_init(&d->lock, NULL);
    for (int i = 0; i < AJF_DIR_BUCKETS; i++)
        ajf_list_init(&d->bucket[i]), ajf_list_init(&d->seats[i]);
    ajf_list_init(&d->by_age);
    ajf_list_init(&d->held);
    d->most = most;
}

static void unref_locked(struct ajf *m, struct ajf_listing *l)
{
    AJF_HELD(&m->dirs.lock);
    AJF_MUST(l->refs);
    if (--l->refs)
        return;
    ajf_list_del(&l->by_node);
    ajf_list_del(&l->by_age);
    ajf_inode_unref(&m->inodes, l->nodeid);
    AJF_COUNT(&m->stats, listings_died);
    m->dirs.bytes -= ajf_listing_empty(l);
    ajf_listing_free(l);
}

/* From now on only those that have it open read it, and nothing is looked for ahead of them. */
static void retire_locked(struct ajf *m, struct ajf_listing *l)
{
    AJF_HELD(&m->dirs.lock);
    l->current = l->contents->current = false;
    ajf_list_del(&l->by_age);
    ajf_list_add(&m->dirs.held, &l->by_age);
    m->dirs.kept_bytes -= l->contents->bytes;
    ajf_run_done(&l->run);
    ajf_run_done(&l->run_by_number);
    ajf_ranks_done(&l->by_number);
    unref_locked(m, l);
}

/* Looks at the contents without the lock, until ajf_dir_unref. */
static struct ajf_listing *hold_locked(struct ajf_listing *l)
{
    l->refs++;
    l->busy++;
    return l;
}

/* Frees contents that nobody reads at the moment, until what is held fits the limit. */
static void give_up_locked(struct ajf *m)
{
    AJF_HELD(&m->dirs.lock);
    struct ajf_dirs *d = &m->dirs;
    bool any = false;
    for (struct ajf_list *n = d->held.next; n != &d->held && d->bytes - d->kept_bytes > d->most;) {
        struct ajf_listing *l = AJF_CONTAINER(n, struct ajf_listing, by_age);
        n = n->next;
        if (l->busy || l->contents->current)
            continue;
        ajf_list_del(&l->by_age);
        d->bytes -= ajf_listing_empty(l);
        AJF_COUNT(&m->stats, listings_given_up);
        any = true;
    }
    if (!any || (d->told_ns && ajf_now_ns() - d->told_ns < TELL_AGAIN_NS))
        return;
    d->told_ns = ajf_now_ns();
    ajf_log(&m->log, AJF_LOG_WARN,
            "directories that are open, and have changed since, take more than %llu MiB; reading on in the one that "
            "was read longest ago is ESTALE",
            (unsigned long long)(d->most >> 20));
}

void ajf_dirs_clear(struct ajf *m)
{
    struct ajf_dirs *d = &m->dirs;
    pthread_mutex_lock(&d->lock);
    for (int i = 0; i < AJF_DIR_BUCKETS; i++) {
        while (!ajf_list_empty(&d->bucket[i])) {
            struct ajf_listing *l = AJF_CONTAINER(d->bucket[i].next, struct ajf_listing, by_node);
            ajf_list_del(&l->by_node);
            ajf_list_del(&l->by_age);
            l->current = false;
            l->refs = 1 + l->busy; /* its last reader frees it */
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
    AJF_HELD(&d->lock);
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

/* Takes the contents of the current snapshot if the directory has not changed, else counts those of its own. */
static void share_contents(struct ajf *m, struct ajf_listing *l)
{
    struct ajf_dirs *d = &m->dirs;
    pthread_mutex_lock(&d->lock);
    struct ajf_listing *old = current_locked(d, l->nodeid);
    if (old)
        hold_locked(old);
    pthread_mutex_unlock(&d->lock);
    bool equal = old && ajf_listing_is_equal(l, old);
    pthread_mutex_lock(&d->lock);
    if (equal)
        ajf_listing_share(l, old);
    else
        d->bytes += l->contents->bytes;
    if (old) {
        old->busy--;
        unref_locked(m, old); /* it may have expired, and is to be compared with all the same */
    }
    pthread_mutex_unlock(&d->lock);
}

int ajf_dir_listed(struct ajf *m, uint64_t nodeid, const struct ajf_entry *entries, size_t n, const char *names,
                   size_t names_len, uint64_t asked_ns, bool offered, struct ajf_listing **ret_l)
{
    struct ajf_dirs *d = &m->dirs;
    struct ajf_listing *l;
    int err = ajf_listing_new(m, nodeid, entries, n, names, names_len, asked_ns, &l);
    if (err)
        return err;
    ajf_inode_ref(&m->inodes, nodeid);
    share_contents(m, l);
    pthread_mutex_lock(&d->lock);
    struct ajf_listing *old = current_locked(d, nodeid);
    bool outdated = offered && (asked_ns <= d->dropped_ns || (old && old->expires_ns >= l->expires_ns));
    if (d->closed || outdated) {
        err = offered ? 0 : -ENOTCONN;
        unref_locked(m, l);
        pthread_mutex_unlock(&d->lock);
        return err;
    }
    /* The question is older than that of the current one: the answer is for those who wait for it, and nobody else. */
    bool overtaken = old && !old->dropped && !offered && asked_ns < old->asked_ns;
    /* A name that has expired here has expired in the kernel. */
    bool compared = old && !overtaken && !offered && l->asked_ns < old->expires_ns;
    if (compared) {
        hold_locked(old);
        hold_locked(l);
    }
    if (old && !overtaken)
        retire_locked(m, old);
    l->offered = offered;
    if (offered)
        l->negative_expires_ns = 0;
    l->dropped = asked_ns <= d->forgotten_ns;
    l->id = count_up(&d->next_id);
    l->edition = ajf_listing_edition(l);
    l->current = l->contents->current = true;
    if (ret_l)
        *ret_l = hold_locked(l);
    d->kept_bytes += l->contents->bytes;
    ajf_list_add(bucket(d, nodeid), &l->by_node);
    ajf_list_add(&d->by_age, &l->by_age);
    if (overtaken) {
        retire_locked(m, l);
        old->contents->current = true; /* they may share them */
    }
    while (!overtaken && d->kept_bytes > d->most && d->by_age.next != &l->by_age)
        retire_locked(m, AJF_CONTAINER(d->by_age.next, struct ajf_listing, by_age));
    give_up_locked(m);
    pthread_mutex_unlock(&d->lock);
    if (compared) {
        ajf_dir_compare(m, old, l);
        ajf_dir_unref(m, old);
        ajf_dir_unref(m, l);
    }
    return 0;
}

static void drop_locked(struct ajf_dirs *d, struct ajf_listing *l)
{
    AJF_HELD(&d->lock);
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
    AJF_HELD(&d->lock);
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
    AJF_HELD(&d->lock);
    struct ajf_listing *l = current_locked(d, nodeid);
    return l && !l->dropped && ajf_now_ns() < l->expires_ns ? l : NULL;
}

int ajf_dir_open(struct ajf *m, uint64_t nodeid, enum ajf_dir_cache *ret_cache, uint64_t *ret_fh)
{
    struct ajf_dirs *d = &m->dirs;
    enum ajf_dir_cache is = AJF_DIR_UNSETTLED;
    bool tells = atomic_load_explicit(&d->tells, memory_order_relaxed);
    struct ajf_seat *seat = calloc(1, sizeof *seat);
    if (!seat)
        return -ENOMEM;
    pthread_mutex_lock(&d->lock);
    struct ajf_listing *l = good_locked(d, nodeid);
    uint32_t token = count_up(&d->next_token), id = l ? l->id : count_up(&d->next_id);
    if (!is_disputed_locked(d, nodeid, l))
        is = ajf_inode_dir_open(&m->inodes, nodeid, l ? l->edition : 0, l && tells ? l->contents->told / 2 : 0, token);
    if (l) {
        l->refs++;
    } else {
        *seat = (struct ajf_seat){.id = id, .nodeid = nodeid, .fills = is == AJF_DIR_FRESH};
        ajf_list_add(seats(d, nodeid), &seat->by_node);
    }
    pthread_mutex_unlock(&d->lock);
    if (l)
        free(seat);
    *ret_cache = is;
    *ret_fh = id | (is == AJF_DIR_FRESH ? (uint64_t)token << 32 : 0);
    return 0;
}

static struct ajf_seat *seat_locked(struct ajf_dirs *d, uint64_t nodeid, uint32_t id)
{
    AJF_HELD(&d->lock);
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
    AJF_HELD(&d->lock);
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
    AJF_HELD(&m->dirs.lock);
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
    AJF_MUST(l->busy);
    l->busy--;
    leave_locked(m, l);
    give_up_locked(m);
    pthread_mutex_unlock(&m->dirs.lock);
}

/* ---------------------------------------------------------------------------------------------------- reading */

/* The snapshot of a handle, with one reference more: its own, or for a seat, from now on, the one that is good now. */
static struct ajf_listing *take_locked(struct ajf *m, uint64_t nodeid, uint64_t fh, struct ajf_listing *listed)
{
    AJF_HELD(&m->dirs.lock);
    struct ajf_dirs *d = &m->dirs;
    struct ajf_seat *seat = seat_locked(d, nodeid, (uint32_t)fh);
    struct ajf_listing *l = seat ? seat->l : find_locked(d, nodeid, (uint32_t)fh);
    if (!l)
        l = listed ? listed : seat ? good_locked(d, nodeid) : NULL;
    if (!l)
        return NULL;
    hold_locked(l);
    if (!l->current && l->contents) {
        ajf_list_del(&l->by_age);
        ajf_list_add(&d->held, &l->by_age);
    }
    if (seat && !seat->l) {
        seat->l = l;
        l->refs++;
    }
    /* From now on the kernel may cache an older snapshot; of a seat that fills nothing it caches none. */
    if (!seat || seat->fills)
        ajf_inode_dir_read(&m->inodes, nodeid, l->edition, (uint32_t)(fh >> 32));
    return l;
}

struct ajf_listing *ajf_dir_take(struct ajf *m, uint64_t nodeid, uint64_t fh, struct ajf_listing *listed)
{
    pthread_mutex_lock(&m->dirs.lock);
    struct ajf_listing *l = take_locked(m, nodeid, fh, listed);
    pthread_mutex_unlock(&m->dirs.lock);
    return l;
}

int ajf_dir_find(struct ajf *m, uint64_t parent, const char *name, size_t len, uint64_t now_ns,
                 struct ajf_attr *ret_attr, uint64_t *ret_expires_ns)
{
    struct ajf_dirs *d = &m->dirs;
    int err = -EAGAIN;
    pthread_mutex_lock(&d->lock);
    const struct ajf_listing *l = current_locked(d, parent);
    if (l && !l->dropped && (now_ns < l->attr_expires_ns || now_ns < l->negative_expires_ns)) {
        size_t i = ajf_listing_find(l, name, len);
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
    size_t i = l && !l->dropped ? ajf_listing_find(l, name, len) : 0;
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
                  ajf_listing_find(l, name, len) == l->n;
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
    AJF_HELD(&m->dirs.lock);
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

/* Notes the file at `place`. Entries between the run and it that are never read are passed over. */
static bool note_locked(const struct ajf *m, const struct ordered *o, size_t place, size_t *ret_from, size_t *ret_to)
{
    AJF_HELD(&m->dirs.lock);
    for (size_t i = place > AJF_RUN_NEAR ? place - AJF_RUN_NEAR : 0; i < place; i++)
        if (i > o->run->front && !is_worth_it(m, &entry_at(o, i)->attr))
            ajf_run_pass(o->run, i);
    return ajf_run_note(o->run, o->l->n, place, ret_from, ret_to);
}

static bool was_asked(const void *listing, size_t place)
{
    const struct ajf_listing *l = listing;
    return ajf_run_has(&l->run, l->by_number.entry_at[place]);
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
        if (!l->current || ajf_run_init(&l->run_by_number, l->n, was_asked, l))
            ajf_ranks_done(&l->by_number);
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
    size_t i = known ? ajf_listing_find(l, name, len) : 0;
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
            hold_locked(l);
        }
    }
    pthread_mutex_unlock(&d->lock);
    if (to_rank) {
        rank_by_number(m, l);
        ajf_dir_unref(m, l);
    }
    return n;
}
