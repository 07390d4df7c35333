/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of this machine as the source (direct.h): what is answered without a fetcher, and what is not. */
#include <fcntl.h>

#include "check.h"
#include "fake_kernel.h"

#define MANY 4000

static struct fake k;
static int root = -1;
static char top[] = "/tmp/ajf-direct-XXXXXX";

static void make(const char *name, const char *bytes)
{
    int fd = openat(root, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    NEED(fd >= 0 && write(fd, bytes, strlen(bytes)) == (ssize_t)strlen(bytes) && !close(fd));
}

static void begin(bool pin_contents, bool tells_absence)
{
    struct ajf_options o = fake_options();
    struct stat st;
    fake_start(&k, &o);
    CHECK_EQ(k.m->direct.most, 0); /* the only thread must not hang */
    k.m->direct.most = 1;          /* as of two; a socket would lose a request that is longer than one waits for */
    NEED(mkdtemp(top));
    root = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    NEED(root >= 0 && !fstat(root, &st));
    NEED(!mkdirat(root, "dir", 0755));
    make("dir/file", "0123456789");
    const struct ajf_directory d = {
        .fd = root, .pin_contents = pin_contents, .tells_absence = tells_absence, .home_dev = st.st_dev};
    NEED(!ajf_serve_directory(k.m, &d));
    CHECK_EQ(ajf_serve_directory(k.m, &d), -EBUSY);
}

static void end(void)
{
    char command[64];
    fake_end(&k);
    NEED(!close(root));
    snprintf(command, sizeof command, "rm -r %s", top);
    NEED(!system(command));
    memcpy(top + sizeof top - 7, "XXXXXX", 6);
}

/* A fetcher answers, as the source would. */
static void expect_fetch(enum ajf_fetch_kind kind, int err)
{
    struct ajf_fetch *f = fake_fetch(&k, kind, NULL);
    ajf_fetch_fail(f, err);
    ajf_fetch_release(f);
}

static uint64_t find(const char *name, uint64_t parent)
{
    uint64_t id = fake_entry(&k, fake_lookup(&k, parent, name));
    CHECK(id);
    return id;
}

static void plain_answers_need_no_fetcher(void)
{
    struct fuse_getattr_in in = {0};
    struct fuse_attr_out out;
    begin(false, true);
    NEED(!symlinkat("dir/file", root, "link"));
    uint64_t dir = find("dir", 1), file = find("file", dir), link = find("link", 1);
    struct fake_reply r = fake_reply(&k, fake_send(&k, FUSE_GETATTR, file, &in, sizeof in));
    NEED(!r.error && r.length >= sizeof out);
    memcpy(&out, r.bytes, sizeof out);
    CHECK_EQ(out.attr.size, 10);
    free(r.bytes);
    r = fake_reply(&k, fake_send(&k, FUSE_READLINK, link, NULL, 0));
    CHECK(!r.error && r.length == 8 && !memcmp(r.bytes, "dir/file", 8));
    free(r.bytes);
    r = fake_reply(&k, fake_send(&k, FUSE_STATFS, 1, NULL, 0));
    CHECK(!r.error);
    free(r.bytes);
    fake_expect_error(&k, fake_open(&k, file), 0);
    r = fake_reply(&k, fake_read(&k, file, 0, 4096));
    CHECK(!r.error && r.length == 10 && !memcmp(r.bytes, "0123456789", 10));
    free(r.bytes);
    fake_release(&k, file);
    fake_expect_error(&k, fake_lookup(&k, dir, "absent"), ENOENT);
    CHECK(fake_no_fetch(&k));
    CHECK_EQ(fake_stat(&k, "fetch_direct"), 8);
    CHECK_EQ(fake_stat(&k, "fetch_stat"), 5);
    CHECK_EQ(fake_stat(&k, "fetch_open"), 1);
    end();
}

static void a_name_may_be_a_command(void)
{
    begin(false, false);
    uint64_t asked = fake_lookup(&k, 1, ".a.command");
    expect_fetch(AJF_FETCH_STAT, ENOENT);
    fake_expect_error(&k, asked, ENOENT);
    CHECK_EQ(fake_stat(&k, "fetch_stat"), 1);
    CHECK_EQ(fake_stat(&k, "fetch_direct"), 0);
    end();
}

static void another_file_is_left_to_a_fetcher(void)
{
    begin(false, true);
    uint64_t file = find("file", find("dir", 1));
    make("dir/new", "another one");
    NEED(!renameat(root, "dir/new", root, "dir/file"));
    uint64_t opened = fake_open(&k, file);
    expect_fetch(AJF_FETCH_OPEN, ESTALE);
    fake_expect_error(&k, opened, ESTALE);
    end();
}

static void a_link_in_the_place_of_a_directory_is_not_followed(void)
{
    begin(false, true);
    uint64_t dir = find("dir", 1), file = find("file", dir);
    NEED(!renameat(root, "dir", root, "moved") && !symlinkat("moved", root, "dir"));
    uint64_t opened = fake_open(&k, file);
    expect_fetch(AJF_FETCH_OPEN, ESTALE);
    fake_expect_error(&k, opened, ESTALE);
    uint64_t asked = fake_lookup(&k, dir, "other");
    expect_fetch(AJF_FETCH_STAT, EIO);
    fake_expect_error(&k, asked, EIO);
    end();
}

static void a_fifo_hangs_nobody(void)
{
    begin(false, true);
    uint64_t file = find("file", find("dir", 1));
    NEED(!unlinkat(root, "dir/file", 0) && !mkfifoat(root, "dir/file", 0644));
    uint64_t opened = fake_open(&k, file);
    expect_fetch(AJF_FETCH_OPEN, ESTALE);
    fake_expect_error(&k, opened, ESTALE);
    end();
}

static uint64_t list(uint64_t nodeid)
{
    struct fuse_read_in in = {.size = 4096};
    return fake_send(&k, FUSE_READDIR, nodeid, &in, sizeof in);
}

static void listings(void)
{
    char name[32];
    begin(false, true);
    uint64_t dir = find("dir", 1);
    struct fake_reply r = fake_reply(&k, list(dir));
    CHECK(!r.error && r.length);
    free(r.bytes);
    CHECK(fake_no_fetch(&k));
    NEED(!mkdirat(root, "large", 0755) && !mkdirat(root, "gone", 0755));
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "large/%d", i);
        make(name, "");
    }
    uint64_t asked = list(find("large", 1)); /* it would keep a worker for long */
    expect_fetch(AJF_FETCH_LIST, EIO);
    fake_expect_error(&k, asked, EIO);
    uint64_t gone = find("gone", 1);
    NEED(!unlinkat(root, "gone", AT_REMOVEDIR));
    asked = list(gone); /* which is not to say that it is empty */
    expect_fetch(AJF_FETCH_LIST, ENOENT);
    fake_expect_error(&k, asked, ESTALE);
    end();
}

