/* SPDX-License-Identifier: MIT */
#pragma once

/* A growing list of NUL-terminated texts in one block. Zeroed memory is an empty list. Any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct mqlua_texts {
    char *data; /* malloc'ed; the texts behind each other */
    size_t size, room;
    size_t count;
} mqlua_texts;

/* Appends a copy of text (NULL: an empty one). False on lack of memory: the list is unchanged. */
static inline bool mqlua_texts_add(mqlua_texts *texts, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 1;
    if (size > texts->room - texts->size) {
        size_t room = (texts->size + size) * 2 + 64;
        char *data = realloc(texts->data, room);
        if (!data)
            return false;
        texts->data = data;
        texts->room = room;
    }
    memcpy(texts->data + texts->size, text ? text : "", size);
    texts->size += size;
    texts->count++;
    return true;
}

/* The text behind one of the list; the first is texts->data. */
static inline const char *mqlua_texts_next(const char *text)
{
    return text + strlen(text) + 1;
}

static inline void mqlua_texts_free(mqlua_texts *texts)
{
    free(texts->data);
    *texts = (mqlua_texts){0};
}
