/* SPDX-License-Identifier: MIT */

/* Sets and maps from any text: every key that a plain reading of the text finds is found again, with its
 * value. */

#include "base/lookup.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Asks for the first word of every line, for the line, and for an address made of it. */
static void ask(const mqlua_lookup *lookup, const char *text, size_t size, bool map)
{
    const char *value, *end = text + size;
    size_t value_size;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        while (text < stop && strchr(" \t\r", *text))
            text++;
        const char *word = text;
        while (text < stop && !strchr(" \t\r", *text))
            text++;
        bool found = mqlua_lookup_get(lookup, word, (size_t)(text - word), &value, &value_size);
        if (word < text && *word != '#' && !found)
            abort();
        if (found && (map ? value_size == 0 : value_size != 0))
            abort();
        mqlua_lookup_address(lookup, word, (size_t)(stop - word), &value, &value_size);
        text = newline ? newline + 1 : end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *error = NULL;
    if (!text || !size)
        goto out;
    bool map = data[0] & 1;
    memcpy(text, data + 1, size - 1);
    mqlua_lookup *lookup = mqlua_lookup_parse(text, size - 1, "f", map, &error);
    if (lookup ? error != NULL : error == NULL)
        abort();
    if (lookup)
        ask(lookup, text, size - 1, map);
    mqlua_lookup_free(lookup);
out:
    free(error);
    free(text);
    return 0;
}
