/* SPDX-License-Identifier: MIT */
#include "policy/locate.h"

#include <stdbool.h>
#include <string.h>

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && strchr(" \t\r\n", *c->at))
        c->at++;
}

static void skip_string(cursor *c)
{
    for (c->at++; c->at < c->end && *c->at != '"'; c->at++)
        if (*c->at == '\\' && c->at + 1 < c->end)
            c->at++;
    if (c->at < c->end)
        c->at++;
}

/* Any value; containers by counting brackets, which is enough in text that is known to be valid. */
static void skip_value(cursor *c)
{
    size_t depth = 0;
    do {
        skip_space(c);
        if (c->at >= c->end)
            return;
        char ch = *c->at;
        if (ch == '"') {
            skip_string(c);
        } else if (ch == '{' || ch == '[') {
            depth++;
            c->at++;
        } else if (ch == '}' || ch == ']') {
            depth -= depth > 0;
            c->at++;
        } else if (ch == ',' || ch == ':') {
            c->at++;
        } else {
            while (c->at < c->end && !strchr(" \t\r\n,:]}", *c->at))
                c->at++;
        }
    } while (depth > 0);
}

static bool take(cursor *c, char wanted)
{
    skip_space(c);
    if (c->at >= c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* Moves from the beginning of a container to its member: to the key or to the value. */
static bool enter(cursor *c, size_t ordinal, bool key)
{
    skip_space(c);
    bool object = c->at < c->end && *c->at == '{';
    if (!object && (c->at >= c->end || *c->at != '['))
        return false;
    c->at++;
    for (size_t i = 0;; i++) {
        skip_space(c);
        if (c->at >= c->end || *c->at == '}' || *c->at == ']')
            return false;
        if (i == ordinal && (key || !object))
            return true;
        if (object) {
            if (*c->at != '"')
                return false;
            skip_string(c);
            if (!take(c, ':'))
                return false;
            skip_space(c);
            if (i == ordinal)
                return true;
        }
        skip_value(c);
        if (!take(c, ','))
            return false;
    }
}

void mqlua_locate_offset(const char *text, size_t offset, int *line, int *column)
{
    *line = *column = 1;
    for (const char *p = text; p < text + offset; p++) {
        if (*p == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

void mqlua_locate(const char *text, size_t size, const size_t *path, size_t depth, int key, int *line,
                  int *column)
{
    cursor c = {text, text + size};
    *line = *column = 0;
    skip_space(&c);
    for (size_t i = 0; i < depth; i++)
        if (!enter(&c, path[i], key && i + 1 == depth))
            return;
    mqlua_locate_offset(text, (size_t)(c.at - text), line, column);
}
