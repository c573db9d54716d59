/* SPDX-License-Identifier: MIT */

#include "host/json_print.h"

#include <stdio.h>

enum { DEPTH_MOST = 1024 };

static bool print_value(struct host_bytes *out, host_json *json, int depth);

/* Per byte: 0 stands for itself, 'u' needs \u00XX, else the letter behind the backslash. */
static const char escapes[256] = {
    ['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
    [0] = 'u',   [1] = 'u',     [2] = 'u',    [3] = 'u',    [4] = 'u',    [5] = 'u',    [6] = 'u',
    [7] = 'u',   [11] = 'u',    [14] = 'u',   [15] = 'u',   [16] = 'u',   [17] = 'u',   [18] = 'u',
    [19] = 'u',  [20] = 'u',    [21] = 'u',   [22] = 'u',   [23] = 'u',   [24] = 'u',   [25] = 'u',
    [26] = 'u',  [27] = 'u',    [28] = 'u',   [29] = 'u',   [30] = 'u',   [31] = 'u',
};

static bool print_text(struct host_bytes *out, const char *text, size_t size)
{
    const char *end = text + size;
    if (!host_bytes_reserve(out, size + size / 16 + 2) || !host_bytes_add(out, "\"", 1))
        return false;
    while (text < end) {
        const char *plain = text;
        while (text < end && !escapes[(unsigned char)*text])
            text++;
        if (!host_bytes_add(out, plain, (size_t)(text - plain)))
            return false;
        if (text == end)
            break;
        unsigned char c = (unsigned char)*text++;
        char escaped[8] = {'\\', escapes[c]};
        if (escapes[c] == 'u')
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
        if (!host_bytes_add_text(out, escaped))
            return false;
    }
    return host_bytes_add(out, "\"", 1);
}

static bool print_member(struct host_bytes *out, const char *name, host_json *value, bool first, int depth)
{
    return (first || host_bytes_add(out, ",", 1)) && print_text(out, name, strlen(name)) &&
           host_bytes_add(out, ":", 1) && print_value(out, value, depth);
}

static bool print_object(struct host_bytes *out, host_json *json, int depth)
{
    bool ok = host_bytes_add(out, "{", 1), first = true;
#ifdef HOST_JSON_C
    struct json_object_iterator at = json_object_iter_begin(json), end = json_object_iter_end(json);
    for (; ok && !json_object_iter_equal(&at, &end); json_object_iter_next(&at), first = false)
        ok = print_member(out, json_object_iter_peek_name(&at), json_object_iter_peek_value(&at), first,
                          depth);
#else
    struct fjson_object_iterator at = fjson_object_iter_begin(json), end = fjson_object_iter_end(json);
    for (; ok && !fjson_object_iter_equal(&at, &end); fjson_object_iter_next(&at), first = false)
        ok = print_member(out, fjson_object_iter_peek_name(&at), fjson_object_iter_peek_value(&at), first,
                          depth);
#endif
    return ok && host_bytes_add(out, "}", 1);
}

static bool print_array(struct host_bytes *out, host_json *json, int depth)
{
    size_t number = (size_t)HOST_JSON(array_length)(json);
    bool ok = host_bytes_add(out, "[", 1);
    for (size_t i = 0; ok && i < number; i++)
        ok = (i == 0 || host_bytes_add(out, ",", 1)) &&
             print_value(out, HOST_JSON(array_get_idx)(json, (int)i), depth);
    return ok && host_bytes_add(out, "]", 1);
}

static bool print_value(struct host_bytes *out, host_json *json, int depth)
{
    if (depth > DEPTH_MOST)
        return false;
    if (!json)
        return host_bytes_add_text(out, "null");
    if (HOST_JSON_IS(json, object))
        return print_object(out, json, depth + 1);
    if (HOST_JSON_IS(json, array))
        return print_array(out, json, depth + 1);
    if (HOST_JSON_IS(json, string))
        return print_text(out, HOST_JSON(get_string)(json), (size_t)HOST_JSON(get_string_len)(json));
    const char *text = HOST_JSON(to_json_string)(json); /* numbers and booleans */
    return text && host_bytes_add_text(out, text);
}

bool host_json_print(struct host_bytes *out, host_json *json)
{
    return print_value(out, json, 0);
}
