/* SPDX-License-Identifier: MIT */

#include "base/idn.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

/* Capital letters: from first to last, every step-th, are distance below the small ones. */
typedef struct capitals {
    uint32_t first, last, step;
    int32_t distance;
} capitals;

static const capitals table[] = {
    {'A', 'Z', 1, 32},       {0x00c0, 0x00d6, 1, 32}, {0x00d8, 0x00de, 1, 32}, {0x0100, 0x012e, 2, 1},
    {0x0132, 0x0136, 2, 1},  {0x0139, 0x0147, 2, 1},  {0x014a, 0x0176, 2, 1},  {0x0178, 0x0178, 1, -121},
    {0x0179, 0x017d, 2, 1},  {0x0386, 0x0386, 1, 38}, {0x0388, 0x038a, 1, 37}, {0x038c, 0x038c, 1, 64},
    {0x038e, 0x038f, 1, 63}, {0x0391, 0x03a1, 1, 32}, {0x03a3, 0x03ab, 1, 32}, {0x0400, 0x040f, 1, 80},
    {0x0410, 0x042f, 1, 32}, {0x0460, 0x0480, 2, 1},  {0x048a, 0x04be, 2, 1},  {0x04c1, 0x04cd, 2, 1},
    {0x04d0, 0x052e, 2, 1},
};

static uint32_t small(uint32_t point)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (point >= table[i].first && point <= table[i].last &&
            (point - table[i].first) % table[i].step == 0)
            return (uint32_t)((int32_t)point + table[i].distance);
    return point;
}

/* RFC 3492: how far apart the next numbers are likely to be. */
static uint32_t adapt(uint32_t delta, uint32_t count, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / 700 : delta / 2;
    for (delta += delta / count; delta > 455; k += 36)
        delta /= 35;
    return k + 36 * delta / (delta + 38);
}

/* Writes delta as digits of base 36; returns how many, or 0 when there is no room. */
static size_t put_delta(uint32_t delta, uint32_t bias, char *out, size_t room)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t used = 0;
    for (uint32_t k = 36;; k += 36) {
        uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
        if (used == room)
            return 0;
        if (delta < t)
            break;
        out[used++] = digits[t + (delta - t) % (36 - t)];
        delta = (delta - t) / (36 - t);
    }
    out[used++] = digits[delta];
    return used;
}

static uint32_t next_point(const uint32_t *points, size_t count, uint32_t least)
{
    uint32_t next = UINT32_MAX;
    for (size_t i = 0; i < count; i++)
        if (points[i] >= least && points[i] < next)
            next = points[i];
    return next;
}

/* Punycode (RFC 3492) of points that are not all ASCII; 0 when it is longer than room. Few points of at most
 * 21 bits: nothing overflows. */
static size_t encode(const uint32_t *points, size_t count, char *out, size_t room)
{
    size_t used = 0, done;
    for (size_t i = 0; i < count; i++)
        if (points[i] < 0x80 && used < room)
            out[used++] = (char)points[i];
    const size_t basic = done = used;
    if (basic && used < room)
        out[used++] = '-';
    uint32_t bias = 72, delta = 0;
    for (uint32_t n = 0x80; done < count; n++, delta++) {
        uint32_t next = next_point(points, count, n);
        delta += (next - n) * (uint32_t)(done + 1);
        n = next;
        for (size_t i = 0; i < count; i++) {
            delta += points[i] < n;
            if (points[i] != n)
                continue;
            size_t size = put_delta(delta, bias, out + used, room - used);
            if (!size)
                return 0;
            used += size;
            bias = adapt(delta, (uint32_t)done + 1, done == basic);
            delta = 0;
            done++;
        }
    }
    return used;
}

/* The A-label of a label; 0 when it has none. */
static size_t to_label(const char *label, size_t size, char out[MQLUA_IDN_LABEL])
{
    static const char prefix[] = "xn--";
    uint32_t points[MQLUA_IDN_LABEL];
    size_t count = 0, begun = sizeof prefix - 1;
    for (size_t at = 0, length; at < size; at += length) {
        if (count == MQLUA_IDN_LABEL || !(length = mqlua_utf8_read(label + at, size - at, &points[count])))
            return 0;
        points[count] = small(points[count]);
        count++;
    }
    size_t used = encode(points, count, out + begun, MQLUA_IDN_LABEL - begun);
    memcpy(out, prefix, begun);
    return used ? begun + used : 0;
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] & 0x80)
            return false;
    return true;
}

size_t mqlua_idn_to_ascii(const char *name, size_t size, char *out, size_t *left)
{
    char made[MQLUA_IDN_LABEL];
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        const char *dot = memchr(name + at, '.', size - at);
        size_t length = dot ? (size_t)(dot - name) - at : size - at;
        size_t written = is_ascii(name + at, length) ? 0 : to_label(name + at, length, made);
        if (!written && left && !is_ascii(name + at, length))
            ++*left;
        memcpy(out + used, written ? made : name + at, written ? written : length);
        used += written ? written : length;
        at += length;
        if (dot) {
            out[used++] = '.';
            at++;
        }
    }
    return used;
}
