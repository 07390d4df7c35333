/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/readdir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel/reply.h"
#include "mount.h"

#define LEAST_PLUS_BYTES 128 /* one READDIRPLUS entry of the protocol, without its name, has 152 */
#define FIRST_ENTRY 2 /* offsets 0 and 1 are "." and ".." */

struct packing {
    struct ajf *m;
    const struct ajf_request *req;
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
    size_t n = p->plus ? fuse_add_direntry_plus(p->req->fuse, p->buffer + p->used, left, name, &e, (off_t)next)
                       : fuse_add_direntry(p->req->fuse, p->buffer + p->used, left, name, &e.attr, (off_t)next);
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
    bool told = p->plus && entry->attr.nlink && i < AJF_LISTING_TOLD;
    if (!told)
        st.st_ino = ajf_inode_number(&p->m->inodes, p->l->nodeid, name, entry->name_len, &entry->attr);
    struct fuse_entry_param e = {.attr = st};
    if (!p->plus) {
        n = fuse_add_direntry(p->req->fuse, p->buffer + p->used, left, name, &st, next);
        if (n > left)
            return 0;
        p->used += n;
        return 1;
    }
    if (fuse_add_direntry_plus(p->req->fuse, NULL, 0, name, &e, next) > left)
        return 0;
    if (!told) { /* inode 0 makes it a plain entry */
        p->used += fuse_add_direntry_plus(p->req->fuse, p->buffer + p->used, left, name, &e, next);
        return 1;
    }
    struct ajf_inode_view v;
    int err = ajf_inode_bind(&p->m->inodes, p->l->nodeid, name, entry->name_len, &entry->attr, p->l->attr_expires_ns,
                             true, &v);
    if (err == -ENOENT) { /* since then it was told to be gone */
        p->used += fuse_add_direntry_plus(p->req->fuse, p->buffer + p->used, left, name, &e, next);
        return 1;
    }
    if (err)
        return err;
    /* Looked at after binding: a thread that drops it, then forgets names, finds this one, or is found here. */
    if (p->l->dropped &&
        ajf_inode_outdate(&p->m->inodes, p->l->nodeid, name, entry->name_len, p->l->attr_expires_ns + 1))
        v.expires_ns = 0;
    ajf_reply_fill_entry(p->m, &v, p->now, &e);
    p->used += fuse_add_direntry_plus(p->req->fuse, p->buffer + p->used, left, name, &e, next);
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

/* 0: the request was answered. -ENOMEM, -ESTALE: it was not. */
static int reply(struct ajf *m, const struct ajf_request *req, const struct ajf_listing *l)
{
    struct packing p = {.m = m, .req = req, .l = l, .now = ajf_now_ns(), .size = req->size};
    p.plus = req->op == AJF_OP_READDIRPLUS;
    p.buffer = malloc(p.size);
    p.given = malloc((p.size / LEAST_PLUS_BYTES + 1) * sizeof *p.given);
    int err = p.buffer && p.given ? pack(&p, req->offset) : -ENOMEM;
    if (!err)
        ajf_reply_names(m, req, p.buffer, p.used, p.given, p.n_given);
    free(p.given);
    free(p.buffer);
    return err;
}

bool ajf_readdir(struct ajf *m, const struct ajf_request *req, uint64_t fh, struct ajf_listing *listed)
{
    struct ajf_listing *l = ajf_dir_take(m, req->nodeid, fh, listed);
    if (!l)
        return false;
    int err = l->contents ? reply(m, req, l) : -ESTALE; /* held: it stays so */
    if (err)
        ajf_reply_err(m, req, -err);
    ajf_dir_unref(m, l); /* the reply was quicker than this: the last RELEASEDIR may have come and gone */
    return true;
}
