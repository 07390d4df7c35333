/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int ajf_arena_init(struct ajf_arena *a, const char *name, size_t reserved)
{
    a->fd = memfd_create(name, MFD_CLOEXEC);
    if (a->fd < 0)
        return -errno;
    if (ftruncate(a->fd, (off_t)reserved) == 0) {
        void *base = mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, a->fd, 0);
        if (base != MAP_FAILED) {
            a->base = base;
            a->reserved = reserved;
            return 0;
        }
    }
    int err = errno;
    close(a->fd);
    return -err;
}

void ajf_arena_done(struct ajf_arena *a)
{
    munmap(a->base, a->reserved);
    close(a->fd);
}
