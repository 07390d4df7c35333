/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - whether the files of a directory are being read in the order of its listing, or in another that the owner
 * numbers them by: a function of which entries were asked for so far.
 *
 * Several readers, or several threads of one, do not come in order, so a run is a stretch of entries of which most
 * were asked for; a reader that takes every other one (machines that share a directory) is in no run. A reader that
 * begins anew is.
 *
 * No locking, no clock: the owner serialises. Entries are named by their index, below the `n` that is given each time.
 */
#ifndef AJF_NAMES_RUN_H
#define AJF_NAMES_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AJF_RUN_NEAR 16   /* how far from a stretch another thread of the same reader may be */
#define AJF_RUN_WINDOW 64 /* entries looked ahead: at 1 ms a file, what 64 fetchers can have under way */

struct ajf_run {
    uint64_t *asked;     /* a bit for each entry; NULL before the first is noted */
    size_t first, front; /* the stretch, both ends included */
    size_t length;       /* entries asked for in it */
    size_t begun;        /* entries below were fetched ahead, or passed over; moved on by the owner */
};

/*
 * Notes that entry `index` of `n` is asked for. True when that goes in order and enough is missing of the window behind
 * it: [*ret_from, *ret_to) is to be looked through then. Out of memory is no order.
 */
bool ajf_run_note(struct ajf_run *r, size_t n, size_t index, size_t *ret_from, size_t *ret_to);
/* A new run of `n` entries; those of which `was_asked(arg, index)` says so are asked for already. 0 or -ENOMEM. */
int ajf_run_init(struct ajf_run *r, size_t n, bool (*was_asked)(const void *arg, size_t index), const void *arg);
/* Entry `index`, between the stretch and the one noted next, will not be asked for: it counts as if it had been. */
void ajf_run_pass(struct ajf_run *r, size_t index);
/* Whether what was asked for last goes in order. */
bool ajf_run_in_order(const struct ajf_run *r);
/* Whether entry `index` has been asked for. */
bool ajf_run_has(const struct ajf_run *r, size_t index);
void ajf_run_done(struct ajf_run *r);

#endif
