/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse.h - libfuse, and what this build of it offers.
 *
 * One source builds on libfuse 3.12 to 3.18; what is missing is compiled out here and nowhere else.
 */
#ifndef AJF_KERNEL_FUSE_H
#define AJF_KERNEL_FUSE_H

#include <fuse_lowlevel.h>
#include <pthread.h>

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
#define AJF_HAVE_PASSTHROUGH 1
#define ajf_want(conn, flag) fuse_set_feature_flag((conn), (flag))
#define ajf_unwant(conn, flag) fuse_unset_feature_flag((conn), (flag))
#define ajf_wanted(conn, flag) (((conn)->want_ext & (flag)) != 0)
#else
#define AJF_HAVE_PASSTHROUGH 0
#define ajf_want(conn, flag) (((conn)->capable & (flag)) ? ((conn)->want |= (flag), true) : false)
#define ajf_unwant(conn, flag) ((conn)->want &= ~(unsigned)(flag))
#define ajf_wanted(conn, flag) (((conn)->want & (flag)) != 0)
#endif

/* libfuse has it in this form since 3.17. Without it -ENOSYS, which is also the answer of a kernel before 6.2. */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
#define ajf_expire_entry(se, parent, name, len) fuse_lowlevel_notify_expire_entry((se), (parent), (name), (len))
#else
#define ajf_expire_entry(se, parent, name, len) (-ENOSYS)
#endif

#ifdef FUSE_CAP_OVER_IO_URING
#define AJF_HAVE_IO_URING 1
/* libfuse ends the threads of its rings with pthread_cancel; an operation must not be cut short, it may hold a lock. */
#define ajf_keep_thread(req)                                                                                           \
    ((void)(fuse_req_is_uring(req) && pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL)))
#else
#define AJF_HAVE_IO_URING 0
#define ajf_keep_thread(req) ((void)(req))
#endif

#endif
