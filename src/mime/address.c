/* SPDX-License-Identifier: MIT */

#include "mime/address.h"
#include "base/ascii.h"

/* Behind what begins with open at at and ends with close; a comment may have comments in it. */
static const char *skip(const char *at, char open, char close)
{
    int depth = 1;
    for (at++; *at && depth; at++) {
        if (*at == '\\' && at[1])
            at++;
        else if (*at == close)
            depth--;
        else if (*at == open && open == '(')
            depth++;
    }
    return at;
}

/* The first of the four that ends an address or the name of a group, or the end; not one in quotes, comments
 * or brackets. */
static const char *find_end(const char *at)
{
    while (*at && *at != ',' && *at != ';' && *at != ':') {
        if (*at == '"')
            at = skip(at, '"', '"');
        else if (*at == '(')
            at = skip(at, '(', ')');
        else if (*at == '<')
            at = skip(at, '<', '>');
        else if (*at == '[')
            at = skip(at, '[', ']');
        else
            at += *at == '\\' && at[1] ? 2 : 1;
    }
    return at;
}

static void trim(const char **begin, size_t *size)
{
    while (*size && mqlua_ascii_is_space(**begin))
        (*begin)++, (*size)--;
    while (*size && mqlua_ascii_is_space((*begin)[*size - 1]))
        (*size)--;
}

bool mqlua_mime_next_address(mqlua_mime_addresses *list)
{
    while (*list->at) {
        const char *begin = list->at, *end = find_end(begin);
        size_t size = (size_t)(end - begin);
        trim(&begin, &size);
        if (*end == ';' && !size) /* of a group whose last address was found, or that has none */
            list->group = NULL;
        list->at = *end && (*end != ';' || !size) ? end + 1 : end;
        if (*end == ':') {
            list->group = begin;
            list->group_size = size;
        } else if (size) {
            list->address = begin;
            list->size = size;
            if (size <= MQLUA_MIME_ADDRESS)
                return true;
        }
    }
    return false;
}
