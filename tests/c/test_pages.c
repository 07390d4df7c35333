/* SPDX-License-Identifier: Apache-2.0 */
/* The books of a file's bytes (pages.h): they cost memory as the file is used, not as large as it is. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "memory/pages_inside.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define TIB (MIB * MIB)
#define PAGE_BYTES (2 * MIB)

/* Bytes that are resident of this process. */
static uint64_t resident(void)
{
    unsigned long all, pages;
    FILE *f = fopen("/proc/self/statm", "r");
    NEED(f && fscanf(f, "%lu %lu", &all, &pages) == 2);
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void a_large_file_costs_next_to_nothing_before_its_first_byte(void)
{
    struct ajf_pages p;
    ajf_pages_init(&p);
    uint64_t before = resident();
    NEED(!ajf_pages_begin(&p, TIB, PAGE_BYTES, false));
    CHECK_EQ(p.n_pages, TIB / PAGE_BYTES);
    uint64_t begun = resident();
    CHECK(begun - before < MIB);
    for (uint64_t at = 0; at < TIB; at += TIB / 8)
        NEED(!ajf_pages_make(&p, at, 8 * MIB));
    printf("a file of 1 TiB: %llu KiB before its first byte, %llu KiB with eight places in use\n",
           (unsigned long long)((begun - before) / KIB), (unsigned long long)((resident() - before) / KIB));
    CHECK(resident() - before < 2 * MIB);
    ajf_pages_done(&p);
}

static void a_page_has_its_place_when_it_is_first_used(void)
{
    struct ajf_pages p;
    ajf_pages_init(&p);
    NEED(!ajf_pages_begin(&p, 1001 * MIB, PAGE_BYTES, false));
    CHECK_EQ(p.n_pages, 501);
    CHECK(!ajf_page_at(&p, 1000 * MIB));
    NEED(!ajf_pages_make(&p, 127 * MIB, 2 * MIB)); /* over the end of a leaf */
    CHECK_EQ(ajf_page_at(&p, 127 * MIB)->index, 63);
    CHECK_EQ(ajf_page_at(&p, 128 * MIB)->index, 64);
    CHECK(ajf_page_at(&p, 128 * MIB)->pages == &p);
    NEED(!ajf_pages_make(&p, 1000 * MIB, MIB)); /* the last, shorter leaf */
    CHECK_EQ(ajf_page_at(&p, 1001 * MIB - 1)->index, 500);
    size_t n = 0, in_use = 0;
    FOR_USED_PAGES (&p, page) {
        n++;
        CHECK(page->pages == &p);
    }
    FOR_PAGES (&p, page, 0, 1001 * MIB)
        in_use++;
    CHECK_EQ(n, 64 + 64 + 501 % 64);
    CHECK_EQ(in_use, n);
    ajf_pages_done(&p);
}

static void a_small_file_has_none_of_its_own(void)
{
    struct ajf_pages p;
    ajf_pages_init(&p);
    NEED(!ajf_pages_begin(&p, 100, PAGE_BYTES, true));
    CHECK(p.small && !p.n_pages && p.n_granules == 1 && !p.complete);
    CHECK(!ajf_pages_have(&p, 0, 100));
    ajf_pages_done(&p);
    NEED(!ajf_pages_begin(&p, 0, PAGE_BYTES, true));
    CHECK(p.complete);
    ajf_pages_done(&p);
}

int main(void)
{
    RUN(a_large_file_costs_next_to_nothing_before_its_first_byte);
    RUN(a_page_has_its_place_when_it_is_first_used);
    RUN(a_small_file_has_none_of_its_own);
    CHECK_END();
}
