/* SPDX-License-Identifier: MIT */

#include "host/mime_headers.h"
#include "base/ascii.h"

struct block {
    const char *start;
    const char *end; /* of the header block: at the empty line, or where the mail ends */
};

/* A header field from line: its end, continuation lines included. */
static const char *field_end(const char *line, const char *end)
{
    do {
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        line = lf ? lf + 1 : end;
    } while (line < end && (*line == ' ' || *line == '\t'));
    return line;
}

static struct block find_block(const char *mime, size_t size)
{
    struct block block = {mime, mime};
    const char *end = mime + size;
    while (block.end < end && *block.end != '\n' &&
           !(*block.end == '\r' && end - block.end > 1 && block.end[1] == '\n'))
        block.end = field_end(block.end, end);
    return block;
}

static bool is_named(const char *line, const char *end, const char *name)
{
    size_t length = strlen(name);
    if (!mqlua_ascii_begins(line, (size_t)(end - line), name))
        return false;
    for (line += length; line < end && (*line == ' ' || *line == '\t'); line++) {
    }
    return line < end && *line == ':';
}

static bool is_present(struct block block, const char *name)
{
    for (const char *line = block.start; line < block.end; line = field_end(line, block.end))
        if (is_named(line, block.end, name))
            return true;
    return false;
}

static bool is_printable(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\t')
            return false;
    return true;
}

static bool is_name(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (*text <= ' ' || *text == ':' || *text == 0x7f)
            return false;
    return true;
}

static bool add_one(struct host_bytes *out, const char *name, host_json *value)
{
    if (!value || HOST_JSON_IS(value, object) || HOST_JSON_IS(value, array))
        return true;
    const char *text = HOST_JSON(get_string)(value);
    if (!text || !is_printable(text, strlen(text)))
        return true;
    return host_bytes_printf(out, "%s: %s\r\n", name, text);
}

/* Appends the header name with its value, or one for each of its values. */
static bool add_header(struct host_bytes *out, const char *name, host_json *value)
{
    if (!is_name(name) || !value)
        return true;
    if (!HOST_JSON_IS(value, array))
        return add_one(out, name, value);
    size_t number = (size_t)HOST_JSON(array_length)(value);
    bool ok = true;
    for (size_t i = 0; i < number && ok; i++)
        ok = add_one(out, name, HOST_JSON(array_get_idx)(value, (int)i));
    return ok;
}

typedef bool (*visit)(void *data, const char *name, host_json *value);

/* Calls visit for each member until it returns false. */
static bool each_member(host_json *object, visit call, void *data)
{
    bool ok = true;
    if (!object || !HOST_JSON_IS(object, object))
        return true;
#ifdef HOST_JSON_C
    struct json_object_iterator at = json_object_iter_begin(object);
    struct json_object_iterator end = json_object_iter_end(object);
    for (; ok && !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
        ok = call(data, json_object_iter_peek_name(&at), json_object_iter_peek_value(&at));
#else
    struct fjson_object_iterator at = fjson_object_iter_begin(object);
    struct fjson_object_iterator end = fjson_object_iter_end(object);
    for (; ok && !fjson_object_iter_equal(&at, &end); fjson_object_iter_next(&at))
        ok = call(data, fjson_object_iter_peek_name(&at), fjson_object_iter_peek_value(&at));
#endif
    return ok;
}

static bool visit_add(void *data, const char *name, host_json *value)
{
    return add_header(data, name, value);
}

/* replace and update: is this line one of theirs? */
struct search {
    const char *line;
    const char *end;
    const char *name; /* the answer */
    host_json *value;
};

static bool visit_search(void *data, const char *name, host_json *value)
{
    struct search *search = data;
    if (!is_name(name) || !is_named(search->line, search->end, name))
        return true;
    search->name = name;
    search->value = value;
    return false;
}

/* replace: those which are not in the mail */
struct missing {
    struct host_bytes *out;
    struct block block;
};

static bool visit_missing(void *data, const char *name, host_json *value)
{
    struct missing *missing = data;
    return is_present(missing->block, name) || add_header(missing->out, name, value);
}

static bool is_removed(host_json *remove, const char *line, const char *end)
{
    if (remove && HOST_JSON_IS(remove, string))
        return is_named(line, end, HOST_JSON(get_string)(remove));
    size_t number = remove && HOST_JSON_IS(remove, array) ? (size_t)HOST_JSON(array_length)(remove) : 0;
    for (size_t i = 0; i < number; i++) {
        host_json *name = HOST_JSON(array_get_idx)(remove, (int)i);
        if (name && HOST_JSON_IS(name, string) && is_named(line, end, HOST_JSON(get_string)(name)))
            return true;
    }
    return false;
}

/* One header of the mail: left out, exchanged (where it stands first), or kept. */
static bool edit_line(struct host_bytes *out, struct block block, const char *line, const char *end,
                      host_json *headers)
{
    if (is_removed(host_json_get(headers, "remove"), line, end))
        return true;
    struct search search = {.line = line, .end = end};
    if (each_member(host_json_get(headers, "replace"), visit_search, &search))
        each_member(host_json_get(headers, "update"), visit_search, &search);
    if (!search.name)
        return host_bytes_add(out, line, (size_t)(end - line));
    bool first = !is_present((struct block){block.start, line}, search.name);
    return !first || add_header(out, search.name, search.value);
}

bool host_mime_headers_apply(struct host_bytes *out, const char *mime, size_t size, host_json *headers)
{
    struct block block = find_block(mime, size);
    if (!headers || !HOST_JSON_IS(headers, object))
        return host_bytes_add(out, mime, size);
    bool ok =
        host_bytes_reserve(out, size + 512) && each_member(host_json_get(headers, "prepend"), visit_add, out);
    for (const char *line = block.start, *end; ok && line < block.end; line = end) {
        end = field_end(line, block.end);
        ok = edit_line(out, block, line, end, headers);
    }
    if (ok && block.end == mime + size && out->size && out->data[out->size - 1] != '\n')
        ok = host_bytes_add(out, "\r\n", 2); /* headers only, the last one not ended */
    struct missing missing = {out, block};
    ok = ok && each_member(host_json_get(headers, "replace"), visit_missing, &missing) &&
         each_member(host_json_get(headers, "append"), visit_add, out) &&
         each_member(host_json_get(headers, "add"), visit_add, out);
    return ok && host_bytes_add(out, block.end, size - (size_t)(block.end - mime));
}
