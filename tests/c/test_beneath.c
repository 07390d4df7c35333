/* SPDX-License-Identifier: Apache-2.0 */
/* Paths below a directory (beneath.h), by openat2(2) and, in a child that may not call it, component by component. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "source/beneath.h"

static int root = -1;

static char top[] = "/tmp/ajf-beneath-XXXXXX";

static void make_tree(void)
{
    NEED(mkdtemp(top));
    root = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    NEED(root >= 0 && !mkdirat(root, "a", 0700) && !mkdirat(root, "a/b", 0700));
    NEED(!close(openat(root, "a/b/file", O_CREAT | O_WRONLY, 0600)));
    NEED(!close(openat(root, "a/b/..file", O_CREAT | O_WRONLY, 0600)));
    int fd = openat(root, "a/b/whole", O_CREAT | O_WRONLY, 0600);
    NEED(fd >= 0 && write(fd, "bytes", 5) == 5 && !close(fd) && !mkfifoat(root, "a/b/pipe", 0600));
    NEED(!symlinkat("/", root, "up") && !symlinkat("b", root, "a/inside") && !symlinkat("b/file", root, "a/link"));
    NEED(!symlinkat(".", root, "self"));
}

static void remove_tree(void)
{
    static const char *const files[] = {"a/b/file", "a/b/..file", "a/b/whole", "a/b/pipe",
                                        "up",       "a/inside",   "a/link",    "self"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        NEED(!unlinkat(root, files[i], 0));
    NEED(!unlinkat(root, "a/b", AT_REMOVEDIR) && !unlinkat(root, "a", AT_REMOVEDIR) && !rmdir(top));
}

/* What a path leads to: its inode number, or -errno. */
static int64_t found(const char *path, int flags)
{
    struct stat st;
    int fd = ajf_open_beneath(root, path, flags);
    if (fd < 0)
        return fd;
    NEED(!fstat(fd, &st) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    close(fd);
    return (int64_t)st.st_ino;
}

static int64_t inode(const char *path)
{
    struct stat st;
    NEED(!fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW));
    return (int64_t)st.st_ino;
}

static bool is_link_error(int64_t err)
{
    return err == -ELOOP || err == -ENOTDIR;
}

static void what_is_there_is_opened(void)
{
    CHECK_EQ(found("a/b/file", O_RDONLY), inode("a/b/file"));
    CHECK_EQ(found("a//b///file", O_RDONLY), inode("a/b/file"));
    CHECK_EQ(found("a/b/", O_RDONLY | O_DIRECTORY), inode("a/b"));
    CHECK_EQ(found("a/./b/..file", O_RDONLY), inode("a/b/..file"));
    CHECK_EQ(found("", O_RDONLY | O_DIRECTORY), inode("."));
    CHECK_EQ(found("a", O_PATH), inode("a"));
    CHECK_EQ(found("a/missing", O_RDONLY), -ENOENT);
    CHECK_EQ(found("missing/file", O_RDONLY), -ENOENT);
    CHECK_EQ(found("a/b/file/x", O_RDONLY), -ENOTDIR);
    CHECK_EQ(found("a/b/file/", O_RDONLY), -ENOTDIR);
}

static void no_link_is_followed(void)
{
    CHECK(is_link_error(found("up/etc/passwd", O_RDONLY)));
    CHECK(is_link_error(found("a/inside/file", O_RDONLY)));
    CHECK(is_link_error(found("self/a/b/file", O_PATH)));
    CHECK_EQ(found("a/link", O_RDONLY), -ELOOP);
    CHECK(is_link_error(found("up", O_RDONLY | O_DIRECTORY)));
    CHECK_EQ(found("a/link", O_PATH), inode("a/link"));
}

static void nothing_climbs(void)
{
    CHECK_EQ(found("..", O_RDONLY), -EXDEV);
    CHECK_EQ(found("a/../..", O_RDONLY), -EXDEV);
    CHECK_EQ(found("a/../a/b/file", O_RDONLY), -EXDEV);
    CHECK_EQ(found("a/..", O_PATH), -EXDEV);
    CHECK_EQ(found("/etc/passwd", O_RDONLY), -EXDEV);
}

