/* SPDX-License-Identifier: MIT */

/* Lua patterns that are read as regular expressions, or as plain text, by who wrote them. Only what nobody
 * writes on purpose is told: a | between words in parentheses, \d, {3}, (?:, and names such as no-reply or
 * mail.example.com. */

#include "api/lint_internal.h"
#include "base/ascii.h"
#include "vm/call_patterns.h"
#include <string.h>

/* What a pattern has outside of [sets] and without what % escapes. */
typedef struct looked {
    bool sets;        /* it has some, or escapes: no plain text */
    bool alternative; /* "(a|b" */
    bool class;       /* \d */
    bool dot;         /* example\.com */
    bool count;       /* {3} */
    bool group;       /* (?: */
} looked;

static bool is_word(const char *text, size_t size, size_t at)
{
    return at < size && (mqlua_ascii_is_alnum(text[at]) || text[at] == '_');
}

/* The offset behind the set that begins at text[at]. */
static size_t behind_set(const char *text, size_t size, size_t at)
{
    at += 1 + (at + 1 < size && text[at + 1] == '^');
    for (size_t first = at; at < size; at++) {
        if (text[at] == '%')
            at++;
        else if (text[at] == ']' && at > first)
            return at + 1;
    }
    return size;
}

/* "{3}", "{3,}" or "{3,5}" at text[at]? */
static bool is_count(const char *text, size_t size, size_t at)
{
    size_t digits = 0;
    for (at++; at < size && (mqlua_ascii_is_digit(text[at]) || (digits && text[at] == ',')); at++)
        digits++;
    return digits && at < size && text[at] == '}';
}

static void look_at(looked *l, const char *text, size_t size, size_t at, int depth)
{
    bool after = at > 0 && is_word(text, size, at - 1);
    char next = at + 1 < size ? text[at + 1] : 0;
    if (text[at] == '|')
        l->alternative |= depth > 0 && after && (is_word(text, size, at + 1) || next == '.');
    else if (text[at] == '\\' && next)
        l->class |= strchr("dDwWsSbB", next) != NULL;
    if (text[at] == '\\' && next == '.')
        l->dot |= after && is_word(text, size, at + 2);
    else if (text[at] == '{')
        l->count |= at > 0 && (after || strchr("]).", text[at - 1])) && is_count(text, size, at);
    else if (text[at] == '(' && next == '?' && at + 2 < size)
        l->group |= strchr(":=!<i", text[at + 2]) && text[at + 2];
}

static looked look(const char *text, size_t size)
{
    looked l = {0};
    int depth = 0;
    for (size_t at = 0; at < size;) {
        if (text[at] == '%' || text[at] == '[') {
            l.sets = true;
            at = text[at] == '%' ? at + 2 : behind_set(text, size, at);
            if (at < size && text[at] == '{')
                l.count |= is_count(text, size, at);
            continue;
        }
        depth += text[at] == '(' ? 1 : text[at] == ')' ? -1 : 0;
        look_at(&l, text, size, at, depth);
        at++;
    }
    return l;
}

/* Is it a name, of letters, digits, dots, hyphens and perhaps an @, with or without anchors? Then the text
 * without anchors is at *name. */
static bool is_name(const char *text, size_t size, const char **name, size_t *length)
{
    if (size && text[0] == '^')
        text++, size--;
    if (size && text[size - 1] == '$')
        size--;
    for (size_t i = 0; i < size; i++)
        if (!is_word(text, size, i) && text[i] != '.' && text[i] != '-' && text[i] != '@')
            return false;
    *name = text;
    *length = size;
    return size > 0;
}

/* A hyphen between words: "no-reply", "X-Spam". */
static bool has_hyphen(const char *name, size_t size)
{
    for (size_t i = 1; i + 2 < size; i++)
        if (name[i] == '-' && mqlua_ascii_is_alpha(name[i - 1]) && mqlua_ascii_is_alpha(name[i + 1]) &&
            is_word(name, size, i + 2) &&
            ((i > 1 && is_word(name, size, i - 2)) || is_word(name, size, i + 3)))
            return true;
    return false;
}

/* A name of a host, and not of a file: with an @, two dots, or an ending that files do not have. */
static bool is_host(const char *name, size_t size)
{
    static const char *const endings[] = {"com",  "net", "org",     "edu",  "gov",     "mil",
                                          "info", "biz", "example", "test", "invalid", "localhost"};
    size_t dots = 0, last = 0, words = 0;
    for (size_t i = 0; i < size; i++) {
        if (name[i] == '.' && i + 1 < size) {
            dots++;
            last = i + 1;
        }
        words += name[i] == '.' && i > 1 && is_word(name, size, i - 1) && is_word(name, size, i - 2);
    }
    size_t length = size - last;
    for (size_t i = last; i < size; i++)
        if (!mqlua_ascii_is_alpha(name[i]))
            return false;
    if (!dots || words == 0 || length < 2)
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strlen(endings[i]) == length && mqlua_ascii_same(name + last, endings[i], length))
            return true;
    return dots > 1 || memchr(name, '@', size);
}

/* What to say about a pattern, or NULL. */
static const char *advice(const char *text, size_t size)
{
    looked l = look(text, size);
    const char *name;
    size_t length;
    if (l.alternative)
        return "has no alternatives, and | is the character itself: use mq.re";
    if (l.group)
        return "has no groups such as (?: or (?i): use mq.re";
    if (l.count)
        return "has no counts such as {3}: repeat the class (%d%d%d), or use mq.re";
    if (l.class || l.dot)
        return "is escaped with %, and a \\ is the character itself: write %d or %., or use mq.re";
    if (l.sets || !is_name(text, size, &name, &length))
        return NULL;
    if (has_hyphen(name, length))
        return "repeats what is before a -: write %-, or find(text, 1, true)";
    if (is_host(name, length))
        return "takes any character for a dot: write %., or find(text, 1, true)";
    return NULL;
}

static void see_pattern(void *ud, const mqlua_call_pattern *pattern)
{
    const char *text = advice(pattern->text, pattern->size);
    if (text)
        mqlua_lint_say(ud, MQLUA_LINT_NOTE, "%s:%d: \"%.80s\" in %s is a Lua pattern, which %s",
                       pattern->source + (pattern->source[0] == '@'), pattern->line, pattern->text,
                       pattern->function, text);
}

bool mqlua_lint_patterns(lint *l, const void *bytes, size_t size)
{
    return mqlua_call_patterns(l->calls, bytes, size, see_pattern, l);
}
