/* SPDX-License-Identifier: Apache-2.0 */
#include "files/awaited.h"

#include "files/readers.h"

bool ajf_awaited_needs(const struct ajf_pages *p, uint64_t from, uint64_t to)
{
    const struct ajf_file *file = AJF_CONTAINER(p, struct ajf_file, pages);
    AJF_LIST_FOR(l, &file->readers)
    {
        const struct ajf_read *r = AJF_CONTAINER(l, struct ajf_read, link);
        if (r->offset < to && from < r->offset + r->length)
            return true;
    }
    return false;
}

bool ajf_awaited_expects(const struct ajf_pages *p, uint64_t from, uint64_t to, uint64_t since_ns)
{
    const struct ajf_file *file = AJF_CONTAINER(p, struct ajf_file, pages);
    bool is_read = file->read_ns > since_ns || !ajf_list_empty(&file->readers);
    return is_read && ajf_prefetch_expects(file->prefetch, from, to);
}

bool ajf_awaited_has_left(const struct ajf_pages *p, uint64_t from, uint64_t to)
{
    return ajf_prefetch_has_left(AJF_CONTAINER(p, struct ajf_file, pages)->prefetch, from, to);
}
