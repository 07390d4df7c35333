/* SPDX-License-Identifier: Apache-2.0 */
#include "files/awaited.h"

#include "base/sync.h"
#include "files/file.h"
#include "files/readers.h"

bool ajf_page_is_needed(const struct ajf_cache *c, const struct ajf_page *page)
{
    uint64_t start = page->index * c->page_bytes;
    if (!page->file)
        return false; /* small files come whole */
    AJF_LIST_FOR(l, &page->file->readers)
    {
        const struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        if (r->offset < start + c->page_bytes && start < r->offset + r->length)
            return true;
    }
    return false;
}

/* Whether somebody reads the file by what prefetch has fetched, or waits for more of it. */
static bool is_being_read(const struct ajf_file *file, uint64_t since)
{
    return file->read_ns > since || !ajf_list_empty(&file->readers);
}

bool ajf_page_is_awaited(const struct ajf_cache *c, const struct ajf_page *page)
{
    uint64_t since = ajf_now_ns() - AJF_AWAITED_NS, start = page->index * c->page_bytes;
    if (ajf_page_is_needed(c, page))
        return true;
    if (page->spent)
        return false;
    return page->grown_ns > since || (page->file && is_being_read(page->file, since) &&
                                      ajf_prefetch_expects(&page->file->prefetch, start, start + c->page_bytes));
}
