/* SPDX-License-Identifier: Apache-2.0 */
/* A mistake that `make c-locks` must report: a field is written without its lock. */
#include "base/sync.h"

struct counter {
    pthread_mutex_t lock;
    int n AJF_GUARDED_BY(lock);
};

void count(struct counter *c);

void count(struct counter *c)
{
    c->n++;
}
