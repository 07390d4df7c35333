/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passthrough.h - the kernel's calls for files that it reads itself: uapi <linux/fuse.h> of 6.9, which build machines
 * may not have yet.
 */
#ifndef AJF_BASE_PASSTHROUGH_H
#define AJF_BASE_PASSTHROUGH_H

#include <stdint.h>
#include <sys/ioctl.h>

struct ajf_backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define AJF_IOC_BACKING_OPEN _IOW(229, 1, struct ajf_backing_map)
#define AJF_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

#endif
