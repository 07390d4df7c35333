/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fs_set(int fs, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

/* A tmpfs that is mounted nowhere: it lives as long as the returned descriptor and its files. */
static int private_tmpfs(void)
{
    int root = -1, fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -1;
    /* size=0: no limit of its own; the page cache's budget is the limit, and a full tmpfs would be SIGBUS here. */
    if (fs_set(fs, "huge", "advise") == 0 && fs_set(fs, "size", "0") == 0 && fs_set(fs, "mode", "0700") == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    close(fs);
    return root;
}

void ajf_store_init(struct ajf_store *s)
{
    s->dir = private_tmpfs();
    s->huge = s->dir >= 0;
}

void ajf_store_done(struct ajf_store *s)
{
    if (s->dir >= 0)
        close(s->dir);
    s->dir = -1;
}

int ajf_memfile_init(struct ajf_memfile *mem, const struct ajf_store *s, const char *name, size_t size)
{
    int err;
    *mem = (struct ajf_memfile){.fd = -1, .size = size};
    mem->mapped = (size + AJF_HUGE_BYTES - 1) & ~(AJF_HUGE_BYTES - 1);
    mem->fd = s->dir >= 0 ? openat(s->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : memfd_create(name, MFD_CLOEXEC);
    if (mem->fd < 0)
        return -errno;
    if (ftruncate(mem->fd, (off_t)size) < 0)
        goto fail;
    void *map = mmap(NULL, mem->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, mem->fd, 0);
    if (map == MAP_FAILED)
        goto fail;
    mem->map = map;
    if (s->huge && size >= AJF_HUGE_BYTES) {
        map = mmap(NULL, mem->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, mem->fd, 0);
        if (map != MAP_FAILED && madvise(map, mem->mapped, MADV_HUGEPAGE) == 0)
            mem->huge = map;
        else if (map != MAP_FAILED)
            munmap(map, mem->mapped);
    }
    return 0;
fail:
    err = errno;
    ajf_memfile_done(mem);
    return -err;
}

void ajf_memfile_done(struct ajf_memfile *mem)
{
    if (mem->huge)
        munmap(mem->huge, mem->mapped);
    if (mem->map)
        munmap(mem->map, mem->mapped);
    if (mem->fd >= 0)
        close(mem->fd);
    *mem = (struct ajf_memfile){.fd = -1};
}

void ajf_memfile_punch(struct ajf_memfile *mem, size_t offset, size_t length)
{
    fallocate(mem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
}
