/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alarm.h - something to be done at a moment, by a thread that watches the time for others (wait.h).
 *
 * Its owner sets when; the watcher rings when that has come, and again until it is set anew or put off. Any lock of the
 * owner may be held while it is set; none is while it rings.
 */
#ifndef AJF_BASE_ALARM_H
#define AJF_BASE_ALARM_H

#include <stdatomic.h>
#include <stdint.h>

struct ajf;
struct ajf_alarm;
struct ajf_waste;

struct ajf_alarm {
    _Atomic uint64_t at_ns;                    /* monotonic; AJF_FOREVER: it is put off */
    /* constant; sets it anew, or puts it off, and returns what may take long to dispose of (trash.h) */
    struct ajf_waste *(*ring)(struct ajf *m);
    void (*nudge)(void *watcher);              /* constant once watched: the watcher looks anew how long it may sleep */
    void *watcher;
    struct ajf_alarm *next;                    /* constant once watched: the watcher's others */
};

/* Of an alarm that may be earlier than it was. */
static inline void ajf_alarm_set(struct ajf_alarm *a, uint64_t at_ns)
{
    atomic_store(&a->at_ns, at_ns);
    if (a->nudge)
        a->nudge(a->watcher);
}

#endif
