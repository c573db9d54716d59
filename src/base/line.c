/* SPDX-License-Identifier: MIT */

#include "base/line.h"
#include "base/utf8.h"
#include <string.h>

/* Of C0, DEL and C1. */
static bool is_control(const unsigned char *s, size_t length)
{
    return length == 1 ? s[0] < ' ' || s[0] == 0x7f : length == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

bool mqlua_line_clean(char *line, size_t room, const char *text, size_t size, bool ascii)
{
    const unsigned char *s = (const unsigned char *)text;
    bool same = true;
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        size_t length = mqlua_utf8_read(text + at, size - at, NULL), step = length ? length : 1;
        bool control = is_control(s + at, length);
        bool kept = length && !control && !(ascii && length > 1);
        size_t written = kept ? length : 1;
        if (used + written >= room) {
            same = false;
            break;
        }
        if (kept)
            memcpy(line + used, s + at, length);
        else
            line[used] = control ? ' ' : '?';
        same = same && kept;
        used += written;
        at += step;
    }
    line[used] = '\0';
    return same;
}
