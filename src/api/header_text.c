/* SPDX-License-Identifier: MIT */

#include "api/header_text.h"
#include "base/header.h"
#include "base/utf8.h"
#include "vm/bytes.h"
#include "vm/text.h"

#include <string.h>

enum {
    WORD_OCTETS = 45,                     /* in an encoded word, which has then 72 characters of 75 */
    WORD_LONGEST = MQLUA_HEADER_LINE - 1, /* behind a blank in a line of its own */
};

static void put_word(mqlua_text *out, const char *text, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    mqlua_text_add(out, "=?UTF-8?B?", 10);
    for (size_t i = 0; i < size; i += 3) {
        unsigned n = (unsigned)(unsigned char)text[i] << 16;
        n |= i + 1 < size ? (unsigned)(unsigned char)text[i + 1] << 8 : 0;
        n |= i + 2 < size ? (unsigned)(unsigned char)text[i + 2] : 0;
        char four[4] = {digits[n >> 18], digits[n >> 12 & 63], digits[n >> 6 & 63], digits[n & 63]};
        if (i + 2 >= size)
            four[3] = '=';
        if (i + 1 >= size)
            four[2] = '=';
        mqlua_text_add(out, four, 4);
    }
    mqlua_text_add(out, "?=", 2);
}

/* Encoded words with blanks between them, which are no part of the text. No character is cut in two. */
static void put_words(mqlua_text *out, const char *text, size_t size)
{
    for (size_t i = 0, stop; i < size; i = stop) {
        for (stop = i; stop < size;) {
            size_t step = mqlua_utf8_read(text + stop, size - stop, NULL);
            if (stop + step - i > WORD_OCTETS)
                break;
            stop += step;
        }
        mqlua_text_add(out, " ", i ? 1 : 0);
        put_word(out, text + i, stop - i);
    }
}

static bool is_plain(const char *word, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (word[i] & 0x80)
            return false;
    return size <= WORD_LONGEST;
}

/* From the first to the last word that must be encoded. Empty: none. */
static void find_encoded(const char *text, size_t size, size_t *from, size_t *to)
{
    *from = *to = 0;
    for (size_t word = 0, stop; word < size; word = stop + 1) {
        const char *blank = memchr(text + word, ' ', size - word);
        stop = blank ? (size_t)(blank - text) : size;
        if (is_plain(text + word, stop - word))
            continue;
        *from = *to ? *from : word;
        *to = stop;
    }
}

/* Pushes a clean UTF-8 copy: control bytes are blanks, and those at both ends are left out. */
static void push_clean(lua_State *L, const char *text, size_t size)
{
    mqlua_text out;
    mqlua_text_init(&out, L);
    while (size && (unsigned char)*text <= ' ')
        text++, size--;
    size_t clean = mqlua_utf8_clean(NULL, text, size);
    char *to = mqlua_text_room(&out, clean);
    mqlua_utf8_clean(to, text, size);
    for (size_t i = 0; i < clean; i++)
        if ((unsigned char)to[i] < ' ' || to[i] == 0x7f)
            to[i] = ' ';
    while (out.size && to[out.size - 1] == ' ')
        out.size--;
    mqlua_text_push(&out);
}

int mqlua_header_text_l_encode(lua_State *L)
{
    size_t size, from, to;
    const char *text = mqlua_bytes_check(L, 1, &size);
    mqlua_vm_charge(L, size);
    push_clean(L, text, size);
    text = lua_tolstring(L, -1, &size);
    find_encoded(text, size, &from, &to);
    if (!to)
        return 1;
    mqlua_text out;
    mqlua_text_init(&out, L);
    mqlua_text_add(&out, text, from);
    put_words(&out, text + from, to - from);
    mqlua_text_add(&out, text + to, size - to);
    mqlua_text_push(&out);
    return 1;
}
