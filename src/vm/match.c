/* SPDX-License-Identifier: MIT */
#include "vm/match.h"
#include "vm/vm.h"
#include <lauxlib.h>
#include <string.h>

/*
 * A recursive matcher. Patterns are read as they are met and never compiled, because scripts depend on it: a
 * malformed tail is an error only when matching gets there. Patterns end at their first zero byte, as in
 * Lua 5.1; %z stands for a zero.
 */

enum { CNTRL = 1, SPACE = 2, PUNCT = 4, DIGIT = 8, XDIGIT = 16, UPPER = 32, LOWER = 64 };

/* ASCII, whatever the locale says: bytes above 127 belong to no class. */
static const unsigned char kinds[256] = {
    [0 ... 8] = CNTRL,
    [9 ... 13] = CNTRL | SPACE,
    [14 ... 31] = CNTRL,
    [' '] = SPACE,
    ['!' ... '/'] = PUNCT,
    ['0' ... '9'] = DIGIT | XDIGIT,
    [':' ... '@'] = PUNCT,
    ['A' ... 'F'] = UPPER | XDIGIT,
    ['G' ... 'Z'] = UPPER,
    ['[' ... '`'] = PUNCT,
    ['a' ... 'f'] = LOWER | XDIGIT,
    ['g' ... 'z'] = LOWER,
    ['{' ... '~'] = PUNCT,
    [127] = CNTRL,
};

/* Class letters, in lower case; others stand for themselves. */
static const unsigned char classes[256] = {
    ['a'] = UPPER | LOWER,
    ['c'] = CNTRL,
    ['d'] = DIGIT,
    ['g'] = UPPER | LOWER | DIGIT | PUNCT,
    ['l'] = LOWER,
    ['p'] = PUNCT,
    ['s'] = SPACE,
    ['u'] = UPPER,
    ['w'] = UPPER | LOWER | DIGIT,
    ['x'] = XDIGIT,
};

void mqlua_match_init(mqlua_match *m, lua_State *L, const char *subject, size_t size)
{
    m->L = L;
    m->begin = subject;
    m->end = subject + size;
    m->steps = 0;
    m->depth = 0;
    m->level = 0;
}

void mqlua_match_finish(mqlua_match *m)
{
    size_t steps = m->steps;
    m->steps = 0;
    if (steps)
        mqlua_vm_charge(m->L, steps);
}

void mqlua_match_count(mqlua_match *m, size_t steps)
{
    m->steps += steps;
    if (m->steps >= MQLUA_MATCH_BATCH)
        mqlua_match_finish(m);
}

static inline void count_step(mqlua_match *m)
{
    if (__builtin_expect(++m->steps >= MQLUA_MATCH_BATCH, 0))
        mqlua_match_finish(m);
}

/* Whether c belongs to the class that the letter after a % names. */
static bool in_class(unsigned char c, unsigned char letter)
{
    if ((letter | 32) == 'z' && letter >= 'A')
        return (c == 0) == (letter == 'z');
    if (letter >= 'A' && letter <= 'Z' && classes[letter | 32])
        return !(kinds[c] & classes[letter | 32]);
    if (classes[letter])
        return kinds[c] & classes[letter];
    return c == letter;
}

/* Whether c belongs to the set that opens at p and whose closing bracket is at last. */
static bool in_set(unsigned char c, const char *p, const char *last)
{
    bool found = true;
    if (p[1] == '^') {
        found = false;
        p++;
    }
    for (p++; p < last; p++) {
        if (*p == '%') {
            p++;
            if (in_class(c, (unsigned char)*p))
                return found;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
                return found;
            p += 2;
        } else if ((unsigned char)*p == c) {
            return found;
        }
    }
    return !found;
}

/* Where the single-character item at p ends. */
static const char *set_end(mqlua_match *m, const char *p)
{
    p++;
    if (*p == '^')
        p++;
    do {
        if (!*p)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && *p)
            p++;
    } while (*p != ']');
    return p + 1;
}

