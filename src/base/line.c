/* SPDX-License-Identifier: MIT */

#include "base/line.h"
#include <stdint.h>
#include <string.h>

/* Bytes of the character that begins at s, at most size; 0: none that is valid UTF-8. */
static size_t character(const unsigned char *s, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    if (length <= 1)
        return length;
    if (length > size)
        return 0;
    uint32_t code = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    bool good = code >= least[length] && code <= 0x10ffff && code >> 11 != 0xd800 >> 11;
    return good ? length : 0;
}

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
        size_t length = character(s + at, size - at), step = length ? length : 1;
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
