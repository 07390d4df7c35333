/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caller.h - which process sent a request.
 *
 * Threads: any. It reads /proc: not to be called under a lock.
 */
#ifndef AJF_KERNEL_CALLER_H
#define AJF_KERNEL_CALLER_H

#include <stdint.h>

#include "kernel/request.h"

struct ajf_caller {
    uint32_t tid; /* the thread that the kernel names; 0: it lives in a PID namespace that is not ours */
    uint32_t pid; /* its process, and its name, that of the program as a rule; 0 and "" if it has ended */
    uint32_t uid;
    char name[16]; /* any bytes; ends with NUL */
};

/* The caller as the request tells of it: its thread and user, not its process. Reads nothing. */
struct ajf_caller ajf_caller_of(const struct ajf_request *req);
/* Looks up the process of the thread. */
void ajf_caller_find(struct ajf_caller *caller);

#endif