static inline const char *item_end(mqlua_match *m, const char *p)
{
    if (*p == '[')
        return set_end(m, p);
    if (*p != '%')
        return p + 1;
    if (!p[1])
        luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 2;
}

/* Whether c matches the single-character item from p to after. */
static inline bool item_takes(unsigned char c, const char *p, const char *after)
{
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(c, p, after - 1);
    default:
        return c == (unsigned char)*p;
    }
}

/* How many bytes at s match the item from p to after. Counts them in pieces: a run may span megabytes. */
static size_t run_length(mqlua_match *m, const char *s, const char *p, const char *after)
{
    const char *at = s;
    while (at < m->end) {
        size_t rest = (size_t)(m->end - at);
        const char *stop = at + (rest < MQLUA_MATCH_BATCH ? rest : MQLUA_MATCH_BATCH);
        const char *from = at;
        if (*p == '.')
            at = stop;
        else if (*p == '%')
            while (at < stop && in_class((unsigned char)*at, (unsigned char)p[1]))
                at++;
        else
            while (at < stop && item_takes((unsigned char)*at, p, after))
                at++;
        /* a long set costs more than a step for each byte */
        mqlua_match_count(m, (size_t)(at - from + 1) * (1 + (size_t)(after - p) / 16));
        if (at < stop)
            break;
    }
    return (size_t)(at - s);
}

/* The byte that a match of p must begin with, or -1 when there is no such single byte. Only items that
 * can neither raise nor match nothing count, so that skipping to that byte changes no result. */
static int first_byte(const char *p)
{
    unsigned char c = (unsigned char)*p;
    if (c == '%') {
        c = (unsigned char)p[1];
        if (!(kinds[c] & PUNCT))
            return -1;
        p++;
    } else if (!c || strchr("(.[$)", c)) {
        return -1;
    }
    return p[1] == '*' || p[1] == '?' || p[1] == '-' ? -1 : c;
}

static const char *longest(mqlua_match *m, const char *s, const char *p, const char *after)
{
    size_t size = run_length(m, s, p, after);
    int next = m->depth < MQLUA_MATCH_DEPTH ? first_byte(after + 1) : -1;
    for (;; size--) {
        /* an unmatched literal is what most attempts end at: spare the call */
        if (next < 0 || (s + size < m->end && (unsigned char)s[size] == next)) {
            const char *end = mqlua_match_here(m, s + size, after + 1);
            if (end)
                return end;
        } else {
            count_step(m);
        }
        if (!size)
            return NULL;
    }
}

static const char *shortest(mqlua_match *m, const char *s, const char *p, const char *after)
{
    int next = m->depth < MQLUA_MATCH_DEPTH ? first_byte(after + 1) : -1;
    for (;; s++) {
        if (next < 0 || (s < m->end && (unsigned char)*s == next)) {
            const char *end = mqlua_match_here(m, s, after + 1);
            if (end)
                return end;
        } else {
            count_step(m);
        }
        if (s >= m->end || !item_takes((unsigned char)*s, p, after))
            return NULL;
    }
}

