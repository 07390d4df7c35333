/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h - circular intrusive doubly linked lists.
 *
 * A head and its nodes are the same type. A node that is in no list points to itself after ajf_list_init or
 * ajf_list_del, so membership can be asked for and ajf_list_del is idempotent. No locking.
 */
#ifndef AJF_BASE_LIST_H
#define AJF_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct ajf_list {
    struct ajf_list *next, *prev;
};

#define AJF_CONTAINER(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define AJF_LIST_FOR(pos, head) for (struct ajf_list *pos = (head)->next; pos != (head); pos = pos->next)
/* The current node may be removed (and freed) inside the loop. */
#define AJF_LIST_FOR_SAFE(pos, head)                                                                                   \
    for (struct ajf_list *pos = (head)->next, *pos##_next = pos->next; pos != (head);                                  \
         pos = pos##_next, pos##_next = pos->next)

static inline void ajf_list_init(struct ajf_list *l)
{
    l->next = l->prev = l;
}

static inline bool ajf_list_empty(const struct ajf_list *l)
{
    return l->next == l;
}

/* Appends; the list's oldest node is head->next. */
static inline void ajf_list_add(struct ajf_list *head, struct ajf_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void ajf_list_add_front(struct ajf_list *head, struct ajf_list *node)
{
    ajf_list_add(head->next, node);
}

static inline void ajf_list_del(struct ajf_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    ajf_list_init(node);
}

static inline struct ajf_list *ajf_list_pop(struct ajf_list *head)
{
    struct ajf_list *node = head->next;
    if (node == head)
        return NULL;
    ajf_list_del(node);
    return node;
}

#endif