static void too_long_is_an_error(void)
{
    char path[8192];
    memset(path, 'n', 300);
    path[300] = '\0';
    CHECK_EQ(found(path, O_RDONLY), -ENAMETOOLONG);
    memcpy(path + 299, "/x", 3);
    CHECK_EQ(found(path, O_RDONLY), -ENAMETOOLONG);
    const char *name;
    int fd;
    memset(path, 'n', sizeof path);
    path[5000] = '/';
    path[5002] = '\0';
    CHECK_EQ(ajf_open_parent(root, path, &fd, &name), -ENAMETOOLONG);
}

static void a_parent_is_opened_for_a_name(void)
{
    const char *name;
    int fd = -1;
    CHECK_EQ(ajf_open_parent(root, "a/b/file", &fd, &name), 0);
    CHECK(fd != root && !strcmp(name, "file") && !faccessat(fd, name, R_OK, 0));
    close(fd);
    CHECK_EQ(ajf_open_parent(root, "a", &fd, &name), 0);
    CHECK(fd == root && !strcmp(name, "a"));
    CHECK_EQ(ajf_open_parent(root, "", &fd, &name), 0);
    CHECK(fd == root && !*name);
    CHECK(is_link_error(ajf_open_parent(root, "up/etc", &fd, &name)));
    CHECK_EQ(ajf_open_parent(root, "a/..", &fd, &name), -EXDEV);
}

static void a_file_is_opened_if_it_is_whole(void)
{
    char got[8] = "";
    int fd = ajf_open_file_beneath(top, "a/b/whole", 5);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(pread(fd, got, sizeof got, 0) == 5 && !memcmp(got, "bytes", 5));
    close(fd);
    CHECK_EQ(ajf_open_file_beneath(top, "a/b/whole", 6), -ENODATA);
    CHECK_EQ(ajf_open_file_beneath(top, "a/b", 0), -ENODATA);
    CHECK_EQ(ajf_open_file_beneath(top, "a/b/pipe", 0), -ENODATA);
    CHECK_EQ(ajf_open_file_beneath(top, "a/b/missing", 0), -ENOENT);
    CHECK_EQ(ajf_open_file_beneath(top, "a/link", 0), -ELOOP);
    CHECK_EQ(ajf_open_file_beneath(top, "/etc/passwd", 0), -EXDEV);
    CHECK_EQ(ajf_open_file_beneath("/no/such/directory", "a", 0), -ENOENT);
}

static void a_file_is_read_if_it_is_whole(void)
{
    char got[8] = "", via[sizeof top + 8];
    CHECK_EQ(ajf_read_file_beneath(top, "a/b/whole", 5, 0, got, sizeof got), 5);
    CHECK(!memcmp(got, "bytes", 5));
    CHECK_EQ(ajf_read_file_beneath(top, "a/b/whole", 5, 2, got, 2), 2);
    CHECK(!memcmp(got, "te", 2));
    CHECK_EQ(ajf_read_file_beneath(top, "a/b/whole", 0, 5, got, 1), 0);
    CHECK_EQ(ajf_read_file_beneath(top, "a/b/whole", 6, 0, got, 1), -ENODATA);
    CHECK_EQ(ajf_read_file_beneath(top, "a/b/whole", 5, UINT64_MAX, got, 1), -EINVAL);
    CHECK_EQ(ajf_read_file_beneath(top, "a/link", 0, 0, got, 1), -ELOOP);
    strcat(strcpy(via, top), "/self");
    CHECK_EQ(ajf_read_file_beneath(via, "a/b/whole", 5, 0, got, sizeof got), 5);
}

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void all(void)
{
    int before = count_descriptors();
    RUN(what_is_there_is_opened);
    RUN(no_link_is_followed);
    RUN(nothing_climbs);
    RUN(too_long_is_an_error);
    RUN(a_parent_is_opened_for_a_name);
    RUN(a_file_is_opened_if_it_is_whole);
    RUN(a_file_is_read_if_it_is_whole);
    CHECK_EQ(count_descriptors(), before);
}

/* openat2 fails with `err` in this process from here on, as under an old container runtime's filter. */
static void forbid(int err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    NEED(syscall(SYS_openat2, root, ".", NULL, 0) == -1 && errno == err);
}

static void all_without_openat2(int err)
{
    pid_t pid = fork();
    NEED(pid >= 0);
    if (!pid) {
        forbid(err);
        all();
        _exit(atomic_load(&check_failures) ? 1 : 0);
    }
    int status;
    NEED(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
}

int main(void)
{
    make_tree();
    all();
    all_without_openat2(ENOSYS);
    all_without_openat2(EPERM);
    remove_tree();
    CHECK_END();
}
