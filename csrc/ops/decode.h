/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.h - the operations of the low-level API: decode, call, nothing else.
 *
 * Each valid reply is given by the module that is called, exactly once. Not implemented on purpose, so that the
 * kernel stops asking: xattrs (or `ls -l` asks for every file), access, flush, fsync, lseek.
 */
#ifndef AJF_OPS_DECODE_H
#define AJF_OPS_DECODE_H

#include "kernel/fuse.h"

extern const struct fuse_lowlevel_ops ajf_ops;

#endif
