/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stress_tree.h - the imaginary tree of the stress program: what is in it is a function of names, versions and
 * offsets, so that its source can make any byte up and its readers can check any byte without asking anybody.
 *
 *   /d0 ... /d3     FILES_PER_DIR files each, of all sizes; so has /d2/sub
 *   /huge           HUGE_NAMES small files whose names have all lengths
 *   /l0 ... /l3     symlinks
 *
 * A file of the d directories has a version, which main changes while it runs; those with `flickers` exist only while
 * it is odd. Every granule (4 KiB) begins with a tag and its version and goes on with a piece of the pattern.
 *
 * No locking: constant after tree_init, but for the versions, which are atomics in shared memory.
 */
#ifndef STRESS_TREE_H
#define STRESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"

#define GRANULE 4096u
#define HEADER 16u
#define PATTERN 65536u
#define DIRS 5u
#define FILES_PER_DIR 24u
#define FILES (DIRS * FILES_PER_DIR)
#define HUGE_NAMES 3000u
#define LINKS 4u
#define INO_BASE 1000u
#define INO_HUGE 100000u

static uint8_t tree_pattern[PATTERN + GRANULE];

static inline uint64_t tree_mix(uint64_t a, uint64_t b)
{
    uint64_t state = a * UINT64_C(0xd6e8feb86659fd93) + b;
    return check_random(&state);
}

static void tree_init(void)
{
    uint64_t state = 42;
    for (size_t i = 0; i < sizeof tree_pattern; i += 8) {
        uint64_t word = check_random(&state);
        memcpy(tree_pattern + i, &word, 8);
    }
}

/* ------------------------------------------------------------------------------------------------------ files */

/* Sizes by class: empty, tiny, whole granules, middling (slab), slab's upper end, memory files, long streams. */
static uint64_t file_size(unsigned id, uint64_t version)
{
    uint64_t r = tree_mix(id + 1, version);
    switch (id % 8) {
    case 0:
        return id % 16 ? r % 17 : 0;
    case 1:
        return 1 + r % 4095;
    case 2:
        return (1 + r % 16) * GRANULE;
    case 3:
        return 65536 + r % 196608;
    case 4:
        return 262144 + r % 786432;
    case 5:
        return (UINT64_C(1) << 20) + r % (UINT64_C(3) << 20);
    case 6:
        return id % 16 == 6 ? (UINT64_C(4) << 20) + r % (UINT64_C(8) << 20) : (UINT64_C(1) << 20) + 1;
    default:
        return 1 + r % 65536;
    }
}

static bool file_flickers(unsigned id)
{
    return id % 8 == 7;
}

static bool file_exists(unsigned id, uint64_t version)
{
    return !file_flickers(id) || version % 2;
}

/* 0: the source lends nothing; 1, 2: it lends that many extents. Long streams are never lent: copies cost time. */
static unsigned file_lent(unsigned id)
{
    unsigned kind = (unsigned)(tree_mix(id, 77) % 4);
    return id % 8 <= 5 && id % 8 && kind ? kind % 3 : 0;
}

static void file_path(unsigned id, char *path, size_t room)
{
    unsigned dir = id / FILES_PER_DIR;
    if (dir == DIRS - 1)
        snprintf(path, room, "/d2/sub/f%u", id);
    else
        snprintf(path, room, "/d%u/f%u", dir, id);
}

static void granule_fill(uint8_t *to, unsigned id, uint64_t version, uint64_t granule, size_t from, size_t upto)
{
    uint64_t header[2] = {tree_mix(tree_mix(id, version), granule), version};
    const uint8_t *pattern = tree_pattern + header[0] % PATTERN;
    size_t in_header = from < HEADER ? (upto < HEADER ? upto : HEADER) - from : 0;
    memcpy(to, (const uint8_t *)header + from, in_header);
    if (upto > HEADER)
        memcpy(to + in_header, pattern + (from + in_header - HEADER), upto - from - in_header);
}

