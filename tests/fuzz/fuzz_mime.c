/* SPDX-License-Identifier: MIT */

/* Any bytes as mail, on its way through the stand-in: what is published is what came, without the x-mq-*
 * headers, and edits of the header never touch the body. Input: the headers property as JSON, a NUL, the
 * mail. */

#undef NDEBUG /* the checks are what it is for */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/json_print.h"
#include "host/message_json.h"
#include "host/mime_headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The body, empty line included: a suffix of any mail. */
static size_t body_size(const char *mime, size_t size)
{
    const char *at = mime, *end = mime + size;
    while (at < end && *at != '\n' && !(*at == '\r' && at + 1 < end && at[1] == '\n')) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        at = lf ? lf + 1 : end;
    }
    return (size_t)(end - at);
}

static void publish(const char *mime, size_t size)
{
    struct host_message_mime taken;
    struct host_bytes text = {0};
    host_json *again = NULL;
    const char *error;
    struct host_message_facts facts = {.envelope = "a@b.example", .minimal = true};
    assert(host_message_json_extract(mime, size, true, &taken));
    assert(taken.size <= size && body_size(taken.data, taken.size) == body_size(mime, size));
    host_json *json = host_message_json_build(&facts, &taken, "c@d.example", "id", NULL, NULL);
    assert(json && host_json_print(&text, json) && !memchr(text.data, '\n', text.size));
    assert(host_json_parse(text.data, text.size, &again, &error));
    host_json *printed = host_json_get(again, "mime");
    assert(HOST_JSON_IS(printed, string) && (size_t)HOST_JSON(get_string_len)(printed) == taken.size);
    assert(memcmp(HOST_JSON(get_string)(printed), taken.data, taken.size) == 0);
    HOST_JSON(put)(again);
    HOST_JSON(put)(json);
    host_bytes_free(&text);
    host_message_json_extract_free(&taken);
}

static void edit(const char *mime, size_t size, host_json *headers)
{
    struct host_bytes out = {0};
    size_t body = body_size(mime, size);
    assert(host_mime_headers_apply(&out, mime, size, headers));
    assert(out.size >= body && (!body || memcmp(out.data + out.size - body, mime + size - body, body) == 0));
    if (!headers)
        assert(out.size == size);
    host_bytes_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    const char *mime = nul ? (const char *)nul + 1 : (const char *)data;
    size_t length = size - (size_t)(mime - (const char *)data);
    host_json *headers = NULL;
    const char *error;
    if (nul && !host_json_parse((const char *)data, (size_t)(nul - data), &headers, &error))
        headers = NULL;
    publish(mime, length);
    edit(mime, length, NULL);
    edit(mime, length, headers);
    HOST_JSON(put)(headers);
    return 0;
}
