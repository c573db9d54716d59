/* SPDX-License-Identifier: MIT */

#include "api/pcre.h"
#include "base/library.h"

bool mqlua_pcre_open(mqlua_pcre *pcre)
{
#define SYMBOL(name) {"pcre2_" #name "_8", offsetof(mqlua_pcre, name)},
    static const mqlua_library_symbol symbols[] = {MQLUA_PCRE_FUNCTIONS(SYMBOL){NULL, 0}};
#undef SYMBOL
    return mqlua_library_open("libpcre2-8.so.0", symbols, pcre, sizeof *pcre);
}
