/* SPDX-License-Identifier: Apache-2.0 */
/* fake_dir.h - listings for fake_kernel.h: what the source answers, and what OPENDIR and READDIR(PLUS) bring. */
#ifndef FAKE_DIR_H
#define FAKE_DIR_H

#include "fake_kernel.h"

#define HOUR_NS (UINT64_C(3600) * 1000000000)

static struct fake k;

struct source_list {
    struct ajf_entry *entries;
    char *names;
    size_t n, room, names_len;
};

static inline void list_add(struct source_list *l, const char *name, size_t len, uint64_t ino)
{
    if (l->n == l->room) {
        l->room = l->room ? l->room * 2 : 64;
        l->entries = realloc(l->entries, l->room * sizeof *l->entries);
        l->names = realloc(l->names, l->room * (AJF_NAME_MAX + 5));
        NEED(l->entries && l->names);
    }
    struct ajf_attr attr = fake_attr(ino, ino);
    attr.ino = ino;
    l->entries[l->n++] = (struct ajf_entry){attr, (uint32_t)l->names_len, (uint32_t)len};
    memcpy(l->names + l->names_len, name, len);
    l->names_len += len;
}

static inline void list_add_text(struct source_list *l, const char *name, uint64_t ino)
{
    list_add(l, name, strlen(name), ino);
}

static inline void list_free(struct source_list *l)
{
    free(l->entries);
    free(l->names);
    *l = (struct source_list){0};
}

static inline struct fake_reply ask_dir(const struct fuse_open_out *opened, uint64_t offset, uint32_t size, bool plus,
                                        const struct source_list *l)
{
    struct fuse_read_in in = {.fh = opened->fh, .offset = offset, .size = size};
    uint64_t asked = fake_send(&k, plus ? FUSE_READDIRPLUS : FUSE_READDIR, 1, &in, sizeof in);
    if (l) {
        struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_LIST, NULL);
        CHECK_EQ(ajf_fetch_list(f, l->entries, l->n, l->names, l->names_len), 0);
        ajf_fetch_release(f);
    }
    return fake_reply(&k, asked);
}

/* OPENDIR of the root, which asks nothing. */
static inline struct fuse_open_out take_seat(void)
{
    struct fuse_open_in in = {0};
    struct fuse_open_out out = {0};
    struct fake_reply r = fake_reply(&k, fake_send(&k, FUSE_OPENDIR, 1, &in, sizeof in));
    CHECK_EQ(r.error, 0);
    NEED(r.length >= sizeof out);
    memcpy(&out, r.bytes, sizeof out);
    free(r.bytes);
    CHECK(fake_no_fetch(&k));
    return out;
}

/* And reads some of it: with a list that must come to a LIST, without to none. */
static inline struct fuse_open_out open_dir(const struct source_list *l)
{
    struct fuse_open_out out = take_seat();
    if (l)
        free(ask_dir(&out, 0, 512, false, l).bytes);
    CHECK(fake_no_fetch(&k));
    return out;
}

static inline void close_dir(const struct fuse_open_out *opened)
{
    struct fuse_release_in in = {.fh = opened->fh};
    fake_expect_error(&k, fake_send(&k, FUSE_RELEASEDIR, 1, &in, sizeof in), 0);
}

struct seen {
    char name[AJF_NAME_MAX + 1];
    size_t len;
    uint64_t ino, offset, nodeid;
    uint64_t valid; /* s, of the name */
};

/* One READDIR(PLUS) into `seen`: how many entries; *ret_next is where to go on. */
static inline size_t read_dir(const struct fuse_open_out *opened, uint64_t offset, uint32_t size, bool plus,
                              struct seen *seen, size_t room, uint64_t *ret_next)
{
    struct fake_reply r = ask_dir(opened, offset, size, plus, NULL);
    size_t n = 0, at = 0;
    CHECK_EQ(r.error, 0);
    CHECK(r.length <= size);
    while (at < r.length) {
        struct fuse_entry_out entry = {0};
        struct fuse_dirent d;
        if (plus) {
            memcpy(&entry, r.bytes + at, sizeof entry);
            at += sizeof entry;
        }
        memcpy(&d, r.bytes + at, offsetof(struct fuse_dirent, name));
        NEED(n < room && d.namelen <= AJF_NAME_MAX);
        memcpy(seen[n].name, r.bytes + at + offsetof(struct fuse_dirent, name), d.namelen);
        seen[n].name[d.namelen] = '\0';
        seen[n].len = d.namelen;
        seen[n].ino = d.ino;
        seen[n].offset = d.off;
        seen[n].nodeid = entry.nodeid;
        seen[n].valid = entry.entry_valid;
        *ret_next = d.off;
        at += FUSE_DIRENT_ALIGN(offsetof(struct fuse_dirent, name) + d.namelen);
        n++;
    }
    free(r.bytes);
    return n;
}

static inline size_t read_all(const struct fuse_open_out *opened, uint32_t size, bool plus, struct seen *seen,
                              size_t room)
{
    uint64_t next = 0;
    size_t n = 0, more;
    while ((more = read_dir(opened, next, size, plus, seen + n, room - n, &next)))
        n += more;
    return n;
}

static inline void forget(uint64_t nodeid, uint64_t count)
{
    struct fuse_forget_in in = {.nlookup = count};
    fake_send(&k, FUSE_FORGET, nodeid, &in, sizeof in);
}

static inline struct ajf_options long_lived(void)
{
    struct ajf_options o = fake_options();
    o.attr_timeout_ns = o.entry_timeout_ns = o.negative_timeout_ns = HOUR_NS;
    return o;
}

static inline bool is_cached(const struct fuse_open_out *o)
{
    return o->open_flags & FOPEN_CACHE_DIR;
}

static inline bool keeps_cache(const struct fuse_open_out *o)
{
    return o->open_flags & FOPEN_KEEP_CACHE;
}

#endif
