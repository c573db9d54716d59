/* SPDX-License-Identifier: MIT */

#include "base/mark.h"
#include <stdbool.h>
#include <string.h>

size_t mqlua_mark_size(const char *text, size_t size)
{
    static const char mark[3] = {'\xef', '\xbb', '\xbf'};
    return size >= sizeof mark && memcmp(text, mark, sizeof mark) == 0 ? sizeof mark : 0;
}

const char *mqlua_mark_foreign(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    bool begins = size >= 4 && !s[0] && !s[1] && s[3]; /* 00 00 FE FF, or 00 00 00 'x' */
    bool ends = size >= 4 && s[0] && !s[2] && !s[3];   /* FF FE 00 00, or 'x' 00 00 00 */
    if (begins || ends)
        return "UTF-32";
    if (size >= 2 && ((s[0] == 0xff && s[1] == 0xfe) || (s[0] == 0xfe && s[1] == 0xff) || !s[0] != !s[1]))
        return "UTF-16";
    return NULL;
}
