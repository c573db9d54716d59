/* SPDX-License-Identifier: MIT */
#pragma once

/* The functions of PCRE2, as base/library.h finds them. */

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdbool.h>

#define MQLUA_PCRE_FUNCTIONS(X)                                                                              \
    X(general_context_create)                                                                                \
    X(general_context_free)                                                                                  \
    X(compile_context_create)                                                                                \
    X(compile_context_free)                                                                                  \
    X(set_newline)                                                                                           \
    X(set_max_pattern_length)                                                                                \
    X(set_parens_nest_limit)                                                                                 \
    X(match_context_create)                                                                                  \
    X(match_context_free)                                                                                    \
    X(set_callout)                                                                                           \
    X(set_match_limit)                                                                                       \
    X(set_heap_limit)                                                                                        \
    X(match_data_create)                                                                                     \
    X(match_data_free)                                                                                       \
    X(get_ovector_count)                                                                                     \
    X(get_ovector_pointer)                                                                                   \
    X(compile)                                                                                               \
    X(code_free)                                                                                             \
    X(jit_compile)                                                                                           \
    X(pattern_info)                                                                                          \
    X(match)                                                                                                 \
    X(get_error_message)

#define MQLUA_PCRE_MEMBER(name) __typeof__(pcre2_##name##_8) *name;
typedef struct mqlua_pcre {
    MQLUA_PCRE_FUNCTIONS(MQLUA_PCRE_MEMBER)
} mqlua_pcre;
#undef MQLUA_PCRE_MEMBER

/* False where the library is missing. May read files. */
bool mqlua_pcre_open(mqlua_pcre *pcre);
