/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/trash.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/passthrough.h"

struct ajf_waste {
    struct ajf_waste *next;
    struct ajf_memfile memory; /* .fd -1: none */
    struct ajf_extent *extents;
    size_t n_extents;
    int device; /* of the backing id; -1: none */
    uint32_t backing_id;
};

static void end(struct ajf_waste *w)
{
    ajf_memfile_done(&w->memory);
    for (size_t i = 0; i < w->n_extents; i++)
        close(w->extents[i].fd);
    free(w->extents);
    if (w->device >= 0)
        ioctl(w->device, AJF_IOC_BACKING_CLOSE, &w->backing_id);
}

static void add(struct ajf_trash *t, struct ajf_waste waste)
{
    struct ajf_waste *w = malloc(sizeof *w);
    if (!w) {
        end(&waste);
        return;
    }
    *w = waste;
    w->next = t->first;
    t->first = w;
}

void ajf_trash_memory(struct ajf_trash *t, struct ajf_memfile *mem)
{
    struct ajf_memfile memory = *mem;
    *mem = (struct ajf_memfile){.fd = -1};
    add(t, (struct ajf_waste){.memory = memory, .device = -1});
}

void ajf_trash_extents(struct ajf_trash *t, struct ajf_extent *extents, size_t n)
{
    if (extents)
        add(t, (struct ajf_waste){.memory = {.fd = -1}, .extents = extents, .n_extents = n, .device = -1});
}

void ajf_trash_backing_id(struct ajf_trash *t, int fd, uint32_t id)
{
    add(t, (struct ajf_waste){.memory = {.fd = -1}, .device = fd, .backing_id = id});
}

struct ajf_waste *ajf_trash_take(struct ajf_trash *t)
{
    struct ajf_waste *first = t->first;
    t->first = NULL;
    return first;
}

void ajf_trash_free_memory(struct ajf_trash *t)
{
    for (struct ajf_waste *w = t->first; w; w = w->next)
        ajf_memfile_done(&w->memory);
}

void ajf_trash_dispose(struct ajf_waste *first)
{
    while (first) {
        struct ajf_waste *w = first;
        first = w->next;
        end(w);
        free(w);
    }
}
