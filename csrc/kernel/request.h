/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - one request of the kernel, from its arrival to its answer.
 *
 * It is copied: its worker has it on the stack, and a struct ajf_wait (wait.h) if it is parked. reply.h answers it.
 */
#ifndef AJF_KERNEL_REQUEST_H
#define AJF_KERNEL_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/stats_times.h"
#include "kernel/fuse.h"

enum ajf_op {
    AJF_OP_LOOKUP,
    AJF_OP_GETATTR,
    AJF_OP_READLINK,
    AJF_OP_OPEN,
    AJF_OP_READ,
    AJF_OP_RELEASE,
    AJF_OP_OPENDIR,
    AJF_OP_READDIR,
    AJF_OP_READDIRPLUS,
    AJF_OP_RELEASEDIR,
    AJF_OP_STATFS,
    AJF_OP_REFRESH,
    AJF_OP_TRACE,
    AJF_OP_FORGET,
    AJF_OP_KINDS
};

struct ajf_request {
    fuse_req_t fuse; /* libfuse's; gone with the answer */
    enum ajf_op op;
    uint64_t started_ns;     /* when a worker took it, monotonic */
    uint64_t nodeid, offset; /* the record that it is about; of a LOOKUP the parent */
    size_t size;
};

struct ajf;

/* Makes a request of one that has come, counts it, and logs it if all are logged; `what` is for that line. */
struct ajf_request ajf_request_begin(struct ajf *m, fuse_req_t req, enum ajf_op op, uint64_t nodeid, const char *what);

/* Its name for the log, such as "Read". */
const char *ajf_request_name(enum ajf_op op);
/* The row of times that its answer belongs to. FORGET has no answer. */
enum ajf_timed ajf_request_timed(enum ajf_op op);

#endif
