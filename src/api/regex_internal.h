/* SPDX-License-Identifier: MIT */
#pragma once

/* What regex.c (compiling, keeping) and regex_search.c share. */

#include "api/pcre.h"
#include "api/regex.h"
#include "vm/vm.h"

/* Room on the stack that compiling needs, for nested parentheses. */
enum { MQLUA_REGEX_STACK_COMPILE = 96 * 1024 };

/* Places between two looks at the clock. */
enum { MQLUA_REGEX_LOOK_FIRST = 8, MQLUA_REGEX_LOOK_MOST = 64 };

struct mqlua_regexes {
    bool open;
    mqlua_vm *vm;
    lua_Alloc resize;
    void *resize_ud;
    mqlua_pcre pcre;
    pcre2_general_context *general;
    pcre2_compile_context *compile;
    pcre2_match_context *quick, *careful;
    pcre2_match_data *data, *careful_data; /* careful_data: during a search */
    size_t code;                           /* bytes of machine code */
    int shelves;                           /* registry */
    int kept;                              /* in the new table */
    size_t kept_bytes;                     /* likewise */
    /* of the search that runs */
    size_t began;   /* where it looked for a match last */
    unsigned every; /* so many callouts between two looks at the clock */
    unsigned left;
    bool told; /* that a text is no UTF-8 */
};

/* Raises: memory is out, or the budget is spent, for which the allocator refuses, too. */
__attribute__((noreturn)) void mqlua_regex_out_of_memory(lua_State *L);

/* The options of PCRE2 for flags. */
uint32_t mqlua_regex_options(unsigned flags);

/* Makes the code for long texts, where it is not there yet. False when it would be too large. Raises on lack
 * of memory. */
bool mqlua_regex_compile_quick(lua_State *L, mqlua_regex *regex);
