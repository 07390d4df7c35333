/* SPDX-License-Identifier: Apache-2.0 */
/* A FORGET while a fetch of the file is under way: the kernel has none of its bytes any more, so they prove nothing. */
#include "check.h"
#include "fake_kernel.h"

#define SIZE 10000
#define MIB (UINT64_C(1) << 20)

static struct fake k;

static void the_next_open_is_proved_anew(void)
{
    struct ajf_fetch_info info;
    struct ajf_options o = fake_options();
    struct fuse_forget_in in = {.nlookup = 1};
    struct ajf_attr attr = fake_attr(SIZE, 5);
    o.cache_enabled = false;
    o.attr_timeout_ns = o.entry_timeout_ns = 3600 * AJF_NS_PER_S;
    fake_start(&k, &o);
    ajf_open_lazily(k.m, MIB, 8);
    uint64_t id = fake_find(&k, "file", SIZE, 5), asked = fake_open(&k, id);
    struct ajf_fetch *lost = fake_fetch(&k, AJF_FETCH_READ, &info);
    fake_fill(&info, 0, info.length);
    CHECK_EQ(ajf_fetch_progress(lost, 4096), 0);
    fake_expect_error(&k, asked, 0);
    fake_expect_bytes(&k, fake_read(&k, id, 0, 4096), 0, 4096, 5);
    fake_release(&k, id);
    fake_send(&k, FUSE_FORGET, id, &in, sizeof in);
    uint64_t looked = fake_lookup(&k, 1, "file");
    if (fake_is_parked(&k, looked)) { /* it may be known still, from the fetch that holds it */
        struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_STAT, NULL);
        CHECK_EQ(ajf_fetch_attr(f, &attr), 0);
        ajf_fetch_release(f);
    } else {
        looked = fake_lookup(&k, 1, "file");
    }
    asked = fake_open(&k, fake_entry(&k, looked));
    CHECK(fake_is_parked(&k, asked));
    ajf_fetch_fail(lost, ECANCELED);
    ajf_fetch_release(lost);
    struct ajf_fetch *f = fake_fetch(&k, AJF_FETCH_READ, NULL);
    ajf_fetch_fail(f, ESTALE);
    ajf_fetch_release(f);
    fake_expect_error(&k, asked, ESTALE); /* the kernel looks it up again, and the caller sees nothing of it */
    fake_end(&k);
}

int main(void)
{
    RUN(the_next_open_is_proved_anew);
    CHECK_END();
}
