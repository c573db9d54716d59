/* SPDX-License-Identifier: MIT */

#include "policy/requires.h"

#include <string.h>

typedef enum token { END, WORD, TEXT, PASS, OTHER } token; /* PASS: what may stand before the name */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* At "[": the number of "=" up to the second "[", or -1 when this is no long bracket. */
static int level_of(const char *at, const char *end)
{
    const char *c = at + 1;
    while (c < end && *c == '=')
        c++;
    return c < end && *c == '[' ? (int)(c - at - 1) : -1;
}

/* Goes behind the long bracket at r->at; what is in it goes to *name. */
static void take_long(mqlua_requires *r, int level, const char **name, size_t *size)
{
    const char *c = *name = r->at + level + 2;
    for (; c < r->end; c++) {
        if (*c != ']' || r->end - c < level + 2 || c[level + 1] != ']')
            continue;
        if ((int)strspn(c + 1, "=") >= level)
            break;
    }
    *size = (size_t)(c - *name);
    r->at = r->end - c < level + 2 ? r->end : c + level + 2;
}

static void take_quoted(mqlua_requires *r, const char **name, size_t *size)
{
    char quote = *r->at++;
    *name = r->at;
    while (r->at < r->end && *r->at != quote && *r->at != '\n')
        r->at += *r->at == '\\' && r->end - r->at > 1 ? 2 : 1;
    *size = (size_t)(r->at - *name);
    r->at += r->at < r->end;
}

static void skip_comment(mqlua_requires *r)
{
    const char *text;
    size_t size;
    r->at += 2;
    int level = r->at < r->end && *r->at == '[' ? level_of(r->at, r->end) : -1;
    if (level >= 0) {
        take_long(r, level, &text, &size);
        return;
    }
    const char *line = memchr(r->at, '\n', (size_t)(r->end - r->at));
    r->at = line ? line : r->end;
}

static token take(mqlua_requires *r, const char **text, size_t *size)
{
    for (;;) {
        while (r->at < r->end && (*r->at == ' ' || (*r->at >= '\t' && *r->at <= '\r')))
            r->at++;
        if (r->end - r->at < 2 || r->at[0] != '-' || r->at[1] != '-')
            break;
        skip_comment(r);
    }
    if (r->at >= r->end)
        return END;
    *text = r->at;
    if (is_word(*r->at)) {
        while (r->at < r->end && is_word(*r->at))
            r->at++;
        *size = (size_t)(r->at - *text);
        return WORD;
    }
    int level = *r->at == '[' ? level_of(r->at, r->end) : -1;
    if (level >= 0)
        take_long(r, level, text, size);
    else if (*r->at == '"' || *r->at == '\'')
        take_quoted(r, text, size);
    else
        return strchr("(,", *r->at++) ? PASS : OTHER;
    return TEXT;
}

bool mqlua_requires_next(mqlua_requires *r, const char **name, size_t *size)
{
    bool wanted = false;
    for (token t; (t = take(r, name, size)) != END;) {
        if (t == TEXT && wanted && *size && !memchr(*name, '\\', *size) && !memchr(*name, '\0', *size))
            return true;
        wanted = t == WORD ? *size == 7 && memcmp(*name, "require", 7) == 0 : t == PASS && wanted;
    }
    return false;
}
