/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.h - inode numbers that are made up, for what its source has no number of its own for.
 *
 * A number is a hash of what identifies the file (inode.c: path and version; local.c: device and inode number), so it
 * is the same after a FORGET and in the next mount. Made-up numbers lie in [2^62, 2^63): never 0, apart from the small
 * numbers that file systems give, and positive for programs that keep them in signed words.
 *
 * Two identities with one hash are told apart by the index of the records that have a made-up number
 * (inode_numbers.h): the later of them gets the next number.
 *
 * Pure.
 */
#ifndef AJF_BASE_NUMBER_H
#define AJF_BASE_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* Goes on hashing at `h` (0 at first). A name counts with its length: "a", "b" is not "ab". */
uint64_t ajf_number_mix(uint64_t h, uint64_t v);
uint64_t ajf_number_mix_name(uint64_t h, const char *name, size_t len);
/* The number that a hash stands for, and the one to be tried after `number`. */
uint64_t ajf_number_of(uint64_t h);
uint64_t ajf_number_next(uint64_t number);

#endif
