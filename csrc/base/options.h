/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - everything that can be set for a mount, as plain numbers.
 *
 * Names, units, ranges, defaults and their reasons stand once, in OPTIONS (config/options/); this struct is
 * only how they arrive here. C reads neither the environment nor files.
 */
#ifndef AJF_BASE_OPTIONS_H
#define AJF_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum ajf_cache_mode {
    AJF_CACHE_AUTO,   /* keep the kernel's pages while mtime, ctime and size are unchanged (auto_cache) */
    AJF_CACHE_KERNEL, /* always keep them (kernel_cache) */
    AJF_CACHE_DIRECT, /* never have any (direct_io) */
};

enum ajf_evictor { /* order.h */
    AJF_EVICT_LRU,
    AJF_EVICT_LFU,
    AJF_EVICT_FIFO,
    AJF_EVICT_RANDOM_LRU,
};

struct ajf_options {
    /* kernel cache */
    int cache_mode; /* enum ajf_cache_mode */
    bool asks_no_open; /* the kernel opens files without asking: held.h */
    uint64_t attr_timeout_ns;
    uint64_t entry_timeout_ns;
    uint64_t negative_timeout_ns;
    /* worker pool */
    uint32_t max_idle_threads;
    uint32_t max_threads;
    uint32_t busy_poll_us; /* how long an idle worker looks for the next request before it sleeps; 0 = it does not */
    bool clone_fd;
    /* session */
    uint32_t max_read; /* bytes of one READ; 0 = as large as the kernel grants, and pipes can carry (session.c) */
    uint32_t max_readahead;
    uint32_t max_write;
    uint32_t max_background;
    uint32_t congestion_threshold;
    bool sync_read;
    bool passthrough;
    uint32_t stack_depth; /* of this mount: 1 = backing files on plain file systems, 2 = on overlays, too; 0 = none */
    bool io_uring;
    /* what attributes show */
    int64_t uid;   /* -1 = the source's */
    int64_t gid;   /* -1 = the source's */
    int32_t umask; /* -1 = the source's modes */
    /* page cache */
    bool cache_enabled;        /* keep what was fetched (client cache); off = a transient window */
    uint64_t cache_bytes;      /* budget of the client cache */
    int evictor;               /* enum ajf_evictor */
    uint64_t page_bytes;       /* unit of eviction; a power of two, >= 64 KiB */
    uint64_t transient_bytes;  /* window when the cache is off, and beside pinned pages */
    uint64_t prefetch_bytes;   /* furthest that one file is read ahead; 0 = never ahead */
    /* listings */
    uint64_t listings_bytes; /* of those that new opens get; and of the others that somebody has open */
    /* fetching */
    uint32_t fetchers;         /* fetches of data under way at once, at most */
    uint32_t metadata_fetchers; /* fetches of metadata that never wait for data */
    uint32_t read_timeout_ms;  /* a read that waited this long answers EIO; 0 = for ever */
    uint32_t metadata_timeout_ms;
    /* log */
    uint32_t slow_ms; /* warn of requests slower than this; 0 = never */
    bool debug;       /* log every request */
};

#endif
