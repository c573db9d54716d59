/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the module mailerq-lua/modules/mime.so does for the plugin: it is the only part that links GMime and
 * GLib. The module knows neither Lua nor the host, and exports this one table.
 *
 * GLib ends the process when memory is out. So every input has a bound (MQLUA_MIME_VALUE, and the size of a
 * piece), what GMime makes of it is freed before a function returns, and all results are of malloc, whose
 * failing is reported. Where GMime keeps something for ever (names of charsets), the module throws it away.
 *
 * All texts are NUL-terminated UTF-8, also those that are given. Any thread; calls that use GMime's own
 * tables take turns.
 */

#include "mime/texts.h"

/* Bytes of one header field's value that GMime is given. What it makes of them is some 200 times as large for
 * the worst of values. */
enum { MQLUA_MIME_VALUE = 64 << 10 };

/* Of a Content-Transfer-Encoding. */
typedef enum mqlua_mime_encoding {
    MQLUA_MIME_PLAIN, /* 7bit, 8bit, binary, and whatever is unknown: the bytes are what they are */
    MQLUA_MIME_BASE64,
    MQLUA_MIME_QUOTED,
    MQLUA_MIME_UUENCODE,
} mqlua_mime_encoding;

enum { MQLUA_MIME_LIBRARY = 1 };

typedef struct mqlua_mime_library {
    int version; /* MQLUA_MIME_LIBRARY */

    /* Reads the value of a Content-Type (disposition false) or a Content-Disposition: "text/plain" or
     * "attachment" in small letters, then name and value of each parameter, names in small letters, values
     * decoded (RFC 2231, and RFC 2047 as some senders do it). A value that names no type is "". False on lack
     * of memory. */
    bool (*parameters)(const char *value, bool disposition, mqlua_texts *out);

    /* Reads an address as it stands in From or To: name (or "") and address of each that it turns out to be.
     * False on lack of memory. Quadratic: give it one at a time (mime/address.h). */
    bool (*addresses)(const char *value, mqlua_texts *out);

    /* Decodes encoded words (RFC 2047). malloc'ed; NULL on lack of memory. */
    char *(*words)(const char *value);

    /* The value of a Content-Type or Content-Disposition with a parameter set (name NULL: none), folded with
     * CRLF and encoded. malloc'ed; NULL on lack of memory. */
    char *(*with_parameter)(const char *value, bool disposition, const char *name, const char *text);

    /* Decodes or encodes size bytes to out, which has room for decoded_room or encoded_room bytes, and
     * returns how many there are. Nothing is allocated, nothing fails. Lines end with LF. */
    size_t (*decode)(mqlua_mime_encoding encoding, const char *in, size_t size, char *out);
    size_t (*encode)(mqlua_mime_encoding encoding, const char *in, size_t size, char *out);
    size_t (*decoded_room)(mqlua_mime_encoding encoding, size_t size);
    size_t (*encoded_room)(mqlua_mime_encoding encoding, size_t size);

    /* Converts size bytes between charsets: one of the two is "utf-8". *out is malloc'ed. What has no meaning
     * in from becomes U+FFFD. True; or false with *out NULL: a charset is unknown, memory is out
     * (*memory), or, where to is not UTF-8, something cannot be expressed in it. */
    bool (*convert)(const char *to, const char *from, const char *in, size_t size, char **out,
                    size_t *out_size, bool *memory);
} mqlua_mime_library;
