/* SPDX-License-Identifier: Apache-2.0 */
#include "names/inode_numbers.h"

#include <errno.h>
#include <stdlib.h>

#include "names/inode.h"

#define FIRST_BUCKETS 4096 /* 16 KiB; doubled whenever there are as many records */

static uint32_t *bucket(const struct ajf_numbers *s, uint64_t number)
{
    return &s->buckets[number & (s->n_buckets - 1)];
}

static void link_record(struct ajf_numbers *s, struct ajf_inode *records, uint32_t n)
{
    uint32_t *b = bucket(s, records[n].attr.ino);
    records[n].number_next = *b;
    *b = n;
}

static void grow(struct ajf_numbers *s, struct ajf_inode *records)
{
    uint32_t old_n = s->n_buckets, *old = s->buckets;
    uint32_t *grown = calloc(old_n ? (size_t)old_n * 2 : FIRST_BUCKETS, sizeof *grown);
    if (!grown)
        return; /* longer chains, nothing worse */
    s->buckets = grown;
    s->n_buckets = old_n ? old_n * 2 : FIRST_BUCKETS;
    for (uint32_t b = 0; b < old_n; b++) {
        for (uint32_t n = old[b], next; n; n = next) {
            next = records[n].number_next;
            link_record(s, records, n);
        }
    }
    free(old);
}

int ajf_numbers_add(struct ajf_numbers *s, struct ajf_inode *records, uint32_t n)
{
    if (s->n >= s->n_buckets)
        grow(s, records);
    if (!s->buckets)
        return -ENOMEM;
    link_record(s, records, n);
    s->n++;
    return 0;
}

void ajf_numbers_remove(struct ajf_numbers *s, struct ajf_inode *records, uint32_t n)
{
    uint32_t *p = bucket(s, records[n].attr.ino);
    while (*p != n)
        p = &records[*p].number_next;
    *p = records[n].number_next;
    records[n].number_next = 0;
    s->n--;
}

static uint32_t with_number(const struct ajf_inode *records, uint32_t n, uint64_t number)
{
    while (n && records[n].attr.ino != number)
        n = records[n].number_next;
    return n;
}

uint32_t ajf_numbers_first(const struct ajf_numbers *s, const struct ajf_inode *records, uint64_t number)
{
    return s->buckets ? with_number(records, *bucket(s, number), number) : 0;
}

uint32_t ajf_numbers_after(const struct ajf_inode *records, uint32_t n)
{
    return with_number(records, records[n].number_next, records[n].attr.ino);
}

void ajf_numbers_done(struct ajf_numbers *s)
{
    free(s->buckets);
}
