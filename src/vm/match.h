/* SPDX-License-Identifier: MIT */
#pragma once

/* The matcher behind pattern.h: one pattern against one subject at one place. */

#include <lua.h>
#include <stddef.h>

enum {
    MQLUA_MATCH_CAPTURES = 32,
    MQLUA_MATCH_DEPTH = 200, /* nested calls; at about 150 bytes each, harmless on a 256 KB stack */
    MQLUA_MATCH_BATCH = 4096 /* steps between two looks at the budget */
};

/* What capture.size is when it is not a length. */
enum { MQLUA_MATCH_OPEN = -1, MQLUA_MATCH_POSITION = -2 };

typedef struct mqlua_match {
    lua_State *L;
    const char *begin; /* of the subject; borrowed, need not end with a zero */
    const char *end;
    size_t steps; /* not charged yet */
    int depth;
    int level; /* captures in use */
    struct {
        const char *at;
        ptrdiff_t size;
    } capture[MQLUA_MATCH_CAPTURES];
} mqlua_match;

/* Prepares a matcher for size bytes at subject. */
void mqlua_match_init(mqlua_match *m, lua_State *L, const char *subject, size_t size);

/* Counts steps, and charges them when a batch is full. Raises when the run-time budget is spent. */
void mqlua_match_count(mqlua_match *m, size_t steps);

/* Charges what is left; to be called when a search ends. Raises as mqlua_match_count does. */
void mqlua_match_finish(mqlua_match *m);

/* Where a match of the zero-terminated pattern p that begins at s ends, or NULL. Raises on a malformed
 * pattern (as far as it was read), one that is too complex, and when the budget is spent. */
const char *mqlua_match_here(mqlua_match *m, const char *s, const char *p);

/* The first place at or after s where p matches, or NULL; *end is where that match ends. Raises likewise. */
const char *mqlua_match_search(mqlua_match *m, const char *s, const char *p, const char **end);