/* %bxy: the end of the balanced piece at s, or NULL. p is at x. */
static const char *balanced(mqlua_match *m, const char *s, const char *p)
{
    if (!p[0] || !p[1])
        luaL_error(m->L, "unbalanced pattern");
    if (s >= m->end || *s != p[0])
        return NULL;
    size_t open = 1;
    for (s++; s < m->end; s++) {
        count_step(m);
        if (*s == p[1]) {
            if (!--open)
                return s + 1;
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

static const char *open_capture(mqlua_match *m, const char *s, const char *p, ptrdiff_t size)
{
    if (m->level >= MQLUA_MATCH_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->capture[m->level].at = s;
    m->capture[m->level].size = size;
    m->level++;
    const char *end = mqlua_match_here(m, s, p);
    if (!end)
        m->level--;
    return end;
}

static const char *close_capture(mqlua_match *m, const char *s, const char *p)
{
    int i = m->level - 1;
    while (i >= 0 && m->capture[i].size != MQLUA_MATCH_OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->capture[i].size = s - m->capture[i].at;
    const char *end = mqlua_match_here(m, s, p);
    if (!end)
        m->capture[i].size = MQLUA_MATCH_OPEN;
    return end;
}

static const char *back_reference(mqlua_match *m, const char *s, int i)
{
    if (i < 0 || i >= m->level || m->capture[i].size == MQLUA_MATCH_OPEN)
        luaL_error(m->L, "invalid capture index");
    if (m->capture[i].size == MQLUA_MATCH_POSITION)
        return NULL;
    size_t size = (size_t)m->capture[i].size;
    if ((size_t)(m->end - s) < size)
        return NULL;
    mqlua_match_count(m, size / 16);
    return memcmp(m->capture[i].at, s, size) ? NULL : s + size;
}

/* %f: whether the set at p begins to match at s. Both ends of the subject count as a zero byte. */
static bool frontier(mqlua_match *m, const char *s, const char *p, const char *after)
{
    unsigned char before = s == m->begin ? 0 : (unsigned char)s[-1];
    unsigned char here = s == m->end ? 0 : (unsigned char)*s;
    mqlua_match_count(m, (size_t)(after - p) / 8);
    return !in_set(before, p, after - 1) && in_set(here, p, after - 1);
}

/* What a % stands for when it is not a class: sets *s and *p behind it and returns true, or makes *s NULL
 * and returns true when it does not match. False: it is a class or an escaped character. */
static bool special(mqlua_match *m, const char **s, const char **p)
{
    unsigned char letter = (unsigned char)(*p)[1];
    if (letter == 'b') {
        *s = balanced(m, *s, *p + 2);
        *p += 4;
    } else if (letter == 'f') {
        if ((*p)[2] != '[')
            luaL_error(m->L, "missing '[' after '%%f' in pattern");
        const char *after = set_end(m, *p + 2);
        if (!frontier(m, *s, *p + 2, after))
            *s = NULL;
        *p = after;
    } else if (kinds[letter] & DIGIT) {
        *s = back_reference(m, *s, letter - '1');
        *p += 2;
    } else {
        return false;
    }
    return true;
}

const char *mqlua_match_here(mqlua_match *m, const char *s, const char *p)
{
    if (++m->depth > MQLUA_MATCH_DEPTH)
        luaL_error(m->L, "pattern too complex");
    while (s && *p) {
        count_step(m);
        if (*p == '(') {
            s = p[1] == ')' ? open_capture(m, s, p + 2, MQLUA_MATCH_POSITION)
                            : open_capture(m, s, p + 1, MQLUA_MATCH_OPEN);
            break;
        }
        if (*p == ')') {
            s = close_capture(m, s, p + 1);
            break;
        }
        if (*p == '$' && !p[1]) {
            s = s == m->end ? s : NULL;
            break;
        }
        if (*p == '%' && special(m, &s, &p))
            continue;
        const char *after = item_end(m, p);
        if (*after == '*') {
            s = longest(m, s, p, after);
            break;
        }
        if (*after == '-') {
            s = shortest(m, s, p, after);
            break;
        }
        bool fits = s < m->end && item_takes((unsigned char)*s, p, after);
        if (*after == '+') {
            s = fits ? longest(m, s + 1, p, after) : NULL;
            break;
        }
        if (*after == '?') {
            const char *end = fits ? mqlua_match_here(m, s + 1, after + 1) : NULL;
            if (end) {
                s = end;
                break;
            }
            p = after + 1;
        } else {
            s = fits ? s + 1 : NULL;
            p = after;
        }
    }
    m->depth--;
    return s;
}

const char *mqlua_match_search(mqlua_match *m, const char *s, const char *p, const char **end)
{
    int first = first_byte(p);
    for (;; s++) {
        if (first >= 0) {
            const char *at = s < m->end ? memchr(s, first, (size_t)(m->end - s)) : NULL;
            mqlua_match_count(m, (size_t)((at ? at : m->end) - s) / 16);
            if (!at)
                return NULL;
            s = at;
        }
        m->level = m->depth = 0;
        *end = mqlua_match_here(m, s, p);
        if (*end)
            return s;
        if (s >= m->end)
            return NULL;
    }
}
