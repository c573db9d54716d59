/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Regular expressions on PCRE2, compiled once and kept, with the limits of the state. The library is opened
 * when the first expression is compiled (base/library.h).
 *
 * A search is quick or careful. The quick one is compiled to machine code where that can be had. It has a
 * small limit of backtracking at each place where a match may begin; in a long text it looks at the clock
 * between two of them, and a short one is gone through before that matters. What needs more is searched again
 * by PCRE2's interpreter, which looks at the clock at each item of the expression, and uses memory of the
 * state in place of a stack.
 *
 * To be called from inside Lua, on the thread of the vm.
 */

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How an expression is read. */
enum {
    MQLUA_REGEX_ANCHORED = 1 << 0,  /* a: a match begins where the search does */
    MQLUA_REGEX_CASELESS = 1 << 1,  /* i */
    MQLUA_REGEX_MULTILINE = 1 << 2, /* m */
    MQLUA_REGEX_DOTALL = 1 << 3,    /* s */
    MQLUA_REGEX_EXTENDED = 1 << 4,  /* x */
    MQLUA_REGEX_UTF = 1 << 5,       /* u */
    MQLUA_REGEX_DUPNAMES = 1 << 6,  /* J */
    MQLUA_REGEX_SCRIPT = 1 << 7,    /* D: as in JavaScript */
    MQLUA_REGEX_INVALID = 1 << 8,   /* with UTF: bytes that are none match nothing */
};

enum { MQLUA_REGEX_LENGTH = 65536 }; /* of an expression, bytes */

/* What the search found. */
enum {
    MQLUA_REGEX_NONE = 0,
    MQLUA_REGEX_LIMIT = -1, /* it would take too much backtracking or memory */
};

typedef struct mqlua_regexes mqlua_regexes; /* all of a state */

typedef struct mqlua_regex {
    mqlua_regexes *all;
    struct pcre2_real_code_8 *plain, *quick, *careful; /* the others: NULL until they are needed */
    size_t bytes;                                      /* of machine code */
    unsigned flags;
    uint32_t uses, groups, names, name_size;
    const unsigned char
        *name_table; /* names entries of name_size bytes: the number (2 bytes), then the name */
    bool relative;   /* it asks where the search began (\G) */
    int other;       /* of regex.c: what there is for texts that are no UTF-8 */
    size_t size;
    char text[]; /* the expression, NUL-terminated; it may have other NULs */
} mqlua_regex;

/* Pushes a userdata for the expressions of this state, which all functions below need. Raises on lack of
 * memory. */
void mqlua_regexes_push(lua_State *L);

/* Pushes the expression for the string at index, kept or compiled, and returns it. It lives as long as Lua
 * holds what was pushed. Raises with the text and the offset where it is none, on lack of memory, and where
 * PCRE2 is missing. */
mqlua_regex *mqlua_regex_push(lua_State *L, mqlua_regexes *all, int index, unsigned flags);

/* Is the text UTF-8? Charged. */
bool mqlua_regex_is_utf(lua_State *L, const char *text, size_t size);

/* Replaces the expression on the top by the one to be used for a text: itself, or with UTF, where the text is
 * none, one for bytes (or with INVALID, when it can be no other). Raises likewise. */
mqlua_regex *mqlua_regex_replace_for(lua_State *L, const char *text, size_t size);

/* The first match that begins at from (at most size) or later. Returns how many pairs of *offsets are set
 * (the whole match, then groups; SIZE_MAX: unset, as are those behind), NONE or LIMIT. Offsets are good until
 * the next search in this state. Raises when the budget is spent, and on lack of memory. */
int mqlua_regex_search(lua_State *L, mqlua_regex *regex, const char *text, size_t size, size_t from,
                       const size_t **offsets);

/* Where the next search begins after a match from begin to end: behind it, and for an empty one a character
 * later, which may be beyond the text. */
size_t mqlua_regex_next(const mqlua_regex *regex, const char *text, size_t size, size_t begin, size_t end);
