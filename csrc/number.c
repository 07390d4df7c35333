/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inode.h"

#define FIRST_BUCKETS 4096 /* 16 KiB; doubled whenever there are as many records */
#define LOWEST (UINT64_C(1) << 62)

uint64_t ajf_number_mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

uint64_t ajf_number_mix_name(uint64_t h, const char *name, size_t len)
{
    uint64_t word;
    h = ajf_number_mix(h, len + 1);
    for (; len >= sizeof word; name += sizeof word, len -= sizeof word) {
        memcpy(&word, name, sizeof word);
        h = ajf_number_mix(h, word);
    }
    word = 0;
    memcpy(&word, name, len);
    return len ? ajf_number_mix(h, word) : h;
}

uint64_t ajf_number_of(uint64_t h)
{
    return (h & (LOWEST - 1)) | LOWEST;
}

uint64_t ajf_number_next(uint64_t number)
{
    return ajf_number_of(number + 1);
}

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
