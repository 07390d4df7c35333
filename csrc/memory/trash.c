/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/trash.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/passthrough.h"
#include "base/sync.h"

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

struct ajf_waste *ajf_trash_join(struct ajf_waste *a, struct ajf_waste *b)
{
    struct ajf_waste **end = &a;
    while (*end)
        end = &(*end)->next;
    *end = b;
    return a;
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

/* Waste that a thread disposes of while another thread waits for it. The last of the two frees this. */
struct disposal {
    struct ajf_waste *first; /* the thread's */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done AJF_GUARDED_BY(lock);  /* all is disposed of */
    bool alone AJF_GUARDED_BY(lock); /* nobody waits any more */
};

static void disposal_free(struct disposal *d)
{
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static void *work_off(void *arg)
{
    struct disposal *d = arg;
    ajf_trash_dispose(d->first);
    pthread_mutex_lock(&d->lock);
    bool alone = d->alone;
    d->done = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    if (alone)
        disposal_free(d);
    return NULL;
}

int ajf_trash_dispose_until(struct ajf_waste *first, uint64_t deadline_ns)
{
    pthread_t thread;
    bool more = true;
    for (struct ajf_waste *w = first; w; w = w->next)
        ajf_memfile_done(&w->memory);
    struct disposal *d = first ? malloc(sizeof *d) : NULL;
    if (!d) {
        ajf_trash_dispose(first);
        return 0;
    }
    *d = (struct disposal){.first = first};
    pthread_mutex_init(&d->lock, NULL);
    ajf_cond_init(&d->changed);
    if (pthread_create(&thread, NULL, work_off, d)) {
        ajf_trash_dispose(first);
        disposal_free(d);
        return 0;
    }
    pthread_mutex_lock(&d->lock);
    while (!d->done && more)
        more = ajf_cond_wait_until(&d->changed, &d->lock, deadline_ns);
    bool done = d->done;
    d->alone = !done;
    pthread_mutex_unlock(&d->lock);
    if (!done) {
        pthread_detach(thread);
        return -ETIMEDOUT;
    }
    pthread_join(thread, NULL);
    disposal_free(d);
    return 0;
}
