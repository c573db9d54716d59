/* SPDX-License-Identifier: MIT */

#include "base/utf8.h"
#include <string.h>

size_t mqlua_utf8_read(const char *text, size_t size, uint32_t *point)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)text[0];
    size_t length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    uint32_t value = length == 1 ? first : first & (0x7fu >> length);
    if ((length > 1 && first < 0xc2) || first > 0xf4 || length > size)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3fu);
    }
    if (value < smallest[length] || (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff)
        return 0;
    if (point)
        *point = value;
    return length;
}

bool mqlua_utf8_is(const char *text, size_t size)
{
    for (size_t i = 0, step; i < size; i += step) {
        uint64_t eight;
        if (size - i >= sizeof eight &&
            !(memcpy(&eight, text + i, sizeof eight), eight & 0x8080808080808080u))
            step = sizeof eight;
        else
            step = mqlua_utf8_read(text + i, size - i, NULL);
        if (!step)
            return false;
    }
    return true;
}

size_t mqlua_utf8_clean(char *to, const char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        size_t step = mqlua_utf8_read(text + i, size - i, NULL);
        size_t add = step ? step : MQLUA_UTF8_REPLACEMENT_SIZE;
        if (to)
            memcpy(to + used, step ? text + i : MQLUA_UTF8_REPLACEMENT, add);
        used += add;
        i += step ? step : 1;
    }
    return used;
}
