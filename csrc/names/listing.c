/* SPDX-License-Identifier: Apache-2.0 */
#include "names/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mount.h"

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

int ajf_listing_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c ? c : (a_len > b_len) - (a_len < b_len);
}

static int compare_keys(const void *va, const void *vb)
{
    const struct sort_key *a = va, *b = vb;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    int c = ajf_listing_compare(a->name, a->len, b->name, b->len);
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

/* The inode number (inode.h), or the part of it that is not made of the name. */
static uint64_t identity(const struct ajf_attr *a)
{
    return a->ino ? a->ino : S_ISDIR(a->mode) ? 0 : a->version;
}

static void free_contents(struct ajf_contents *c)
{
    free(c->entries);
    free(c->names);
    free(c);
}

static void show(struct ajf_listing *l, struct ajf_contents *c)
{
    l->contents = c;
    l->n = c ? c->n : 0;
    l->entries = c ? c->entries : NULL;
    l->names = c ? c->names : NULL;
}

/* Copies the entries in order of their names; names that no file can have are left out and counted. */
static int copy_sorted(struct ajf_contents *to, const struct ajf_entry *entries, size_t n, size_t names_len,
                       uint64_t *ret_stamp, size_t *ret_skipped)
{
    struct sort_key *keys = malloc((n + 1) * sizeof *keys);
    to->entries = malloc((n + 1) * sizeof *to->entries);
    if (!keys || !to->entries) {
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
        const char *name = to->names + off;
        if (is_name(name, len))
            keys[used++] = (struct sort_key){head_of(name, len), name, len, (uint32_t)i};
    }
    qsort(keys, used, sizeof *keys, compare_keys);
    uint64_t stamp = used;
    for (size_t i = 0; i < used; i++) {
        const struct sort_key *k = &keys[i];
        if (i && !ajf_listing_compare(k->name, k->len, keys[i - 1].name, keys[i - 1].len))
            continue; /* the same name twice: the first wins */
        const struct ajf_entry *e = &entries[k->index];
        to->entries[to->n] = *e;
        to->told += e->attr.nlink && to->n < AJF_LISTING_TOLD;
        to->entries[to->n].name_off = (uint32_t)(k->name - to->names); /* as checked: the caller's memory may change */
        to->entries[to->n++].name_len = k->len;
        uint64_t h = mix(mix(stamp, k->head), identity(&e->attr)) ^ (e->attr.mode & 0170000);
        for (size_t c = 8; c < k->len; c++)
            h = (h ^ (unsigned char)k->name[c]) * UINT64_C(0x100000001b3);
        stamp = mix(h, k->len);
    }
    *ret_stamp = stamp;
    *ret_skipped = n - used;
    free(keys);
    return 0;
}

int ajf_listing_new(struct ajf *m, uint64_t nodeid, const struct ajf_entry *entries, size_t n, const char *names,
                    size_t names_len, uint64_t asked_ns, struct ajf_listing **ret_l)
{
    struct ajf_listing *l = calloc(1, sizeof *l);
    struct ajf_contents *c = calloc(1, sizeof *c);
    size_t skipped = 0;
    int err = -ENOMEM;
    if (l && c && (c->names = malloc(names_len + 1))) {
        if (names_len) /* without entries there may be no names at all */
            memcpy(c->names, names, names_len);
        err = copy_sorted(c, entries, n, names_len, &l->stamp, &skipped);
    }
    if (err) {
        if (c)
            free_contents(c);
        free(l);
        return err;
    }
    c->bytes = sizeof *c + c->n * sizeof *c->entries + names_len;
    c->refs = 1;
    show(l, c);
    if (skipped) {
        char *path = ajf_inode_path(&m->inodes, nodeid, NULL, 0);
        ajf_log(&m->log, AJF_LOG_WARN, "%s: %zu entries have names that no file can have; they are not shown",
                path ? path : "?", skipped);
        free(path);
    }
    l->nodeid = nodeid;
    l->asked_ns = asked_ns;
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

bool ajf_listing_is_equal(const struct ajf_listing *a, const struct ajf_listing *b)
{
    if (a->stamp != b->stamp || a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct ajf_entry *ea = &a->entries[i], *eb = &b->entries[i];
        if (memcmp(&ea->attr, &eb->attr, sizeof ea->attr) ||
            ajf_listing_compare(a->names + ea->name_off, ea->name_len, b->names + eb->name_off, eb->name_len))
            return false;
    }
    return true;
}

void ajf_listing_share(struct ajf_listing *l, const struct ajf_listing *as)
{
    struct ajf_contents *shared = as->contents;
    shared->refs++;
    ajf_listing_empty(l);
    show(l, shared);
}

uint64_t ajf_listing_empty(struct ajf_listing *l)
{
    struct ajf_contents *c = l->contents;
    uint64_t freed = 0;
    show(l, NULL);
    if (c && !--c->refs) {
        freed = c->bytes;
        free_contents(c);
    }
    return freed;
}

void ajf_listing_free(struct ajf_listing *l)
{
    ajf_listing_empty(l);
    ajf_run_done(&l->run);
    ajf_run_done(&l->run_by_number);
    ajf_ranks_done(&l->by_number);
    free(l);
}

uint64_t ajf_listing_edition(const struct ajf_listing *l)
{
    return mix(l->stamp, l->id);
}

size_t ajf_listing_find(const struct ajf_listing *l, const char *name, size_t len)
{
    size_t lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ajf_entry *e = &l->entries[mid];
        int c = ajf_listing_compare(name, len, l->names + e->name_off, e->name_len);
        if (!c)
            return mid;
        if (c > 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return l->n;
}
