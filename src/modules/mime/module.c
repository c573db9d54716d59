/* SPDX-License-Identifier: MIT */

#include "modules/mime/internal.h"

#include <pthread.h>

/* GMime itself is global: its tables, and whether it was started. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GMimeParserOptions *options;
static size_t since_cleared;

/* Bytes of input between two clearings of GMime's table of charsets; an entry takes some ten times the bytes
 * that brought it. */
enum { CLEAR_AFTER = 1 << 20 };

static void start(void)
{
    static const char *fallback[] = {"utf-8", "windows-1252", "iso-8859-1", NULL};
    g_mime_init();
    options = g_mime_parser_options_new();
    g_mime_parser_options_set_fallback_charsets(options, fallback); /* not what the host's locale says */
}

void module_enter(void)
{
    pthread_mutex_lock(&lock);
    if (!options)
        start();
}

void module_leave(size_t size)
{
    since_cleared += size;
    if (since_cleared > CLEAR_AFTER) {
        g_mime_charset_map_shutdown();
        g_mime_charset_map_init();
        since_cleared = 0;
    }
    pthread_mutex_unlock(&lock);
}

GMimeParserOptions *module_options(void)
{
    return options;
}

static GMimeContentEncoding encoding_of(mqlua_mime_encoding encoding)
{
    static const GMimeContentEncoding encodings[] = {
        [MQLUA_MIME_PLAIN] = GMIME_CONTENT_ENCODING_BINARY,
        [MQLUA_MIME_BASE64] = GMIME_CONTENT_ENCODING_BASE64,
        [MQLUA_MIME_QUOTED] = GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE,
        [MQLUA_MIME_UUENCODE] = GMIME_CONTENT_ENCODING_UUENCODE,
    };
    return encodings[encoding];
}

static size_t decode(mqlua_mime_encoding encoding, const char *in, size_t size, char *out)
{
    GMimeEncoding state;
    g_mime_encoding_init_decode(&state, encoding_of(encoding));
    return g_mime_encoding_flush(&state, in, size, out);
}

static size_t encode(mqlua_mime_encoding encoding, const char *in, size_t size, char *out)
{
    GMimeEncoding state;
    g_mime_encoding_init_encode(&state, encoding_of(encoding));
    return g_mime_encoding_flush(&state, in, size, out);
}

static size_t decoded_room(mqlua_mime_encoding encoding, size_t size)
{
    GMimeEncoding state;
    g_mime_encoding_init_decode(&state, encoding_of(encoding));
    return g_mime_encoding_outlen(&state, size) + 16;
}

static size_t encoded_room(mqlua_mime_encoding encoding, size_t size)
{
    GMimeEncoding state;
    g_mime_encoding_init_encode(&state, encoding_of(encoding));
    return g_mime_encoding_outlen(&state, size) + 16;
}

extern const mqlua_mime_library mqlua_mime_library_table;

__attribute__((visibility("default"))) const mqlua_mime_library mqlua_mime_library_table = {
    .version = MQLUA_MIME_LIBRARY,
    .parameters = module_parameters,
    .addresses = module_addresses,
    .words = module_words,
    .with_parameter = module_with_parameter,
    .decode = decode,
    .encode = encode,
    .decoded_room = decoded_room,
    .encoded_room = encoded_room,
    .convert = module_convert,
};
