/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/request.h"

#include <stdlib.h>

#include "mount.h"

static const struct {
    const char *name;
    enum ajf_stat counts;
    enum ajf_timed timed;
} ops[] = {
    [AJF_OP_LOOKUP] = {"Lookup", AJF_STAT_op_lookup, AJF_TIMED_op_lookup},
    [AJF_OP_GETATTR] = {"Getattr", AJF_STAT_op_getattr, AJF_TIMED_op_getattr},
    [AJF_OP_READLINK] = {"Readlink", AJF_STAT_op_readlink, AJF_TIMED_op_readlink},
    [AJF_OP_OPEN] = {"Open", AJF_STAT_op_open, AJF_TIMED_op_open},
    [AJF_OP_READ] = {"Read", AJF_STAT_op_read, AJF_TIMED_op_read},
    [AJF_OP_RELEASE] = {"Release", AJF_STAT_op_release, AJF_TIMED_op_release},
    [AJF_OP_OPENDIR] = {"Opendir", AJF_STAT_op_opendir, AJF_TIMED_op_opendir},
    [AJF_OP_READDIR] = {"Readdir", AJF_STAT_op_readdir, AJF_TIMED_op_readdir},
    [AJF_OP_READDIRPLUS] = {"Readdirplus", AJF_STAT_op_readdirplus, AJF_TIMED_op_readdirplus},
    [AJF_OP_RELEASEDIR] = {"Releasedir", AJF_STAT_op_releasedir, AJF_TIMED_op_releasedir},
    [AJF_OP_STATFS] = {"Statfs", AJF_STAT_op_statfs, AJF_TIMED_op_statfs},
    [AJF_OP_REFRESH] = {"Refresh", AJF_STAT_op_refresh, AJF_TIMED_op_refresh},
    [AJF_OP_TRACE] = {"Trace", AJF_STAT_op_trace, AJF_TIMED_op_trace},
    [AJF_OP_FORGET] = {"Forget", AJF_STAT_op_forget, AJF_TIMED_COUNT},
};

const char *ajf_request_name(enum ajf_op op)
{
    return ops[op].name;
}

enum ajf_timed ajf_request_timed(enum ajf_op op)
{
    return ops[op].timed;
}

struct ajf_request ajf_request_begin(struct ajf *m, fuse_req_t req, enum ajf_op op, uint64_t nodeid, const char *what)
{
    ajf_keep_thread(req);
    atomic_fetch_add_explicit(&m->stats.value[ops[op].counts], 1, memory_order_relaxed);
    if (m->options.debug) {
        char *path = ajf_inode_path(&m->inodes, nodeid, NULL, 0);
        ajf_log(&m->log, AJF_LOG_DEBUG, "Enter: Fuse.%s(path=%s,fd=%llu,%s)", ops[op].name, path ? path : "?",
                (unsigned long long)nodeid, what);
        free(path);
    }
    return (struct ajf_request){.fuse = req, .op = op, .started_ns = ajf_now_ns(), .nodeid = nodeid};
}
