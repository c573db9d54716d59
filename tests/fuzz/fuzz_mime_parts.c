/* SPDX-License-Identifier: MIT */

/* Any bytes as a mail that is taken apart, with the module for MIME: parts lie in each other, and what GMime
 * reads of each is text. */

#undef NDEBUG /* the checks are what it is for */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "mime/address.h"
#include "mime/module.h"
#include "mime/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const mqlua_mime_library *library(void)
{
    static mqlua_mime_module *module; /* for the life of the process, like what it loads */
    char *error = NULL;
    if (!module)
        module = mqlua_mime_module_new();
    const mqlua_mime_library *found = module ? mqlua_mime_module_get(module, &error) : NULL;
    if (!found)
        fprintf(stderr, "%s\n", error ? error : "not enough memory");
    assert(found);
    return found;
}

static void check_part(const mqlua_mime *mime, size_t number, size_t size)
{
    const mqlua_mime_part *part = &mime->parts[number];
    assert(part->line <= part->header && part->header <= part->body && part->body <= part->end);
    assert(part->end <= part->next && part->next <= size);
    assert(part->parent < (int)number);
    if (part->parent >= 0) {
        const mqlua_mime_part *parent = &mime->parts[part->parent];
        assert(parent->kind != MQLUA_MIME_LEAF);
        assert(part->line >= parent->body && part->end <= parent->next);
    }
    if (part->kind == MQLUA_MIME_MULTIPART)
        assert(part->close >= part->body && part->close <= size);
}

static void read_body(const mqlua_mime_part *part, const char *data)
{
    const char *charset = mqlua_mime_parameter(&part->type, "charset");
    size_t size = part->end - part->body, room = library()->decoded_room(part->encoding, size), made;
    char *out = malloc(room), *text = NULL;
    bool memory;
    assert(out);
    made = library()->decode(part->encoding, data + part->body, size, out);
    assert(made <= room);
    if (charset && library()->convert("utf-8", charset, out, made, &text, &made, &memory))
        assert(text || !made);
    free(text);
    free(out);
}

static void read_header(const mqlua_mime_part *part, const char *data)
{
    mqlua_mime_field field;
    size_t at = part->header;
    while (mqlua_mime_next_field(data, part->body, &at, &field)) {
        char *value = mqlua_mime_value(field.value, field.value_size), *words;
        assert(value && !strpbrk(value, "\r\n") && mqlua_utf8_is(value, strlen(value)));
        assert(field.begin >= part->header && field.end <= part->body);
        words = library()->words(value);
        assert(words);
        mqlua_mime_addresses list = {.at = value};
        while (mqlua_mime_next_address(&list)) {
            mqlua_texts texts = {0};
            char *one = strndup(list.address, list.size);
            assert(one && library()->addresses(one, &texts) && texts.count % 2 == 0);
            mqlua_texts_free(&texts);
            free(one);
        }
        free(words);
        free(value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mqlua_mime_limits limits = {
        .bytes = 1 << 20, .parts = 200, .depth = 20, .headers = 500, .field = 4 << 10};
    mqlua_mime mime = {0};
    const char *text = (const char *)data;
    if (mqlua_mime_scan(&mime, library(), &limits, text, size) == MQLUA_MIME_OK) {
        assert(mime.count && mime.parts[0].end == size);
        for (size_t i = 0; i < mime.count; i++) {
            check_part(&mime, i, size);
            read_header(&mime.parts[i], text);
            if (mime.parts[i].kind == MQLUA_MIME_LEAF)
                read_body(&mime.parts[i], text);
        }
    }
    assert(mime.count <= limits.parts);
    mqlua_mime_free(&mime);
    return 0;
}
