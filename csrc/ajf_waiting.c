/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and fetches that wait at one moment. Each list is copied under its own lock, and paths are looked up after
 * that: by then a request may have been answered, and its record forgotten.
 */
#include "ajf.h"

#include <stdlib.h>
#include <string.h>

#include "mount.h"

static uint64_t since(uint64_t then_ns)
{
    uint64_t now = ajf_now_ns();
    return now > then_ns ? now - then_ns : 0;
}

/* NULL: the record has been forgotten, or there is no memory. */
static char *path_of(struct ajf *m, uint64_t nodeid, const char *name)
{
    struct ajf_inode_view v;
    if (ajf_inode_get(&m->inodes, nodeid, &v))
        return NULL;
    return ajf_inode_path(&m->inodes, nodeid, name, name ? strlen(name) : 0);
}

size_t ajf_waiting(struct ajf *m, struct ajf_waiting *ret_waiting, size_t most)
{
    struct ajf_parked *parked = calloc(most, sizeof *parked);
    size_t n = parked ? ajf_waits_copy(&m->waits, parked, most) : 0;
    for (size_t i = 0; i < n; i++)
        ret_waiting[i] = (struct ajf_waiting){.op = ajf_request_name(parked[i].op),
                                              .path = path_of(m, parked[i].nodeid, NULL),
                                              .offset = parked[i].offset,
                                              .size = parked[i].size,
                                              .waited_ns = since(parked[i].start_ns),
                                              .tid = parked[i].tid,
                                              .uid = parked[i].uid};
    free(parked);
    return n;
}

static size_t starved(struct ajf *m, struct ajf_queued *ret_queued, size_t most)
{
    size_t n = 0;
    pthread_mutex_lock(&m->cache.lock);
    AJF_LIST_FOR(l, &m->files.starved)
    {
        if (n == most)
            break;
        ajf_fetch_copy(AJF_CONTAINER(l, struct ajf_fetch, link), &ret_queued[n++]);
    }
    ajf_cache_unlock(&m->cache);
    return n;
}

size_t ajf_untaken(struct ajf *m, struct ajf_untaken *ret_untaken, size_t most)
{
    struct ajf_queued *queued = calloc(most, sizeof *queued);
    size_t without = queued ? starved(m, queued, most) : 0;
    size_t n = queued ? without + ajf_queue_copy(&m->queue, queued + without, most - without) : 0;
    for (size_t i = 0; i < n; i++)
        ret_untaken[i] = (struct ajf_untaken){
            .path = path_of(m, queued[i].nodeid, queued[i].name[0] ? queued[i].name : NULL),
            .info = queued[i].info,
            .waited_ns = since(queued[i].queued_ns),
            .starved = i < without};
    free(queued);
    return n;
}