static void files_that_are_copied_are_opened_by_fetchers(void)
{
    begin(true, true);
    uint64_t file = find("file", find("dir", 1));
    uint64_t opened = fake_open(&k, file);
    expect_fetch(AJF_FETCH_OPEN, EIO);
    fake_expect_error(&k, opened, EIO);
    CHECK_EQ(fake_stat(&k, "fetch_direct"), 2);
    end();
}

static void so_many_threads_may_hang_in_the_file_system(void)
{
    begin(false, true);
    k.m->direct.inside = 1; /* a worker that does not come back */
    uint64_t asked = fake_lookup(&k, 1, "dir");
    expect_fetch(AJF_FETCH_STAT, EIO);
    fake_expect_error(&k, asked, EIO);
    k.m->direct.inside = 0;
    find("dir", 1);
    end();
}

int main(void)
{
    RUN(plain_answers_need_no_fetcher);
    RUN(a_name_may_be_a_command);
    RUN(another_file_is_left_to_a_fetcher);
    RUN(a_link_in_the_place_of_a_directory_is_not_followed);
    RUN(a_fifo_hangs_nobody);
    RUN(listings);
    RUN(files_that_are_copied_are_opened_by_fetchers);
    RUN(so_many_threads_may_hang_in_the_file_system);
    CHECK_END();
}