/* The bytes [offset, offset + length) of a version of a file. */
static void file_fill(uint8_t *to, unsigned id, uint64_t version, uint64_t offset, size_t length)
{
    while (length) {
        size_t from = offset % GRANULE, n = GRANULE - from < length ? GRANULE - from : length;
        granule_fill(to, id, version, offset / GRANULE, from, from + n);
        to += n;
        offset += n;
        length -= n;
    }
}

/* Offset of the first wrong byte, or -1. */
static int64_t file_compare(const uint8_t *got, unsigned id, uint64_t version, uint64_t offset, size_t length)
{
    uint8_t want[GRANULE];
    while (length) {
        size_t from = offset % GRANULE, n = GRANULE - from < length ? GRANULE - from : length;
        granule_fill(want, id, version, offset / GRANULE, from, from + n);
        if (memcmp(got, want, n)) {
            size_t i = 0;
            while (got[i] == want[i])
                i++;
            return (int64_t)(offset + i);
        }
        got += n;
        offset += n;
        length -= n;
    }
    return -1;
}

/* ------------------------------------------------------------------------------------------------------ names */

static size_t huge_name(unsigned i, char *name)
{
    size_t len = (size_t)snprintf(name, 16, "n%05u", i), want = len + tree_mix(i, 5) % (i % 50 ? 24 : 249);
    while (len < want) {
        name[len] = (char)('a' + (len + i) % 26);
        len++;
    }
    name[len] = '\0';
    return len;
}

enum node_kind { NODE_MISSING, NODE_ROOT, NODE_DIR, NODE_SUB, NODE_HUGE, NODE_FILE, NODE_HUGE_FILE, NODE_LINK };

struct node {
    enum node_kind kind;
    unsigned id;
};

static bool number_after(const char *text, const char *prefix, unsigned limit, unsigned *ret_n, const char **ret_rest)
{
    size_t len = strlen(prefix);
    if (strncmp(text, prefix, len) || text[len] < '0' || text[len] > '9')
        return false;
    char *rest;
    unsigned long n = strtoul(text + len, &rest, 10);
    *ret_n = (unsigned)n;
    *ret_rest = rest;
    return n < limit;
}

static struct node tree_node(const char *path)
{
    const struct node missing = {NODE_MISSING, 0};
    const char *rest;
    unsigned n, id;
    char name[300];
    if (!strcmp(path, "/"))
        return (struct node){NODE_ROOT, 0};
    if (!strcmp(path, "/huge"))
        return (struct node){NODE_HUGE, 0};
    if (!strcmp(path, "/d2/sub"))
        return (struct node){NODE_SUB, DIRS - 1};
    if (!strncmp(path, "/huge/n", 7)) {
        n = (unsigned)strtoul(path + 7, NULL, 10);
        if (n >= HUGE_NAMES)
            return missing;
        huge_name(n, name);
        return strcmp(path + 6, name) ? missing : (struct node){NODE_HUGE_FILE, n};
    }
    if (number_after(path, "/l", LINKS, &n, &rest))
        return *rest ? missing : (struct node){NODE_LINK, n};
    if (number_after(path, "/d2/sub/f", FILES, &id, &rest))
        return *rest || id / FILES_PER_DIR != DIRS - 1 ? missing : (struct node){NODE_FILE, id};
    if (!number_after(path, "/d", DIRS - 1, &n, &rest))
        return missing;
    if (!*rest)
        return (struct node){NODE_DIR, n};
    if (!number_after(rest, "/f", FILES, &id, &rest) || *rest || id / FILES_PER_DIR != n)
        return missing;
    return (struct node){NODE_FILE, id};
}

static size_t link_target(unsigned i, char *target)
{
    return (size_t)sprintf(target, "d%u/f%u-%s", i, i, "target");
}

static uint64_t huge_size(unsigned i)
{
    return tree_mix(i, 9) % 3000;
}

/* Contents of /huge/n...: like a file with an id beyond the others and version 1. */
static unsigned huge_id(unsigned i)
{
    return FILES + i;
}

#endif
